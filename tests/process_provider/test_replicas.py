"""Replicas of the provider `process`: started, heard, stopped, gone."""

import asyncio
import json
import os
import signal
from pathlib import Path

import pytest
from tests.process_provider.conftest import (
    HINTS,
    ONE,
    Machine,
    eventually,
    forgotten,
    freeze,
    gone,
    processes_of,
    ready,
    revision_of,
    state_of,
    until,
)

from flashcore.builtin.process.ending import ChildProcess, OtherProcess
from flashcore.builtin.process.link import SILENCE
from flashcore.builtin.process.options import ProcessOptions
from flashcore.builtin.process.supervised import KILL_MARGIN
from flashcore.hookspecs.providers import Gone, Hints, KnowsRoom, Running, Stopping
from flashcore.model.declaration import Template
from flashcore.model.names import ReplicaId
from flashcore.wire.hello import Stage

NONE = frozenset[ReplicaId]()
TWO = ReplicaId("e-2")


async def test_a_wanted_replica_runs_and_an_unwanted_one_leaves_nothing(machine: Machine) -> None:
    """From the wish to ready by its own hello, and back to an empty machine; its log stays."""
    provider = await machine.provider()
    revision = await machine.revision()

    await provider.apply(revision, frozenset({ONE}), HINTS)
    running = await ready(provider)
    await provider.apply(revision, NONE, HINTS)
    stopping = await until(provider, Stopping)
    await forgotten(provider)

    assert running.connected
    assert running.since <= stopping.since
    assert processes_of(machine) == []
    assert not machine.places().exists()
    assert list(machine.layout.run.iterdir()) == []
    assert "ready after" in machine.log()


async def test_a_wish_that_is_repeated_changes_nothing(machine: Machine) -> None:
    """`apply` is idempotent, while the process is being started and afterwards."""
    provider = await machine.provider()
    revision = await machine.revision()
    for _ in range(3):
        await provider.apply(revision, frozenset({ONE}), HINTS)
    first = await ready(provider)

    await provider.apply(revision, frozenset({ONE}), HINTS)

    assert (await ready(provider)).instance == first.instance
    assert len(processes_of(machine)) == 1


async def test_replicas_come_and_go_one_by_one(machine: Machine) -> None:
    """`individual`: the one that is left out ends, the others stay as they are."""
    provider = await machine.provider()
    revision = await machine.revision()
    await provider.apply(revision, frozenset({ONE, TWO}), HINTS)
    kept = await ready(provider, TWO)
    await ready(provider, ONE)

    await provider.apply(revision, frozenset({TWO}), HINTS)
    await eventually(lambda: not machine.places(ONE).exists())

    assert (await ready(provider, TWO)).instance == kept.instance
    assert len(processes_of(machine)) == 1


async def test_revisions_are_apart(machine: Machine) -> None:
    """A wish for one revision says nothing of another one's replicas."""
    provider = await machine.provider()
    old, new = await machine.revision("def f(): return 1"), await machine.revision("def f(): return 2")
    await provider.apply(old, frozenset({ONE}), HINTS)
    await provider.apply(new, frozenset({TWO}), HINTS)
    await ready(provider, ONE)
    await ready(provider, TWO)

    await provider.apply(old, NONE, HINTS)
    await eventually(lambda: not machine.places(ONE).exists())

    assert isinstance(await state_of(provider, TWO), Running)


async def test_what_a_replica_says_is_told(machine: Machine) -> None:
    """LOADING while it imports, then READY; each is a change that listeners hear of."""
    provider, go_on = await machine.provider(), machine.layout.root / "go-on"
    code = f"""
        import pathlib, time
        while not pathlib.Path({str(go_on)!r}).exists():
            time.sleep(0.01)
        def f(): ...
        """
    await provider.apply(await machine.revision(code), frozenset({ONE}), HINTS)

    loading = await until(provider, Running, lambda state: state.stage is Stage.LOADING)
    go_on.touch()
    running = await ready(provider)

    assert running.since == loading.since


