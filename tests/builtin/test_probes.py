"""The built-in probes: against the kit that every probe passes, and against real replicas' answers."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest

from flashcore.builtin.exec_probe import ExecProbing
from flashcore.builtin.heartbeat_probe import HeartbeatProbing
from flashcore.builtin.http_probe import HttpProbing
from flashcore.builtin.tcp_probe import TcpProbing
from flashcore.hookspecs.probes import Answer, Finding, Probe, ProbeTarget
from flashcore.hookspecs.providers import Running
from flashcore.model.errors import DeadlineExceeded, NotFound
from flashcore.model.names import EndpointName, InstanceId, ReplicaId
from flashcore.model.parts import ExecProbe, Heartbeat, HttpProbe, TcpProbe
from flashcore.testing.probe_kit import ProbeKit
from flashcore.testing.unreachable import UnreachableProvider
from flashcore.wire.hello import Stage


class TestHttpProbe(ProbeKit):
    """The probe `http`."""

    def probe(self) -> Probe:
        """A fresh one."""
        return HttpProbing(HttpProbe())


class TestTcpProbe(ProbeKit):
    """The probe `tcp`."""

    def probe(self) -> Probe:
        """A fresh one."""
        return TcpProbing(TcpProbe())


class TestHeartbeatProbe(ProbeKit):
    """The probe `heartbeat`."""

    def probe(self) -> Probe:
        """A fresh one."""
        return HeartbeatProbing(Heartbeat())


class CommandProvider(UnreachableProvider):
    """A provider that runs no command and says what would have come of it."""

    def __init__(self, outcome: tuple[int, str] | Exception) -> None:
        self.asked: list[tuple[str, ...]] = []
        self._outcome = outcome

    async def execute(self, replica: ReplicaId, command: tuple[str, ...], timeout: float) -> tuple[int, str]:
        """What it was told to say."""
        self.asked.append(command)
        if isinstance(self._outcome, Exception):
            raise self._outcome
        return self._outcome


def target(
    stage: Stage = Stage.READY,
    address: str | None = None,
    *,
    connected: bool = True,
    detail: str = "",
    provider: UnreachableProvider | None = None,
) -> ProbeTarget:
    """A replica that says this of itself."""
    running = Running(InstanceId("life-1"), stage, 0.0, detail, address, connected)
    return ProbeTarget(EndpointName("e"), ReplicaId("e-1"), running, provider or UnreachableProvider())


@contextlib.asynccontextmanager
async def answering(answer: str) -> AsyncIterator[tuple[str, list[str]]]:
    """A server that gives this answer; its address, and what it was asked."""
    asked: list[str] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append((await reader.readuntil(b"\r\n\r\n")).decode())
        writer.write(answer.encode())
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    yield f"tcp:127.0.0.1:{server.sockets[0].getsockname()[1]}", asked
    server.close()


@pytest.mark.parametrize(
    ("status", "stage", "expected"),
    [
        (200, Stage.READY, Answer.OK),
        (204, Stage.READY, Answer.OK),
        (302, Stage.READY, Answer.OK),
        (399, Stage.READY, Answer.OK),
        (400, Stage.READY, Answer.FAILING),
        (500, Stage.READY, Answer.FAILING),
        (503, Stage.READY, Answer.FAILING),
        (199, Stage.READY, Answer.FAILING),
        (421, Stage.READY, Answer.FAILING),
        (200, Stage.LOADING, Answer.OK),
        (204, Stage.LOADING, Answer.NEUTRAL),
        (503, Stage.STARTING, Answer.NEUTRAL),
        (500, Stage.LOADING, Answer.FAILING),
    ],
)
async def test_http_answers_mean_what_they_say(status: int, stage: Stage, expected: Answer) -> None:
    """200-399 is well; 204 and 503 are neutral while it warms up; no redirect is followed."""
    async with answering(f"HTTP/1.1 {status} Whatever\r\nLocation: /elsewhere\r\n\r\n") as (address, asked):
        finding = await HttpProbing(HttpProbe("/well")).probe(target(stage, address), 60.0)

    assert finding.answer is expected
    assert len(asked) == 1
    assert asked[0].startswith("GET /well HTTP/1.1\r\n")
    assert "x-flashcore-instance: life-1\r\n" in asked[0]


async def test_another_replica_at_the_address_is_named() -> None:
    """S60: a process that took the address over is one that is not well, not one that is."""
    async with answering("HTTP/1.1 421 Misdirected Request\r\n\r\n") as (address, _):
        finding = await HttpProbing(HttpProbe()).probe(target(address=address), 60.0)

    assert finding == Finding(Answer.FAILING, "another replica answers at its address")


@pytest.mark.parametrize("answer", ["", "SSH-2.0-OpenSSH\r\n\r\n", "HTTP/1.1 abc\r\n\r\n", "x" * 100_000])
async def test_what_is_no_http_is_failing(answer: str) -> None:
    """A closed connection, another protocol, a head without an end: failing, with what was seen."""
    async with answering(answer) as (address, _):
        finding = await HttpProbing(HttpProbe()).probe(target(address=address), 60.0)

    assert finding.answer is Answer.FAILING
    assert finding.detail


async def test_a_unix_socket_is_an_address(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Replicas of the process provider listen on them."""
    path, ended = tmp_path_factory.mktemp("s") / "x.h", asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError):  # whoever only connects asks nothing
            await reader.readuntil(b"\r\n\r\n")
            writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        writer.close()
        ended.set()

    server = await asyncio.start_unix_server(serve, str(path))
    for probe in (HttpProbing(HttpProbe()), TcpProbing(TcpProbe())):
        ended.clear()
        assert (await probe.probe(target(address=f"unix:{path}"), 60.0)).answer is Answer.OK
        await ended.wait()
    server.close()


