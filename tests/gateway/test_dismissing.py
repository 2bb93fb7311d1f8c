"""What a token has begun ends with it: streams, WebSockets, links, long polls."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from tests.gateway.conftest import Answer, eventually, http_route, jobs_route, side
from tests.gateway.test_access import ADMIN, Guarded, bearer, guarded, made
from tests.gateway.test_links import Caller, job, linked, worker_of

from flashcore.gateway.http.websocket import FrameEnds, close_frame
from flashcore.model.layout import Layout
from flashcore.model.names import InstanceId, ReplicaId
from flashcore.model.table import ReplicaRoute
from flashcore.model.token import TokenScope
from flashcore.wire.calls import Going, Refusal

SWITCHING = b"HTTP/1.1 101 Switching\r\nconnection: upgrade\r\nupgrade: websocket\r\nsec-websocket-accept: s\r\n\r\n"
UPGRADE = "connection: Upgrade\r\nupgrade: websocket\r\nsec-websocket-key: k\r\n"
STREAM = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n7\r\ndata: 1\r\n"
CLOSED = close_frame(1008, "the token was revoked")


@asynccontextmanager
async def endless(layout: Layout, running: Guarded, begins: bytes) -> AsyncIterator[asyncio.Event]:
    """An endpoint whose replica sends this and goes on for ever; the event is set once it is left alone."""
    left = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(begins)
        with contextlib.suppress(ConnectionError):
            while await reader.read(1 << 16):
                pass
        left.set()
        writer.close()

    path = layout.root / "endless.sock"
    server = await asyncio.start_unix_server(serve, str(path))
    replica = ReplicaRoute(ReplicaId("endless-1"), InstanceId("i"), f"unix:{path}", 10)
    one = side(replica)
    running.serve(http_route("web", one), http_route("open", one, public=True), jobs_route("embed", one))
    try:
        yield left
    finally:
        server.close()


@asynccontextmanager
async def asking(
    running: Guarded, path: str, token: str, more: str = "", version: str = "1.1"
) -> AsyncIterator[Caller]:
    """A client that has sent a GET."""
    reader, writer = await asyncio.open_connection("127.0.0.1", int(running.gateway.url.rpartition(":")[2]))
    writer.write(f"GET {path} HTTP/{version}\r\nhost: a\r\nauthorization: Bearer {token}\r\n{more}\r\n".encode())
    try:
        yield Caller(reader, writer)
    finally:
        writer.close()


async def never(_: object) -> bytes:
    """What a worker answers that is busy for long."""
    await asyncio.Event().wait()
    return b""


def revoke(running: Guarded) -> None:
    """Only the environment's own token is left."""
    running.gateway.keyring.take_over(())


async def test_a_websocket_is_closed_once_its_token_is_revoked(
    layout: Layout, caplog: pytest.LogCaptureFixture
) -> None:
    """With 1008, as its protocol says; the replica sees its client leave, and the audit log has whose it was."""
    text, token = made(TokenScope.CALL)
    async with guarded(layout, token) as running, endless(layout, running, SWITCHING + b"\x81\x02hi") as left:
        async with asking(running, "/web/chat", text, UPGRADE) as client:
            await client.reader.readuntil(b"\x81\x02hi")
            client.writer.write(b"\x81\x80mask")

            revoke(running)
            rest = await client.reader.read()

        await left.wait()
        counts = running.gateway.keyring.refusals.counts

    assert rest == CLOSED
    assert counts == {"the token was revoked": 1}
    lines = [record.getMessage() for record in caplog.records if record.name == "flashcore.audit"]
    assert lines == [
        f"cut off: token fc_{token.id}, the token was revoked, GET /web/chat, from 127.0.0.1 (1 under way)"
    ]


async def test_a_websocket_in_the_middle_of_a_message_is_cut(layout: Layout) -> None:
    """A close would be read as part of the message."""
    text, token = made(TokenScope.CALL)
    async with guarded(layout, token) as running, endless(layout, running, SWITCHING + b"\x81\x05hel") as left:
        async with asking(running, "/web/", text, UPGRADE) as client:
            await client.reader.readuntil(b"hel")

            revoke(running)
            with pytest.raises(ConnectionResetError):
                await client.reader.read()

        await left.wait()


@pytest.mark.parametrize("version", ["1.1", "1.0"])
async def test_a_stream_breaks_off_once_its_token_is_revoked(layout: Layout, version: str) -> None:
    """Its client sees that this is not its end: no last chunk, or a reset where the end would have none."""
    text, token = made(TokenScope.CALL)
    async with guarded(layout, token) as running, endless(layout, running, STREAM) as left:
        async with asking(running, "/web/", text, version=version) as client:
            await client.reader.readuntil(b"data: 1")

            revoke(running)
            if version == "1.1":
                assert await client.reader.read() == b"\r\n"
            else:
                with pytest.raises(ConnectionResetError):
                    await client.reader.read()

        await left.wait()