async def test_a_replica_sees_what_it_should_and_nothing_of_the_control_plane(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Q24: its own folder, HOME, session and empty stdin; variables of revision, then platform, then secrets."""
    monkeypatch.setenv("FLASHCORE_STATE", "postgres://secret")
    monkeypatch.setenv("FLASHCORE_TOKEN", "admin")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "of the operator")
    monkeypatch.setenv("LC_ALL", "C.UTF-8")
    provider = await machine.provider()
    code = """
        import json, os, sys
        told = {"env": dict(os.environ), "cwd": os.getcwd(), "stdin": sys.stdin.read(), "sid": os.getsid(0),
                "pgid": os.getpgid(0), "path0": sys.path[0], "argv": open("/proc/self/cmdline").read()}
        json.dump(told, open("told.json", "w"))
        def f(): ...
    """
    template = Template(max_concurrency=7, warm=False)  # a forked one imports where its parent is
    revision = await machine.revision(code, template, env={"A": "revision", "B": "revision"})
    hints = Hints(env={"B": "platform", "FLASHCORE_ENV": "test"}, secrets={"PASSWORD": "s3cret"}, grace=4.0)

    await provider.apply(revision, frozenset({ONE}), hints)
    await ready(provider)
    told = json.loads((machine.places() / "work" / "told.json").read_text())

    env, pid = told["env"], processes_of(machine)[0].pid
    assert (env["A"], env["B"], env["PASSWORD"], env["LC_ALL"]) == ("revision", "platform", "s3cret", "C.UTF-8")
    assert (env["FLASHCORE_SLOTS"], env["FLASHCORE_GRACE"], env["FLASHCORE_ENV"]) == ("7", "4.0", "test")
    assert not {"FLASHCORE_STATE", "FLASHCORE_TOKEN", "AWS_SECRET_ACCESS_KEY", "PYTEST_CURRENT_TEST"} & env.keys()
    assert (told["cwd"], env["HOME"]) == (str(machine.places() / "work"), str(machine.places() / "home"))
    assert (told["sid"], told["pgid"], told["stdin"]) == (pid, pid, "")
    assert "s3cret" not in told["argv"]
    assert not [path for path in machine.places().glob("*.json") if "s3cret" in path.read_text()]


async def test_code_that_cannot_be_loaded_is_told_with_its_output(machine: Machine) -> None:
    """The reason is the error's own line; the output is there; it stays until it is no longer wanted."""
    provider = await machine.provider()
    revision = await machine.revision("print('on my way')\nimport package_that_is_missing")

    await provider.apply(revision, frozenset({ONE}), HINTS)
    told = await gone(provider)

    assert told.reason == "it could not start: ModuleNotFoundError: No module named 'package_that_is_missing'"
    assert (told.exit_code, told.permanent) == (1, False)
    assert "on my way" in told.log_tail
    await provider.apply(revision, frozenset({ONE}), HINTS)
    assert isinstance(await state_of(provider), Gone)
    await provider.apply(revision, NONE, HINTS)
    await forgotten(provider)


@pytest.mark.parametrize(
    ("number", "said"),
    [(signal.SIGKILL, "killed by SIGKILL (was there enough memory?)"), (signal.SIGSEGV, "killed by SIGSEGV")],
)
async def test_a_crash_is_told(machine: Machine, number: int, said: str) -> None:
    """Q22: seen as an event, with the signal's name."""
    provider = await machine.provider()
    await provider.apply(await machine.revision(), frozenset({ONE}), HINTS)
    await ready(provider)

    processes_of(machine)[0].send_signal(number)
    told = await gone(provider)

    assert said in told.reason
    assert told.exit_code == -number


def worker_that(does: str) -> dict[str, bytes]:
    """An artifact whose worker does something else instead of what a worker does."""
    return {
        "flashcore/__init__.py": b"",
        "flashcore/worker/__init__.py": b"",
        "flashcore/worker/__main__.py": does.encode(),
        "handler_e.py": b"",
    }


async def test_a_process_that_ends_before_it_says_who_it_is(machine: Machine) -> None:
    """Its status and output are all that is known."""
    provider = await machine.provider()
    digest = await machine.artifact(worker_that("print('broken'); raise SystemExit(3)"))

    await provider.apply(revision_of(digest, Template()), frozenset({ONE}), HINTS)
    told = await gone(provider)

    assert told.reason == "it ended with exit status 3 before it said who it is"
    assert told.log_tail[-1] == "broken"


SPEAKS_HTTP = """
import os, socket
s = socket.socket(socket.AF_UNIX)
s.bind(os.environ["FLASHCORE_CONTROL_SOCKET"])
s.listen()
os.write(int(os.environ["FLASHCORE_READY_FD"]), b"!")
while True:
    c, _ = s.accept()
    c.send(b"HTTP/1.1 200 OK" * 10)
    c.close()
"""

SPEAKS_ANOTHER_PROTOCOL = f"""
import os, socket, sys, time
for name in [name for name in sys.modules if name.startswith("flashcore")]:
    del sys.modules[name]
sys.path = [{str(Path(__file__).resolve().parents[2] / "src")!r}, *sys.path]
from flashcore.wire.frames import encode_frame
from flashcore.wire.hello import Hello, Identity, Stage, Status
from flashcore.wire.messages import to_frame
from flashcore.wire.versions import VersionRange
env = os.environ
identity = Identity("e", env["FLASHCORE_REPLICA"], env["FLASHCORE_INSTANCE"], env["FLASHCORE_REVISION"],
                    os.getpid(), 0.0, "", VersionRange(90, 99))
s = socket.socket(socket.AF_UNIX)
s.bind(env["FLASHCORE_CONTROL_SOCKET"])
s.listen()
os.write(int(env["FLASHCORE_READY_FD"]), b"!")
c, _ = s.accept()
c.sendall(encode_frame(to_frame(Hello(identity, Status(Stage.READY)))))
time.sleep(600)
"""


@pytest.mark.parametrize(
    "does",
    [
        "import time; time.sleep(600)",
        "import os, time; os.write(int(os.environ['FLASHCORE_READY_FD']), b'!'); time.sleep(600)",
        SPEAKS_HTTP,
    ],
    ids=["never listens", "lies about it", "speaks otherwise"],
)
async def test_a_process_that_never_says_who_it_is_is_killed(machine: Machine, does: str) -> None:
    """The time for a hello is bounded."""
    provider = await machine.provider(ProcessOptions(hello_within=1.0))
    digest = await machine.artifact(worker_that(does))

    await provider.apply(revision_of(digest, Template()), frozenset({ONE}), HINTS)

    assert (await gone(provider)).reason == "it did not say who it is within 1 s"
    assert processes_of(machine) == []


async def test_a_process_of_another_protocol_is_told_for_good(machine: Machine) -> None:
    """An artifact that was built by a flashcore of another age: to start it again is of no use."""
    provider = await machine.provider()

    await provider.apply(
        revision_of(await machine.artifact(worker_that(SPEAKS_ANOTHER_PROTOCOL)), Template()), frozenset({ONE}), HINTS
    )
    told = await gone(provider)

    assert "speaks protocol 90-99" in told.reason
    assert told.permanent


async def test_a_frozen_replica_is_killed_at_the_end_of_its_grace(machine: Machine) -> None:
    """Q22: it hears neither message nor signal; the whole group goes."""
    provider = await machine.provider()
    revision = await machine.revision()
    await provider.apply(revision, frozenset({ONE}), HINTS)
    await ready(provider)
    process = processes_of(machine)[0]
    await freeze(process)

    began = asyncio.get_running_loop().time()
    await provider.apply(revision, NONE, Hints(grace=0.2))
    await forgotten(provider)

    assert asyncio.get_running_loop().time() - began > KILL_MARGIN
    assert not process.is_running()


async def test_code_that_ignores_sigterm_is_stopped(machine: Machine) -> None:
    """Q23: the provider's message reaches the worker, whatever user code makes of signals."""
    provider = await machine.provider()
    code = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN)\ndef f(): ..."
    revision = await machine.revision(code)
    await provider.apply(revision, frozenset({ONE}), HINTS)
    await ready(provider)

    await provider.apply(revision, NONE, Hints(grace=60.0))

    await forgotten(provider, 30.0)


