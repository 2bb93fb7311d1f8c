"""The policies that go by the body, in a gateway: real sockets, and replicas that say who they are."""

from __future__ import annotations

import asyncio
import json
import tempfile
from collections import Counter
from collections.abc import AsyncIterator, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from flashcore.builtin.memory_state import MemoryStores
from flashcore.gateway.assembly import Gateway
from flashcore.gateway.settings import Settings
from flashcore.model.layout import Layout
from flashcore.model.names import EndpointName, InstanceId, ReplicaId, RevisionId
from flashcore.model.parts import PartRef
from flashcore.model.table import EndpointRoute, ReplicaRoute, RoutingTable, SideRoute
from flashcore.registry.index import setting_of_process
from flashcore.registry.opening import open_registry

REPLICAS = ("a", "b", "c", "d")


@dataclass(frozen=True, slots=True)
class Client:
    """Asks an endpoint on connections of its own."""

    port: int

    async def ask(self, *pieces: bytes, headers: str = "") -> str:
        """Who answered a request whose body comes in these pieces, in chunks unless a header says its length."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        framing = headers or "transfer-encoding: chunked\r\n"
        writer.write(f"POST /chat/ HTTP/1.1\r\nhost: x\r\nconnection: close\r\n{framing}\r\n".encode())
        for piece in pieces:
            writer.write(piece if headers else b"%x\r\n%b\r\n" % (len(piece), piece))
            await writer.drain()
            await asyncio.sleep(0)  # each piece comes by itself, and soon: what is late does not count
        if not headers:
            writer.write(b"0\r\n\r\n")
        head, _, body = (await reader.read()).partition(b"\r\n\r\n")
        writer.close()
        assert head.startswith(b"HTTP/1.1 200"), head
        return body.decode()

    async def post(self, value: Any) -> str:
        """Who answered this JSON, sent with its length."""
        body = json.dumps(value).encode()
        return await self.ask(body, headers=f"content-length: {len(body)}\r\n")

    async def post_chunked(self, value: Any, size: int = 40) -> str:
        """Who answered this JSON, sent in chunks of that many bytes."""
        body = json.dumps(value).encode()
        return await self.ask(*(body[at : at + size] for at in range(0, len(body), size)))

    async def all_of(self, values: Iterable[Any]) -> list[str]:
        """Who answered each, one after another."""
        return [await self.post(value) for value in values]


async def answer(name: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """A replica's side of one connection: it reads whatever comes, and says its name once a request is whole."""
    try:
        while head := await reader.readuntil(b"\r\n\r\n"):
            lines = dict(line.split(": ", 1) for line in head.decode().strip().split("\r\n")[1:])
            if "content-length" in lines:
                await reader.readexactly(int(lines["content-length"]))
            else:
                await reader.readuntil(b"0\r\n\r\n")
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%b" % (len(name), name.encode()))
    except asyncio.IncompleteReadError:
        pass
    finally:
        writer.close()


@asynccontextmanager
async def served(policy: PartRef) -> AsyncIterator[Client]:
    """An endpoint with four replicas, routed by this policy as the registry makes it."""
    async with AsyncExitStack() as stack:
        layout = Layout(Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="fc-"))), "test")
        registry = open_registry(setting_of_process([], {"FLASHCORE_NO_CACHE": "1"}, None))
        stack.callback(registry.close)
        jobs = await MemoryStores().open_jobs("memory:")
        gateway = Gateway(layout, jobs, registry.routing_policies, Settings(stop_grace=1.0))
        await gateway.start()
        stack.push_async_callback(gateway.close)
        routes = []
        for name in REPLICAS:
            path = layout.root / f"{name}.sock"
            server = await asyncio.start_unix_server(partial(answer, name), path, limit=2**22)
            stack.callback(server.close)
            routes.append(ReplicaRoute(ReplicaId(name), InstanceId(f"life-of-{name}"), f"unix:{path}", 4))
        side = SideRoute(RevisionId("r" * 64), None, tuple(routes))
        route = EndpointRoute(
            EndpointName("chat"), "http", (side,), policy, execution_timeout=60, ttl=600, result_retention=60,
            max_attempts=2,
        )  # fmt: skip
        gateway.live.apply(RoutingTable(1, (route,)))
        yield Client(await gateway.http.listen("127.0.0.1", 0))


@pytest.mark.parametrize("framing", ["length", "chunked"])
async def test_prefix_hash_keeps_together_what_begins_alike(framing: str) -> None:
    """In one piece or in many; what begins otherwise is spread."""
    async with served(PartRef("prefix_hash", options={"characters": 100})) as client:
        send = client.post if framing == "length" else client.post_chunked

        alike = {await send({"prompt": "You are a helpful assistant. " * 4 + str(tail)}) for tail in range(15)}
        unlike = {await send({"prompt": f"{head:03} " * 30}) for head in range(40)}

    assert (len(alike), unlike) == (1, set(REPLICAS))


async def test_prefix_hash_goes_by_the_start_of_a_body_that_does_not_end() -> None:
    """Its limit is enough to choose by; a megabyte behind it is streamed."""
    async with served(PartRef("prefix_hash", options={"characters": 10, "body_limit": 64})) as client:
        first = await client.post({"prompt": "0123456789 short"})
        long = [await client.post_chunked({"prompt": "0123456789" + "x" * 1_000_000}, 50_000) for _ in range(3)]

    assert set(long) == {first}


async def test_cache_aware_sends_a_conversation_to_whoever_has_its_beginning() -> None:
    """Each turn repeats all turns before it; conversations go their own ways."""
    options = {"field": "prompt", "block": 16}
    async with served(PartRef("cache_aware", options=options)) as client:
        owners = []
        for number in range(12):
            turns = [{"prompt": f"{number:02} says " + "and so on, " * 10 * length} for length in (1, 2, 3)]
            owners.append(Counter(await client.all_of(turns)))

    assert [len(owner) for owner in owners] == [1] * 12
    assert len({next(iter(owner)) for owner in owners}) > 1


async def test_bucket_knows_the_length_of_a_chunked_body() -> None:
    """Short ones keep to their own replicas though their heads do not say that they are short."""
    async with served(PartRef("bucket", options={"classes": 2, "window": 64})) as client:
        for _ in range(16):
            await client.post({"text": "x"})
            await client.post_chunked({"text": "x" * 10_000}, 2_000)
        short, long = set(), set()
        for _ in range(16):
            short.add(await client.post_chunked({"text": "x"}))
            long.add(await client.post_chunked({"text": "x" * 10_000}, 2_000))

    assert short == {"a", "b"}
    assert long & {"c", "d"}