async def test_what_has_no_answer_yet_is_told_401(layout: Layout) -> None:
    """A request that waits for a replica, two for a job and a worker's long poll."""
    text, token = made(TokenScope.CALL, TokenScope.WORK)
    async with guarded(layout, token) as running, endless(layout, running, b"") as left:
        submitted = (await running.call("POST", "/v2/embed/run", {"input": {}}, bearer(text))).json["id"]
        jobs = [f"/v2/embed/{verb}/{submitted}?wait=50000" for verb in ("stream", "status-sync")]
        paths = ["/web/", *jobs, "/v2/embed/job-stop/w"]
        asked = [asyncio.create_task(running.get(path, bearer(text))) for path in paths]
        await eventually(lambda: running.gateway.http.busy_count == len(paths))

        revoke(running)
        answers: list[Answer] = await asyncio.gather(*asked)
        await left.wait()
        status = await running.get(f"/v2/embed/status/{submitted}", bearer(ADMIN))

    assert [(answer.status, answer.json["error"]["code"]) for answer in answers] == [(401, "unauthorized")] * 4
    assert status.json["status"] == "IN_QUEUE"


async def test_a_link_ends_with_its_token(layout: Layout) -> None:
    """Its calls are answered 401, and it is told why it ends; the jobs are there still."""
    text, token = made(TokenScope.CALL)
    async with (
        guarded(layout, token) as running,
        worker_of(running, layout, never) as worker,
        linked(running, f"Authorization: Bearer {text}") as caller,
    ):
        caller.submit(job(1), job(2))
        await eventually(lambda: len(worker.seen) == 2)

        revoke(running)
        heard = await caller.hear(3)
        assert await caller.ended()

    assert [(one.number, one.status) for one in heard if isinstance(one, Refusal)] == [(1, 401), (2, 401)]
    assert [one.error["code"] for one in heard if isinstance(one, Going) and one.error] == ["unauthorized"]


async def test_an_expired_token_ends_what_it_had_begun(layout: Layout) -> None:
    """By the clock, without anybody asking."""
    text, token = made(TokenScope.CALL, now=time.time(), lifetime=0.5)
    async with (
        guarded(layout, token) as running,
        endless(layout, running, SWITCHING),
        asking(running, "/web/", text, UPGRADE) as client,
    ):
        head = await client.reader.readuntil(b"\r\n\r\n")
        rest = await client.reader.read()

    assert head.startswith(b"HTTP/1.1 101 ")
    assert rest == close_frame(1008, "the token has expired")


async def test_a_new_token_of_the_environment_ends_what_the_old_one_had_begun(layout: Layout) -> None:
    """The file is looked at again while nobody asks for anything."""
    async with (
        guarded(layout) as running,
        endless(layout, running, SWITCHING),
        asking(running, "/web/", ADMIN, UPGRADE) as client,
    ):
        await client.reader.readuntil(b"\r\n\r\n")
        layout.token.write_text("another one\n")
        rest = await client.reader.read()

    assert rest == CLOSED


async def test_nobody_else_is_cut_off(layout: Layout) -> None:
    """Other tokens, public endpoints, and who shows none there."""
    text, token = made(TokenScope.CALL)
    other, kept = made(TokenScope.CALL)
    async with (
        guarded(layout, token, kept) as running,
        endless(layout, running, SWITCHING),
        asking(running, "/web/", text, UPGRADE) as gone,
        asking(running, "/web/", other, UPGRADE) as stays,
        asking(running, "/open/", text, UPGRADE) as public,
    ):
        for client in (gone, stays, public):
            await client.reader.readuntil(b"\r\n\r\n")

        running.gateway.keyring.take_over((kept,))
        assert await gone.reader.read() == CLOSED
        count = running.gateway.http.busy_count

    assert count == 2


async def test_where_no_token_is_asked_for_none_is_missed(layout: Layout) -> None:
    """Its holder would have been let in without it."""
    text, token = made(TokenScope.CALL)
    async with (
        guarded(layout, token, auth=False) as running,
        endless(layout, running, SWITCHING),
        asking(running, "/web/", text, UPGRADE) as client,
    ):
        await client.reader.readuntil(b"\r\n\r\n")
        revoke(running)
        await eventually(lambda: not running.gateway.keyring.withdrawn.is_set())
        count = running.gateway.http.busy_count

    assert count == 1


def frame(kind: int, size: int) -> bytes:
    """As a server sends it."""
    if size < 126:
        length = bytes((size,))
    elif size < 65_536:
        length = b"\x7e" + size.to_bytes(2, "big")
    else:
        length = b"\x7f" + size.to_bytes(8, "big")
    return bytes((0x80 | kind,)) + length + bytes(size)


@pytest.mark.parametrize("piece", [1, 2, 3, 7, 1000, 1 << 20])
def test_the_ends_of_frames_are_found_however_they_are_cut(piece: int) -> None:
    """Of every length that a header can tell."""
    ends = FrameEnds()
    sizes = [0, 1, 125, 126, 127, 300, 65_535, 65_536, 70_000]
    for size in sizes:
        data = frame(2, size)
        for at in range(0, len(data), piece):
            assert ends.is_between == (at == 0)
            ends.feed(data[at : at + piece])
        assert ends.is_between

    ends.feed(b"".join(frame(1, size) for size in sizes) + frame(1, 5)[:-1])
    assert not ends.is_between
    ends.feed(b"x" + frame(9, 0))
    assert ends.is_between


def test_nothing_follows_a_close() -> None:
    """The replica may have been first."""
    ends = FrameEnds(frame(8, 2))

    assert not ends.is_between


def test_a_long_reason_fits_a_close_frame() -> None:
    """125 bytes are the most that a control frame has."""
    assert len(close_frame(1008, "x" * 500)) == 2 + 125
