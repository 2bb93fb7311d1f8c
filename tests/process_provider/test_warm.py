"""Replicas that are forked from a process that has imported their code: as good as spawned ones, and there sooner."""

import asyncio
import json
import os
import signal
from collections.abc import AsyncIterator, Callable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from pathlib import Path
from subprocess import Popen
from typing import Any

import psutil
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
from tests.process_provider.test_again import leave_running

from flashcore.builtin.process import warm_parent
from flashcore.builtin.process.options import ProcessOptions
from flashcore.hookspecs.providers import Hints, Running
from flashcore.model.codec import to_json
from flashcore.model.declaration import Template
from flashcore.model.manifest import FunctionEntry, FunctionKind, Route
from flashcore.model.names import ReplicaId
from flashcore.testing.fake_gateway import FakeGateway
from flashcore.wire.hello import Stage
from flashcore.worker.warm_environ import MARK

NONE = frozenset[ReplicaId]()
TWO = ReplicaId("e-2")

TELLS = """
    import json, os, random, subprocess, sys, threading
    import numpy.random
    IMPORTED_BY, SECRET = os.getpid(), os.environ.get("PASSWORD")
    os.environ["SET_BY_IMPORT"] = "yes"
    print("imported", flush=True)

    def f():
        ask = subprocess.run([sys.executable, "-c", "import os; print(os.environ['HOME'])"], capture_output=True)
        return {
            "imported by": IMPORTED_BY, "secret then": SECRET, "pid": os.getpid(), "parent": os.getppid(),
            "env": dict(os.environ), "cwd": os.getcwd(), "group": os.getpgid(0), "session": os.getsid(0),
            "seen": open("/proc/self/environ").read(), "child sees": ask.stdout.decode().strip(),
            "dice": [random.random(), float(numpy.random.random())], "stdin": sys.stdin.read(),
            "threads": [thread.name for thread in threading.enumerate()],
            "open": sorted(os.readlink(f"/proc/self/fd/{n}") for n in os.listdir("/proc/self/fd") if n != "99"
                           and os.path.exists(f"/proc/self/fd/{n}")),
        }
"""


def parents_of(machine: Machine) -> list[psutil.Process]:
    """The warm parents of this machine, and what their imports have started."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.status() != psutil.STATUS_ZOMBIE and str(machine.layout.warm) in process.environ().get(MARK, ""):
                found.append(process)
        except (psutil.Error, OSError):
            continue
    return found


def has_ended(process: psutil.Process) -> bool:
    """Whether nothing of it is left but its status: its memory goes first, its connections later."""
    try:
        return process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """A parent has all the time that it needs to fork, on any machine; a test may say otherwise, in seconds."""

    def within(seconds: float) -> None:
        monkeypatch.setattr(warm_parent, "ANSWER_WITHIN", seconds)

    within(600.0)
    return within


@pytest.fixture
async def gateway(machine: Machine) -> AsyncIterator[FakeGateway]:
    """Gives jobs to replicas."""
    made = FakeGateway(machine.layout.worker_socket)
    await made.start()
    yield made
    await made.stop()


async def told_by(gateway: FakeGateway, replicas: int) -> Any:
    """What the function of the replica that connected last returns."""
    await gateway.until(lambda: gateway.connected == replicas)
    result = await gateway.call({})
    assert result.output is not None, result
    return json.loads(bytes(result.output.data))


async def test_replicas_are_forked_and_everything_else_is_their_own(machine: Machine, gateway: FakeGateway) -> None:
    """Q24: code is imported once; pid, group, HOME, folder, variables, dice, log and descriptors are each one's own."""
    provider = await machine.provider()
    revision = await machine.revision(TELLS, Template(secrets=("PASSWORD",)), env={"A": "revision"})
    hints = Hints(env={"B": "platform"}, secrets={"PASSWORD": "s3cret"}, grace=4.0)
    await provider.apply(revision, frozenset({ONE}), hints)
    await ready(provider)
    one = await told_by(gateway, 1)
    await provider.apply(revision, frozenset({ONE, TWO}), hints)
    await ready(provider, TWO)
    two = await told_by(gateway, 2)

    (parent,) = parents_of(machine)
    assert {one["imported by"], two["imported by"], one["parent"], two["parent"]} == {parent.pid}
    assert len({one["pid"], two["pid"], parent.pid}) == 3
    for name, told in ((ONE, one), (TWO, two)):
        env, shown = told["env"], dict(line.partition("=")[::2] for line in told["seen"].split("\0") if line)
        assert (env["A"], env["B"], env["PASSWORD"], env["SET_BY_IMPORT"]) == ("revision", "platform", "s3cret", "yes")
        assert {**shown, "SET_BY_IMPORT": "yes"} == env
        assert (env["FLASHCORE_REPLICA"], env["FLASHCORE_GRACE"], told["secret then"]) == (name, "4.0", "s3cret")
        assert not {MARK, "FLASHCORE_ROOM", "FLASHCORE_WARM_FD", "PYTEST_CURRENT_TEST"} & env.keys()
        assert (told["cwd"], env["HOME"]) == tuple(str(machine.places(name) / folder) for folder in ("work", "home"))
        assert told["child sees"] == env["HOME"]
        assert told["pid"] == told["group"] == told["session"]
        assert (told["stdin"], machine.log(name).count("imported\n")) == ("", 1)
        assert [path for path in told["open"] if path.endswith(".log")] == 2 * [
            str(machine.layout.logs / "replicas" / f"{name}.log")
        ]
        assert not [path for path in told["open"] if "pidfd" in path or "pipe" in path]
    assert not set(one["dice"]) & set(two["dice"])
    commands = {process.pid: process.cmdline() for process in (parent, *processes_of(machine))}
    assert [("flashcore.worker.warm" in words, "flashcore.worker" in words) for words in commands.values()] == [
        (True, False),
        (False, True),
        (False, True),
    ]