async def test_nothing_outlives_a_replica(machine: Machine) -> None:
    """Q24: children in its group, in sessions of their own and orphaned twice over all end with it."""
    provider = await machine.provider()
    code = """
        import subprocess, sys
        SLEEP = [sys.executable, "-c", "import time; time.sleep(600)"]
        AWAY = f"import subprocess; subprocess.Popen({SLEEP!r}, start_new_session=True)"
        subprocess.Popen(SLEEP)
        subprocess.Popen(SLEEP, start_new_session=True)
        subprocess.run([sys.executable, "-c", AWAY])
        def f(): ...
    """
    await provider.apply(await machine.revision(code), frozenset({ONE}), HINTS)
    await ready(provider)
    await eventually(lambda: len(processes_of(machine)) == 4)  # what is being started shows no environment for a moment
    record = json.loads((machine.places() / "replica.json").read_text())

    os.kill(record["identity"]["pid"], signal.SIGKILL)
    await gone(provider)

    assert processes_of(machine) == []


async def test_a_replica_that_cannot_be_looked_after_is_killed(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Q24: it is told to be gone, and would be an orphan that not even the end of the platform ends."""

    async def fails(_: object) -> int:
        await asyncio.sleep(0)  # who else looks after it has begun by then
        raise ArithmeticError("a mistake")

    monkeypatch.setattr(ChildProcess, "ended", fails)
    monkeypatch.setattr(OtherProcess, "ended", fails)
    provider = await machine.provider()

    await provider.apply(await machine.revision(), frozenset({ONE}), HINTS)
    state = await gone(provider)

    assert "the provider failed" in state.reason
    await eventually(lambda: processes_of(machine) == [])


async def test_a_process_with_the_same_name_elsewhere_is_left_alone(machine: Machine) -> None:
    """Only what carries the replica's own instance id is ended with it."""
    provider = await machine.provider()
    environ = {"FLASHCORE_INSTANCE": "another", "PATH": os.environ["PATH"]}
    other = await asyncio.create_subprocess_exec("sleep", "600", env=environ)
    await provider.apply(await machine.revision(), frozenset({ONE}), HINTS)
    await ready(provider)

    processes_of(machine)[0].kill()
    await gone(provider)

    assert other.returncode is None
    other.kill()
    await other.wait()


async def test_a_replica_that_is_no_longer_wanted_before_it_started_never_starts(machine: Machine) -> None:
    """A wish and its withdrawal in one instant."""
    provider = await machine.provider()
    revision = await machine.revision()
    await provider.apply(revision, frozenset({ONE}), HINTS)
    await provider.apply(revision, NONE, HINTS)

    await forgotten(provider)

    assert processes_of(machine) == []
    assert not machine.places().exists()


async def test_a_replica_can_be_stopped_while_it_imports(machine: Machine) -> None:
    """Nothing runs in it yet: it need not use its grace."""
    provider = await machine.provider()
    revision = await machine.revision("import time; time.sleep(600)\ndef f(): ...")
    await provider.apply(revision, frozenset({ONE}), HINTS)
    await until(provider, Running, lambda state: state.stage is Stage.LOADING)

    await provider.apply(revision, NONE, Hints(grace=60.0))

    await forgotten(provider, 30.0)


async def test_many_replicas_start_and_end_together(machine: Machine) -> None:
    """Ten at a time, one unpacking of their code."""
    provider = await machine.provider()
    revision = await machine.revision()
    want = frozenset(ReplicaId(f"e-{number}") for number in range(10))

    await provider.apply(revision, want, HINTS)
    for replica in want:
        await ready(provider, replica)
    assert len({process.pid for process in processes_of(machine)}) == 10
    assert [path.name for path in machine.layout.unpacked.iterdir()] == [revision.content.artifact]
    await provider.apply(revision, NONE, HINTS)

    await forgotten(provider)
    assert processes_of(machine) == []


async def test_old_logs_are_removed(machine: Machine) -> None:
    """Logs of replicas that are gone are kept for a while, the newest of them."""
    provider = await machine.provider(ProcessOptions(kept_logs=2))
    revision = await machine.revision()

    for number in range(4):
        replica = ReplicaId(f"e-{number}")
        await provider.apply(revision, frozenset({replica}), HINTS)
        await ready(provider, replica)
        await provider.apply(revision, NONE, HINTS)
        await forgotten(provider)

    assert sorted(path.name for path in (machine.layout.logs / "replicas").iterdir()) == ["e-2.log", "e-3.log"]


async def test_a_lost_connection_is_told_and_made_again(machine: Machine) -> None:
    """A replica that lives and cannot be heard is not taken for dead."""
    provider = await machine.provider()
    await provider.apply(await machine.revision(), frozenset({ONE}), HINTS)
    await ready(provider)
    link = provider._replicas[ONE]._link  # noqa: SLF001 - nothing else cuts a connection between two living processes
    assert link is not None
    assert link._channel is not None  # noqa: SLF001 - as above

    link._channel.abort()  # noqa: SLF001 - as above

    await until(provider, Running, lambda state: not state.connected)
    again = await until(provider, Running, lambda state: state.connected)
    assert again.stage is Stage.READY


@pytest.mark.slow
async def test_q22_a_frozen_replica_is_told_by_its_silence_and_heard_again_when_it_goes_on(machine: Machine) -> None:
    """Q22: its connection stands, but nothing comes over it: whoever asks must not be told that it is well."""
    provider = await machine.provider()
    await provider.apply(await machine.revision(), frozenset({ONE}), HINTS)
    await ready(provider)
    (process,) = processes_of(machine)

    await freeze(process)
    silent = await until(provider, Running, lambda running: not running.connected, within=SILENCE + 60)
    process.resume()
    again = await until(provider, Running, lambda running: running.connected)

    assert silent.instance == again.instance


def test_it_works_on_uvloop_as_well(machine: Machine) -> None:
    """A server runs on the quickest loop there is; ends of processes are events there, too."""
    uvloop = pytest.importorskip("uvloop")

    async def live_and_die() -> str:
        provider = await machine.provider()
        await provider.apply(await machine.revision(), frozenset({ONE}), HINTS)
        await ready(provider)
        processes_of(machine)[0].kill()
        reason = (await gone(provider)).reason
        await provider.close()
        machine.providers.clear()  # it belongs to a loop that is over
        return reason

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        assert "SIGKILL" in runner.run(live_and_die())


async def test_what_a_replica_takes_tells_how_many_there_is_room_for(machine: Machine) -> None:
    """A million processes are no machine's, though none of them declares anything."""
    provider = await machine.provider()
    revision = await machine.revision()
    await provider.apply(revision, frozenset({ONE}), HINTS)
    await ready(provider)

    assert isinstance(provider, KnowsRoom)
    assert provider.doubt(revision, 2) == ""
    assert "1000000 replicas take about" in provider.doubt(revision, 1_000_000)
