"""WebSockets through a deployment: whoever was connected is told to come again, and finds the new version."""

from __future__ import annotations

import json
import threading
from collections import deque
from functools import partial

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from flashcore.testing.project import ProjectUnderTest

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]

APP = """
import asyncio

from fastapi import WebSocket

from flashcore import LoadBalancedEndpoint

web = LoadBalancedEndpoint("web", replicas=2, max_concurrency=20)


@web.websocket("/count")
async def count(socket: WebSocket) -> None:
    await socket.accept(subprotocol="counter")
    number = 0
    async for text in socket.iter_text():
        number += int(text)
        await socket.send_json([{version}, number])


@web.websocket("/ticks")
async def ticks(socket: WebSocket) -> None:
    await socket.accept()
    while True:
        await socket.send_text("tick")
        await asyncio.sleep(0.01)


@web.websocket("/fails")
async def fails(socket: WebSocket) -> None:
    await socket.accept()
    raise ValueError("no model")
"""


class Counting(threading.Thread):
    """A client that counts up to the end, and comes again whenever it is told to."""

    def __init__(self, url: str) -> None:
        super().__init__()
        self.url = f"{url}/web/count"
        self.ended = threading.Event()
        self.versions: list[int] = []
        self.codes: list[int | None] = []
        self.failure: BaseException | None = None

    def run(self) -> None:
        """Connect, count, connect."""
        try:
            while not self.ended.is_set():
                with connect(self.url, subprotocols=["counter"]) as socket:  # type: ignore[list-item]  # a NewType
                    self._count(socket)
        except BaseException as error:  # noqa: BLE001 - the test looks at it
            self.failure = error

    def _count(self, socket: ClientConnection) -> None:
        number = 0
        try:
            while not self.ended.wait(0.005):
                socket.send("1")
                number += 1
                version, said = json.loads(socket.recv(timeout=60))
                assert said == number
                self.versions.append(version)
        except ConnectionClosed as closed:
            self.codes.append(closed.rcvd.code if closed.rcvd is not None else None)


def test_whoever_is_connected_while_a_version_is_deployed_comes_again(project: ProjectUnderTest) -> None:
    """M57: each is closed once with 1012, none is refused, messages are answered in order by one replica."""
    project.write("app.py", APP.format(version=1))
    project.must("deploy")
    url = project.url().replace("http", "ws")
    clients = [Counting(url) for _ in range(6)]
    with connect(f"{url}/web/ticks") as ticking:
        assert ticking.recv(timeout=60) == "tick"
        for client in clients:
            client.start()
        project.write("app.py", APP.format(version=2))

        project.must("deploy")

        with pytest.raises(ConnectionClosed, match="1012"):
            deque(iter(partial(ticking.recv, timeout=60), None), maxlen=0)
    before = [len(client.versions) for client in clients]
    while any(len(client.versions) < count + 3 for client, count in zip(clients, before, strict=True)):
        assert all(client.failure is None for client in clients), [client.failure for client in clients]
    for client in clients:
        client.ended.set()
    for client in clients:
        client.join()

    for client in clients:
        assert client.failure is None
        assert client.versions == sorted(client.versions)
        assert (client.versions[0], client.versions[-1]) == (1, 2)
        assert set(client.codes) == {1012}


def test_what_a_function_raises_is_told_and_logged(project: ProjectUnderTest) -> None:
    """1011, with what went wrong; the traceback is in the log."""
    project.write("app.py", APP.format(version=1))
    project.must("deploy")

    url = project.url().replace("http", "ws")
    with connect(f"{url}/web/fails") as socket, pytest.raises(ConnectionClosed) as closed:
        socket.recv(timeout=60)

    assert closed.value.rcvd is not None
    assert (closed.value.rcvd.code, closed.value.rcvd.reason) == (1011, "ValueError: no model")
    assert 'raise ValueError("no model")' in project.must("logs", "web").out