async def test_what_the_machine_says_of_an_endpoint_stays_true_for_forks(machine: Machine) -> None:
    """Q22: an exit by itself is told with its status, though nobody here is the parent."""
    provider, go_on = await machine.provider(), machine.layout.root / "go-on"
    code = f"""
        import os, pathlib, threading, time
        def end():
            while not pathlib.Path({str(go_on)!r}).exists():
                time.sleep(0.01)
            os._exit(7)
        os.register_at_fork(after_in_child=lambda: threading.Thread(target=end).start())
        def f(): ...
    """
    await provider.apply(await machine.revision(code), frozenset({ONE}), HINTS)
    await ready(provider)

    go_on.touch()
    told = await gone(provider)

    assert (told.exit_code, told.reason) == (7, "it ended with exit status 7")


async def test_a_parent_that_dies_takes_nobody_along(machine: Machine) -> None:
    """Its replicas go on and are told of; the next one gets a parent of its own."""
    provider = await machine.provider()
    revision = await machine.revision()
    await provider.apply(revision, frozenset({ONE}), HINTS)
    first = await ready(provider)
    (parent,) = parents_of(machine)

    parent.kill()
    await eventually(lambda: has_ended(parent))
    await asyncio.sleep(0.01)  # the loop turns: what the system knows by now, the provider hears before that is over
    await provider.apply(revision, frozenset({ONE, TWO}), HINTS)
    await ready(provider, TWO)

    assert await state_of(provider) == first
    assert [process.ppid() for process in processes_of(machine)].count(parents_of(machine)[0].pid) == 1
    next(process for process in processes_of(machine) if process.ppid() != parents_of(machine)[0].pid).kill()
    assert (await gone(provider)).reason == "it ended"  # who would know how is gone


async def test_an_interrupt_ends_a_parent_without_a_traceback_in_its_log(machine: Machine) -> None:
    """Somebody's Ctrl-C, or a script's `kill -INT`, says nothing about the code; its replicas go on."""
    provider = await machine.provider()
    await provider.apply(await machine.revision(), frozenset({ONE}), HINTS)
    first = await ready(provider)
    (parent,) = parents_of(machine)
    log = Path(parent.environ()[MARK]) / "parent.log"

    parent.send_signal(signal.SIGINT)
    await eventually(lambda: has_ended(parent))

    assert log.read_text(encoding="utf-8") == ""
    assert await state_of(provider) == first


async def test_a_parent_goes_with_the_last_replica(machine: Machine) -> None:
    """Undeployed without a trace: no process, no folder."""
    provider = await machine.provider()
    revision = await machine.revision()
    await provider.apply(revision, frozenset({ONE, TWO}), HINTS)
    await ready(provider, ONE)
    await ready(provider, TWO)
    await provider.apply(revision, frozenset({TWO}), HINTS)
    await eventually(lambda: not machine.places(ONE).exists())
    assert len(parents_of(machine)) == 1

    await provider.apply(revision, NONE, HINTS)
    await forgotten(provider)

    await eventually(lambda: not parents_of(machine))
    assert list(machine.layout.warm.iterdir()) == []


