"""A gateway that was killed comes back where replicas and callers know it."""

from __future__ import annotations

import http.client
import threading
import time
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from flashcore.model.layout import Layout
from flashcore.presence import Presence, read_presence
from flashcore.testing.project import ProjectUnderTest

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

APP = """
from flashcore import QueueEndpoint

hello = QueueEndpoint("hello")


@hello.function
def greet() -> str:
    return "hello"
"""


def kill(project: ProjectUnderTest, process: int) -> None:
    """Kill one of the platform's processes."""
    next(one for one in project.processes() if one.pid == process).kill()


def successor(gateway: int, file: Path) -> Presence:
    """The gateway that is in the place of another one, as soon as there is one."""
    deadline = time.monotonic() + 60
    while (present := read_presence(file)) is None or present.pid == gateway:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return present


def test_a_killed_gateway_is_started_again_on_its_port(project: ProjectUnderTest) -> None:
    """Also where any port was wanted: replicas hold the address that they were given."""
    project.write("app.py", APP)
    project.must("deploy")
    file = project.root / ".flashcore/environments/production/gateway.json"
    before = read_presence(file)
    assert before is not None

    kill(project, before.pid)

    after = successor(before.pid, file)
    assert after.url == before.url
    assert project.must("call", "hello").out == "hello\n"


def test_a_stop_leaves_no_folder_of_sockets_behind(project: ProjectUnderTest) -> None:
    """It may lie outside of the project, where nobody would look for it."""
    project.must("server", "start")
    run = Layout(project.root, "production").run
    assert run.is_dir()

    project.must("server", "stop")

    assert not run.exists()


WEB = """
from flashcore import LoadBalancedEndpoint

web = LoadBalancedEndpoint("web", replicas=2, max_concurrency=20)


@web.get("/")
def index() -> str:
    return "hello"
"""


def test_a_gateway_is_replaced_without_a_call_refused(project: ProjectUnderTest) -> None:
    """Who calls meanwhile waits for the next one, on the same port; who is being answered is answered.

    So is what comes over a connection that was kept: its client cannot know of the restart.
    """
    project.write("app.py", WEB)
    project.must("deploy")
    address = urlsplit(project.url())
    ended = threading.Event()
    statuses: list[int] = []

    def call(*, keep: bool) -> None:
        connection = http.client.HTTPConnection(address.hostname or "", address.port, timeout=30)
        while not ended.is_set():
            connection.request("GET", "/web/")
            answer = connection.getresponse()
            answer.read()
            statuses.append(answer.status)
            if not keep:
                connection.close()
        connection.close()

    callers = [threading.Thread(target=call, kwargs={"keep": number % 2 == 0}) for number in range(8)]
    for caller in callers:
        caller.start()
    pids = {project.must("server", "restart-gateway", "--json").json["gateway_pid"] for _ in range(3)}
    ended.set()
    for caller in callers:
        caller.join()

    assert len(pids) == 3
    assert project.url() == f"http://{address.netloc}"
    assert len(statuses) > 20
    assert set(statuses) == {200}


LONG = """
import pathlib
import time

from fastapi import WebSocket

from flashcore import LoadBalancedEndpoint, QueueEndpoint

web = LoadBalancedEndpoint("web", replicas=1, max_concurrency=20, termination_grace=1)
hello = QueueEndpoint("hello")


@web.get("/")
def index() -> str:
    return "hello"


@web.get("/count")
def count(until: str):
    number = 0
    while not pathlib.Path(until).exists():
        yield number
        number += 1
        time.sleep(0.05)


@web.websocket("/echo")
async def echo(socket: WebSocket) -> None:
    await socket.accept()
    async for text in socket.iter_text():
        await socket.send_text(text)


@hello.function
def greet() -> str:
    return "hello"
"""


def test_a_long_answer_goes_on_while_its_gateway_is_replaced(project: ProjectUnderTest) -> None:
    """Beside it the next ones answer calls and do jobs, also after one was killed; a stop leaves none behind."""
    project.write("app.py", LONG)
    project.must("deploy")
    address = urlsplit(project.url())
    file = Layout(project.root, "production").gateway_file
    first = read_presence(file)
    assert first is not None
    ends = [project.root / "one", project.root / "two"]
    connections = [http.client.HTTPConnection(address.hostname or "", address.port, timeout=60) for _ in ends]
    answers = []
    for connection, end in zip(connections, ends, strict=True):
        connection.request("GET", f"/web/count?until={end}")
        answers.append(connection.getresponse())
        assert answers[-1].readline() == b"0\n"
    with connect(f"ws://{address.netloc}/web/echo") as socket:
        pids = [project.must("server", "restart-gateway", "--json").json["gateway_pid"] for _ in range(2)]
        said = project.must("call", "hello").out
        kill(project, pids[-1])
        successor(pids[-1], file)
        again = project.must("call", "hello").out
        socket.send("still")
        echoed = socket.recv(timeout=60)
        ends[0].touch()
        rest = answers[0].read()
        gateways = [one for one in project.processes() if "flashcore.gateway" in one.cmdline()]
        shown = project.must("server", "status", "--json").json
        notes = project.must("status", "--json").json["notes"]
        project.must("server", "stop")
        with pytest.raises(ConnectionClosed, match="1012"):
            socket.recv(timeout=60)

    assert echoed == "still"
    assert (said, again) == ("hello\n", "hello\n")
    numbers = [int(line) for line in rest.splitlines()]
    assert numbers == list(range(1, len(numbers) + 1)), "it is whole"
    assert len(gateways) == 2, "the first one, for the other answer, and the one that serves"
    assert [one["pid"] for one in shown["retired_gateways"]] == [first.pid]
    assert f"gateway {first.pid} was replaced and finishes what it had begun: 2 requests" in notes
    assert not project.processes()
    for connection in connections:
        connection.close()


def test_a_replacement_goes_on_without_the_control_plane(project: ProjectUnderTest) -> None:
    """It is killed once the next gateway is on its way, which needs nobody: the command fails, and calls go on."""
    project.write("app.py", APP)
    project.must("deploy")
    layout = Layout(project.root, "production")
    first, control = read_presence(layout.gateway_file), read_presence(layout.server_file)
    assert first is not None
    assert control is not None
    command = project.start("server", "restart-gateway")
    deadline = time.monotonic() + 60
    while not any("--succeed" in one.cmdline() for one in project.processes()):
        assert time.monotonic() < deadline
        time.sleep(0.005)

    kill(project, control.pid)

    command.communicate(timeout=60)
    present = successor(first.pid, layout.gateway_file)
    assert command.returncode != 0
    assert present.url == first.url
    assert project.must("call", "hello").out == "hello\n"
    project.must("server", "stop")
    assert not project.processes()
