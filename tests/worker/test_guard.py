"""What a request passes on its way into a replica that drains: WebSockets are closed, requests are finished."""

import asyncio
from collections.abc import MutableMapping
from typing import Any

import pytest

from flashcore.model.names import InstanceId
from flashcore.wire.hop import HOP_HEADER, hop_key
from flashcore.worker.guard import DRAINING_HEADER, INSTANCE_HEADER, Application, Guard, Receive, Scope, Send

Message = MutableMapping[str, Any]


class Silent:
    """An output that nobody reads."""

    def finish(self, current: object) -> None:
        """Nothing was written."""


class Connection:
    """A server's side of one scope: what the application receives, and what it sent."""

    def __init__(self, kind: str, *headers: tuple[bytes, bytes]) -> None:
        self.scope: Scope = {"type": kind, "path": "/", "headers": list(headers)}
        self.sent: list[Message] = []
        self._incoming: asyncio.Queue[Message] = asyncio.Queue()

    async def receive(self) -> Message:
        """What came, or the end after a close."""
        return await self._incoming.get()

    async def send(self, message: Message) -> None:
        """Remember; a close ends the connection for the application, too."""
        self.sent.append(message)
        if message["type"] == "websocket.close":
            self._incoming.put_nowait({"type": "websocket.disconnect", "code": message["code"]})

    @property
    def kinds(self) -> list[str]:
        """What was sent, by type."""
        return [message["type"] for message in self.sent]


def guarded(app: Application, hop_key: str = "") -> Guard:
    """The application behind a guard."""
    return Guard(app, InstanceId("i1"), Silent(), hop_key)  # type: ignore[arg-type]  # all that a guard asks of an output


async def test_a_draining_replica_closes_websockets_and_finishes_requests() -> None:
    """M57: the socket is told to come back elsewhere at once, the request has the grace."""
    inside, release = asyncio.Event(), asyncio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            inside.set()
            await release.wait()
            await send({"type": "http.response.start", "status": 200, "headers": []})
            return
        await send({"type": "websocket.accept"})
        while (await receive())["type"] != "websocket.disconnect":
            pass
        with pytest.raises(OSError, match="draining"):
            await send({"type": "websocket.send", "text": "too late"})

    guard = guarded(app)
    socket, request = Connection("websocket"), Connection("http")
    running = [asyncio.create_task(guard(each.scope, each.receive, each.send)) for each in (socket, request)]
    await inside.wait()
    draining = asyncio.create_task(guard.drain())
    await running[0]
    left, ended = guard.in_flight, draining.done()
    release.set()
    await asyncio.gather(*running, draining)

    assert socket.kinds == ["websocket.accept", "websocket.close"]
    assert socket.sent[1]["code"] == 1012
    assert (left, ended) == (1, False)
    assert request.kinds == ["http.response.start"]


async def test_a_socket_that_is_gone_does_not_stop_the_drain() -> None:
    """Its server may answer a close with any error."""
    gone = asyncio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        gone.set()
        await receive()

    async def broken(message: Message) -> None:
        socket._incoming.put_nowait({"type": "websocket.disconnect"})  # noqa: SLF001 - as a server does
        raise RuntimeError("the connection is closed")

    guard, socket = guarded(app), Connection("websocket")
    running = asyncio.create_task(guard(socket.scope, socket.receive, broken))
    await gone.wait()

    await guard.drain()

    await running
    assert guard.in_flight == 0


@pytest.mark.parametrize("shown", [(), ((HOP_HEADER, b"another"),), ((HOP_HEADER, b""),)])
@pytest.mark.parametrize("kind", ["http", "websocket"])
async def test_nobody_without_the_revisions_key_gets_in(kind: str, shown: tuple[tuple[bytes, bytes], ...]) -> None:
    """Whoever finds the socket: 403, and the application hears nothing of it."""
    reached: list[Scope] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        reached.append(scope)

    caller = Connection(kind, *shown)
    await guarded(app, hop_key("secret", "r1"))(caller.scope, caller.receive, caller.send)

    assert reached == []
    assert caller.kinds[0] == ("http.response.start" if kind == "http" else "websocket.close")
    assert kind != "http" or (caller.sent[0]["status"], (HOP_HEADER, b"refused") in caller.sent[0]["headers"]) == (
        403,
        True,
    )


@pytest.mark.parametrize(("drains", "status"), [(False, 421), (True, 503)], ids=["another life", "draining"])
async def test_a_websocket_is_sent_elsewhere_as_requests_are(drains: bool, status: int) -> None:  # noqa: FBT001 - a parameter
    """S60: by the status that the gateway goes by. It passed a 403 on, and the client was refused for good."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        raise AssertionError("it is not let in")

    guard, instance = guarded(app), b"i1" if drains else b"i0"
    if drains:
        await guard.drain()
    caller = Connection("websocket", (INSTANCE_HEADER, instance))
    caller.scope["extensions"] = {"websocket.http.response": {}}
    await guard(caller.scope, caller.receive, caller.send)

    assert caller.kinds == ["websocket.http.response.start", "websocket.http.response.body"]
    start = caller.sent[0]
    assert (start["status"], dict(start["headers"]).get(DRAINING_HEADER)) == (status, b"1" if drains else None)


async def test_the_application_is_not_shown_the_key() -> None:
    """Many answer with the headers that they got."""
    reached: list[Scope] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        reached.append(scope)

    key = hop_key("secret", "r1")
    caller = Connection("http", (b"accept", b"*/*"), (HOP_HEADER, key.encode()))
    await guarded(app, key)(caller.scope, caller.receive, caller.send)

    assert reached[0]["headers"] == [(b"accept", b"*/*")]


def test_each_revision_has_a_key_of_its_own() -> None:
    """One tells nothing of another."""
    assert len({hop_key("secret", "r1"), hop_key("secret", "r2"), hop_key("other", "r1")}) == 3