async def test_a_control_plane_that_is_killed_leaves_replicas_and_no_parent(machine: Machine) -> None:
    """Kill -9: the replica is adopted by its hello, the parent ends by itself, and the next replica is forked again."""
    revision = await machine.revision()
    await leave_running(machine, revision)
    (pid,) = (process.pid for process in processes_of(machine))
    await eventually(lambda: not parents_of(machine))

    provider = await machine.provider()
    await provider.apply(revision, frozenset({ONE, TWO}), HINTS)
    await ready(provider, TWO)

    running = await state_of(provider)
    assert isinstance(running, Running)
    assert running.stage is Stage.READY
    assert len(list(machine.layout.warm.iterdir())) == 2  # the adopted one may still read what its import has written
    assert {process.ppid() for process in processes_of(machine)} >= {parents_of(machine)[0].pid}
    os.kill(pid, signal.SIGKILL)
    assert (await gone(provider)).exit_code is None
    await provider.apply(revision, NONE, HINTS)
    await forgotten(provider)
    assert list(machine.layout.warm.iterdir()) == []


async def test_a_parent_that_does_not_notice_is_swept(machine: Machine) -> None:
    """Stopped while its control plane died: the next control plane ends it."""
    provider = await machine.provider()
    revision = await machine.revision()
    await provider.apply(revision, frozenset({ONE}), HINTS)
    await ready(provider)
    left = machine.layout.warm / "0123456789ab-cdef"
    (left / "home").mkdir(parents=True)
    stray = await asyncio.create_subprocess_exec("sleep", "600", env={MARK: str(left), "PATH": os.environ["PATH"]})
    await provider.close()

    again = await machine.provider()

    assert await stray.wait() == -signal.SIGKILL
    assert left not in machine.layout.warm.iterdir()
    assert isinstance(await state_of(again), Running)


async def test_nothing_outlives_a_forked_replica(machine: Machine, gateway: FakeGateway) -> None:
    """Q24: what a job has started ends with the replica: in its group, in a session of its own, forked or executed."""
    code = """
        import multiprocessing, os, subprocess, time
        def f():
            subprocess.Popen(["sleep", "600"])
            subprocess.Popen(["sleep", "600"], start_new_session=True)
            if os.fork() == 0:
                os.setsid()
                time.sleep(600)
    """
    provider = await machine.provider()
    await provider.apply(await machine.revision(code), frozenset({ONE}), HINTS)
    await ready(provider)
    (replica,) = processes_of(machine)
    await gateway.worker()
    await gateway.call({})
    await eventually(lambda: len(processes_of(machine)) == 4)  # what is being started shows no environment for a moment

    replica.kill()
    told = await gone(provider)

    assert told.exit_code == -signal.SIGKILL
    assert processes_of(machine) == []


@pytest.mark.parametrize(
    ("template", "options", "reason"),
    [
        (Template(warm=False), ProcessOptions(cpus=8), "its endpoint says warm=False"),
        (Template(gpu="any"), ProcessOptions(cpus=8, gpus=1), "it has a GPU"),
        (Template(), ProcessOptions(cpus=8, warm=False), "warm starts are switched off"),
    ],
    ids=["declared", "gpu", "configured"],
)
async def test_who_must_not_be_forked_is_spawned(
    machine: Machine, template: Template, options: ProcessOptions, reason: str
) -> None:
    """The log says why."""
    provider = await machine.provider(options)

    await provider.apply(await machine.revision(template=template), frozenset({ONE}), HINTS)
    await ready(provider)

    assert f"this replica imports its code itself: {reason}" in machine.log()
    assert parents_of(machine) == []


async def test_code_that_must_not_be_forked_is_spawned(machine: Machine) -> None:
    """What a fork would break is seen after the import; nothing of that import goes on."""
    code = """
        import subprocess, threading, time
        threading.Thread(target=time.sleep, args=(600,), daemon=True).start()
        subprocess.Popen(["sleep", "600"], start_new_session=True)
        def f(): ...
    """
    provider = await machine.provider()
    revision = await machine.revision(code)

    await provider.apply(revision, frozenset({ONE}), HINTS)
    await ready(provider)
    await provider.apply(revision, frozenset({ONE, TWO}), HINTS)
    await ready(provider, TWO)

    assert "this replica imports its code itself: 1 threads run after its import" in machine.log()
    assert "1 threads run after its import" in machine.log(TWO)
    assert parents_of(machine) == []
    await eventually(lambda: len(processes_of(machine)) == 4)