@pytest.mark.parametrize("probe", [HttpProbing(HttpProbe()), TcpProbing(TcpProbe())], ids=["http", "tcp"])
@pytest.mark.parametrize("address", [None, "unix:/no/such/socket", "tcp:127.0.0.1:1", "ipx:somewhere"])
@pytest.mark.parametrize(("stage", "expected"), [(Stage.LOADING, Answer.NEUTRAL), (Stage.READY, Answer.FAILING)])
async def test_silence_is_neutral_while_it_warms_up(
    probe: Probe, address: str | None, stage: Stage, expected: Answer
) -> None:
    """S7, S8: every way of not answering counts, with its cause; while it loads it counts neither way."""
    finding = await probe.probe(target(stage, address), 60.0)

    assert finding.answer is expected
    assert finding.detail


@pytest.mark.parametrize(
    ("stage", "connected", "expected"),
    [
        (Stage.READY, True, Answer.OK),
        (Stage.LOADING, True, Answer.NEUTRAL),
        (Stage.STARTING, True, Answer.NEUTRAL),
        (Stage.DRAINING, True, Answer.FAILING),
        (Stage.FAILED, True, Answer.FAILING),
        (Stage.READY, False, Answer.FAILING),
    ],
)
async def test_a_heartbeat_is_what_the_replica_says(stage: Stage, connected: bool, expected: Answer) -> None:  # noqa: FBT001 - a parameter of the table
    """Connected and ready is well; what it says while loading is neutral."""
    finding = await HeartbeatProbing(Heartbeat()).probe(target(stage, connected=connected, detail="why"), 1.0)

    assert finding.answer is expected


@pytest.mark.parametrize(
    ("outcome", "expected"),
    [
        ((0, ""), Finding(Answer.OK)),
        ((2, "no disk\n"), Finding(Answer.FAILING, "check ended with 2: no disk")),
        (DeadlineExceeded("too slow"), Finding(Answer.FAILING, "too slow")),
        (NotFound("not here"), Finding(Answer.FAILING, "not here")),
        (FileNotFoundError(2, "No such file", "check"), Finding(Answer.FAILING, "[Errno 2] No such file: 'check'")),
    ],
)
async def test_a_command_is_judged_by_its_exit_status(outcome: tuple[int, str] | Exception, expected: Finding) -> None:
    """0 is well; its output is told otherwise."""
    provider = CommandProvider(outcome)
    probe = ExecProbing(ExecProbe(("check", "--all")))

    assert await probe.probe(target(provider=provider), 1.0) == expected
    assert provider.asked == [("check", "--all")]