async def test_code_that_cannot_be_imported_ahead_is_given_a_chance(machine: Machine) -> None:
    """It asks which replica it is while it is imported: there is none yet, and a replica of its own can tell."""
    code = "import os\nprint('I am', os.environ['FLASHCORE_REPLICA'], flush=True)\ndef f(): ..."
    provider = await machine.provider()

    await provider.apply(await machine.revision(code), frozenset({ONE}), HINTS)
    await ready(provider)

    assert "its code cannot be imported ahead: KeyError: 'FLASHCORE_REPLICA'" in machine.log()
    assert "I am e-1" in machine.log()


async def test_new_secrets_are_imported_anew(machine: Machine, gateway: FakeGateway) -> None:
    """What an import has made of the old ones is not given to new replicas; the old parent goes with its children."""
    provider = await machine.provider()
    revision = await machine.revision(TELLS, Template(secrets=("PASSWORD",)))
    await provider.apply(revision, frozenset({ONE}), Hints(secrets={"PASSWORD": "old"}))
    await ready(provider)
    await provider.apply(revision, frozenset({ONE, TWO}), Hints(secrets={"PASSWORD": "new"}))
    await ready(provider, TWO)

    two = await told_by(gateway, 2)

    assert (two["secret then"], two["env"]["PASSWORD"]) == ("new", "new")
    assert len(parents_of(machine)) == 2
    await provider.apply(revision, frozenset({TWO}), HINTS)
    await eventually(lambda: len(parents_of(machine)) == 1)
    assert isinstance(await state_of(provider, TWO), Running)


async def test_a_parent_stays_while_a_call_may_want_a_replica(machine: Machine, gateway: FakeGateway) -> None:
    """At zero the next replica is forked at once; when no call can want one the parent goes, too."""
    provider = await machine.provider()
    revision = await machine.revision(TELLS)
    await provider.apply(revision, frozenset({ONE}), HINTS)
    await ready(provider)
    (parent,) = parents_of(machine)
    await provider.apply(revision, NONE, Hints(grace=5.0, standby=True))
    await forgotten(provider)

    await provider.apply(revision, frozenset({TWO}), HINTS)
    await ready(provider, TWO)

    assert (await told_by(gateway, 1))["imported by"] == parent.pid
    await provider.apply(revision, NONE, Hints(grace=5.0, standby=True))
    await forgotten(provider)
    assert parents_of(machine) == [parent]
    await provider.apply(revision, NONE, HINTS)
    assert parents_of(machine) == []


async def test_an_import_that_nobody_waits_for_any_more_is_ended(machine: Machine) -> None:
    """The replica is stopped while its code is imported ahead: the parent need not come to an end by itself."""
    provider = await machine.provider()
    revision = await machine.revision("print('begun', flush=True)\nimport time; time.sleep(600)\ndef f(): ...")
    await provider.apply(revision, frozenset({ONE}), HINTS)
    loading = await until(provider, Running, lambda state: state.stage is Stage.LOADING)
    await machine.logged("begun")

    await provider.apply(revision, NONE, Hints(grace=60.0))
    await forgotten(provider, 30.0)

    assert loading.detail == "its code is being imported"
    assert parents_of(machine) == []


APP = """
import json
from pathlib import Path

from flashcore.worker.lb import create_app
from flashcore.worker.load import load_functions

ROOT = Path(__file__).resolve().parent
app = create_app(load_functions(ROOT, json.loads((ROOT / "handler_e.json").read_text())))
"""


class BusyAtEnds(ThreadPoolExecutor):
    """Has no thread for who waits for a process's end, until it is told to go on."""

    def __init__(self) -> None:
        super().__init__(4)
        self.reached = asyncio.Event()
        self._held: list[tuple[Future[Any], Callable[[], Any]]] | None = []

    def submit(self, call: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """`asyncio.to_thread` brings its function as an argument of `Context.run`."""
        held = self._held
        if held is None or not (isinstance(call, partial) and getattr(call.args[0], "__func__", None) is Popen.wait):
            return super().submit(call, *args, **kwargs)
        promised: Future[Any] = Future()
        held.append((promised, call))
        self.reached.set()
        return promised

    def go_on(self) -> None:
        """There are threads again."""
        held, self._held = self._held, None
        for promised, call in held or ():
            if promised.set_running_or_notify_cancel():
                promised.set_result(call())


async def test_a_provider_that_is_closed_while_a_parent_ends_waits_for_it(machine: Machine) -> None:
    """Also where the thread that was to wait for it had not begun: nobody else would ever learn how it ended."""
    asyncio.get_running_loop().set_default_executor(busy := BusyAtEnds())
    provider = await machine.provider()
    revision = await machine.revision()
    await provider.apply(revision, frozenset({ONE}), HINTS)
    await ready(provider)
    (parent,) = parents_of(machine)

    await provider.apply(revision, NONE, HINTS)
    await busy.reached.wait()
    closing = asyncio.create_task(provider.close())
    for _ in range(10):  # what it cancels has been cancelled by then
        await asyncio.sleep(0)
    busy.go_on()
    await closing

    assert parent.pid not in {child.pid for child in psutil.Process().children()}


async def answer_of(socket: Path) -> dict[str, int]:
    """What a replica answers to GET /."""
    reader, writer = await asyncio.open_unix_connection(str(socket))
    writer.write(b"GET / HTTP/1.1\r\nhost: e\r\nconnection: close\r\n\r\n")
    head, _, body = (await reader.read()).partition(b"\r\n\r\n")
    writer.close()
    assert head.startswith(b"HTTP/1.1 200"), head
    return dict(json.loads(body))


async def test_http_replicas_are_forked_with_their_app(machine: Machine) -> None:
    """The app is built before the fork, each serves on its own socket and loop, and each ends as it is told."""
    code = "import os\nBY = os.getpid()\ndef f() -> dict[str, int]:\n    return {'by': BY, 'in': os.getpid()}"
    entry = FunctionEntry("f", "code_of_user.py", "f", FunctionKind.FUNCTION, route=Route("GET", "/"))
    files = {"code_of_user.py": code, "handler_e.py": APP, "handler_e.json": json.dumps([to_json(entry)])}
    revision = revision_of(await machine.artifact({name: text.encode() for name, text in files.items()}), Template())
    provider = await machine.provider()
    await provider.apply(revision, frozenset({ONE, TWO}), HINTS)
    await ready(provider, ONE)
    await ready(provider, TWO)

    one, two = [await answer_of(machine.layout.run / f"{name}.h") for name in (ONE, TWO)]

    (parent,) = parents_of(machine)
    assert one["by"] == two["by"] == parent.pid
    assert len({one["in"], two["in"], parent.pid}) == 3
    await provider.apply(revision, NONE, HINTS)
    await forgotten(provider)
    assert "draining" in machine.log(ONE)
    assert processes_of(machine) == []


async def test_many_are_forked_at_once(machine: Machine) -> None:
    """Ten wishes in one instant wait for one import."""
    provider = await machine.provider()
    names = [ReplicaId(f"e-{number}") for number in range(10)]

    await provider.apply(await machine.revision("print('imported')\ndef f(): ..."), frozenset(names), HINTS)
    for name in names:
        await ready(provider, name)

    (parent,) = parents_of(machine)
    assert {process.ppid() for process in processes_of(machine)} == {parent.pid}
    assert {machine.log(name).count("imported\n") for name in names} == {1}


async def test_a_long_environment_is_no_obstacle(machine: Machine) -> None:
    """A replica shows all of it: the memory for it is as long as what the parent was started with, and longer."""
    provider = await machine.provider()
    revision = await machine.revision(env={f"LONG_{number}": "x" * 60_000 for number in range(4)})

    await provider.apply(revision, frozenset({ONE}), HINTS)
    await ready(provider)

    assert "imports its code itself" not in machine.log()
    (process,) = processes_of(machine)
    assert sum(map(len, process.environ().values())) > 240_000


async def test_a_parent_that_stands_still_is_not_waited_for(
    machine: Machine, patience: Callable[[float], None]
) -> None:
    """Q22: it was stopped: after a while the replica is spawned, and the one after that is forked from a new parent."""
    provider = await machine.provider()
    revision = await machine.revision()
    await provider.apply(revision, frozenset({ONE}), HINTS)
    await ready(provider)
    (parent,) = parents_of(machine)
    await freeze(parent)

    patience(0.1)
    await provider.apply(revision, frozenset({ONE, TWO}), HINTS)
    await ready(provider, TWO)
    patience(600.0)
    await provider.apply(revision, frozenset({ONE, TWO, ReplicaId("e-3")}), HINTS)
    await ready(provider, ReplicaId("e-3"))

    assert "the process that was to fork it did not do so within 0.1 s" in machine.log(TWO)
    assert "imports its code itself" not in machine.log(ReplicaId("e-3"))
    await eventually(lambda: parent not in parents_of(machine))
