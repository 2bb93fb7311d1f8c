"""The life of a replica's process: how it is found, what it says of itself, and how it ends."""

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import time
from itertools import groupby
from pathlib import Path

import pytest
from tests.worker.conftest import QUEUE_HANDLER, SOURCE, RunningReplica, Start, function, write_artifact

from flashcore.testing.fake_gateway import FakeGateway
from flashcore.wire.hello import Hello, Stage
from flashcore.wire.messages import Drain
from flashcore.worker.processes import boot_id, start_ticks

COMPUTES = """
import pathlib
while not pathlib.Path("go on").exists():
    sum(range(1000))
"""
"""What a module may be busy with while it is imported, until it may go on."""
LOADS_SLOWLY = f"{COMPUTES}\ndef f():\n    return 1\n"


def artifact(tmp_path: Path, code: str, *names: str) -> Path:
    """An artifact with plain functions."""
    entries = [function(name) for name in names or ("f",)]
    return write_artifact(tmp_path / "artifact", QUEUE_HANDLER, {"code_of_user.py": code}, entries)


def go_on(replica: RunningReplica) -> None:
    """Let it go on."""
    (replica.folder / "go on").touch()


async def test_a_replica_introduces_itself_to_everybody_who_connects(
    start: Start, gateway: FakeGateway, tmp_path: Path
) -> None:
    """The hello holds who it is; the record on disk says the same, and where the socket is."""
    replica = await start(artifact(tmp_path, "def f(): ..."), FLASHCORE_SLOTS="4")
    one, other = await replica.ready(), await replica.connect()
    await other.until_stage(Stage.READY)

    hello = one.heard[0]
    assert isinstance(hello, Hello)
    identity = hello.identity
    assert (identity.endpoint, identity.replica, identity.instance) == ("tested", "tested-1", "life-1")
    assert (identity.pid, identity.boot_id, hello.slots) == (replica.process.pid, boot_id(), 4)
    assert abs(identity.started_at - time.time()) < 60
    record = replica.record
    assert record is not None
    assert record.identity == identity
    assert record.start_ticks == start_ticks(replica.process.pid)
    assert record.socket == str(replica.sockets / "control")


async def test_a_replica_answers_while_it_imports(start: Start, gateway: FakeGateway, tmp_path: Path) -> None:
    """A module that computes while it is imported keeps nobody waiting who wants to know how far it is."""
    replica = await start(artifact(tmp_path, LOADS_SLOWLY))

    for _ in range(5):
        await (await replica.connect()).until_stage(Stage.LOADING)

    go_on(replica)
    await (await replica.connect()).until_stage(Stage.READY)


async def test_stages_are_told_in_order(start: Start, gateway: FakeGateway, tmp_path: Path) -> None:
    """Who is connected never hears of one that was over; each is said again with every beat while it lasts."""
    replica = await start(artifact(tmp_path, LOADS_SLOWLY))
    listener = await replica.connect()
    await listener.until_stage(Stage.LOADING)
    go_on(replica)
    await listener.until_stage(Stage.READY)

    replica.terminate()
    assert await replica.ended() == 0

    stages = [stage for stage, _ in groupby(status.stage for status in listener.statuses)]
    assert stages[-3:] == [Stage.LOADING, Stage.READY, Stage.DRAINING]
    assert len(stages) == len(set(stages))


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("import package_that_is_missing", "No module named 'package_that_is_missing'"),
        ("exec('def f(:')", "SyntaxError"),
        ("import sys; sys.exit(7)", "SystemExit: 7"),
        ("raise BaseException('odd')", "BaseException: odd"),
        ("", "f is not defined when the module is imported here"),
    ],
)
async def test_code_that_cannot_be_loaded_makes_a_failed_replica(
    start: Start, gateway: FakeGateway, tmp_path: Path, code: str, said: str
) -> None:
    """B36: the traceback is in the status that is told, in the record, and in the log; the exit status is 1."""
    replica = await start(artifact(tmp_path, f"{COMPUTES}\n{code}"))
    listener = await replica.connect()
    await listener.until_stage(Stage.LOADING)
    go_on(replica)
    status = await listener.until_stage(Stage.FAILED)

    assert said in status.detail
    assert await replica.ended() == 1
    assert replica.record is not None
    assert replica.record.status == status
    assert said in replica.log
    assert not gateway.hellos


async def test_a_constructor_that_raises_makes_a_failed_replica(
    start: Start, gateway: FakeGateway, tmp_path: Path
) -> None:
    """B36: it is told with its traceback, as it was raised."""
    code = "class C:\n    def __init__(self):\n        raise RuntimeError('no GPU')\n    def m(self): ...\n"
    entry = function("C", "class", methods=("m",))
    replica = await start(write_artifact(tmp_path / "a", QUEUE_HANDLER, {"code_of_user.py": code}, [entry]))

    assert await replica.ended() == 1
    assert replica.record is not None
    assert "in __init__" in replica.record.status.detail
    assert "RuntimeError: no GPU" in replica.record.status.detail


async def test_a_failed_replica_does_not_wait_for_a_reader(start: Start, gateway: FakeGateway, tmp_path: Path) -> None:
    """Somebody who connects and never reads does not keep it; nor does nobody at all."""
    replica = await start(artifact(tmp_path, f"{COMPUTES}\n1 / 0"))
    await replica.connect()
    deaf = socket.socket(socket.AF_UNIX)
    deaf.connect(str(replica.sockets / "control"))
    go_on(replica)

    assert await replica.ended() == 1
    deaf.close()


async def test_sigterm_while_it_imports_ends_it_at_once(start: Start, gateway: FakeGateway, tmp_path: Path) -> None:
    """Nothing runs yet, so there is nothing to wait for."""
    replica = await start(artifact(tmp_path, "import time; time.sleep(600)"))
    await (await replica.connect()).until_stage(Stage.LOADING)

    replica.terminate()

    assert await replica.ended() == 0
    assert replica.record is not None
    assert replica.record.status.stage is Stage.DRAINING


async def test_an_idle_replica_ends_at_once_and_cleans_up(start: Start, gateway: FakeGateway, tmp_path: Path) -> None:
    """Its sockets are gone afterwards; the gateway was told that it leaves."""
    replica = await start(artifact(tmp_path, "def f(): ..."))
    listener = await replica.ready()
    await gateway.worker()

    assert listener.channel is not None
    listener.channel.send(Drain(10.0))

    assert await replica.ended() == 0
    assert gateway.leaving
    assert not (replica.sockets / "control").exists()


async def test_a_stale_socket_is_replaced(start: Start, gateway: FakeGateway, sockets: Path, tmp_path: Path) -> None:
    """What an earlier life left behind does not keep the next one from listening."""
    with socket.socket(socket.AF_UNIX) as old:
        old.bind(str(sockets / "control"))
    replica = await start(artifact(tmp_path, "def f(): ..."))

    assert (await replica.ready()).statuses


async def test_a_directory_of_sockets_that_others_can_write_is_refused(
    start: Start, sockets: Path, tmp_path: Path
) -> None:
    """Sockets may lie in the machine's temporary directory: nobody else may put theirs there."""
    await asyncio.to_thread(sockets.chmod, 0o777)
    replica = await start(artifact(tmp_path, "def f(): ..."))

    assert await replica.ended() == 2
    assert "chmod 700" in replica.log


async def test_non_daemon_threads_of_user_code_do_not_keep_it(
    start: Start, gateway: FakeGateway, tmp_path: Path
) -> None:
    """Q23: a thread that never ends is given a moment, and then it ends with the process."""
    code = "import threading, time\nthreading.Thread(target=time.sleep, args=(600,)).start()\ndef f(): ..."
    replica = await start(artifact(tmp_path, code))
    await replica.ready()

    replica.terminate()

    assert await replica.ended() == 0


async def test_exit_functions_of_user_code_run(start: Start, gateway: FakeGateway, tmp_path: Path) -> None:
    """The process ends as a program does: what was registered with atexit is called."""
    code = "import atexit\natexit.register(print, 'goodbye')\ndef f(): ..."
    replica = await start(artifact(tmp_path, code))
    await replica.ready()

    replica.terminate()
    await replica.ended()

    assert "goodbye" in replica.log


async def test_a_crash_leaves_its_traceback_in_the_log(start: Start, gateway: FakeGateway, tmp_path: Path) -> None:
    """Q22: a segmentation fault in a C library is told with the Python code that led there."""
    replica = await start(artifact(tmp_path, "import ctypes\ndef f(): ctypes.string_at(0)"))
    await replica.ready()
    await gateway.worker()

    gateway.give({})

    assert await replica.ended() == -signal.SIGSEGV
    assert "Segmentation fault" in replica.log
    assert "in f" in replica.log


async def test_the_readiness_descriptor_is_written_when_the_socket_listens(
    gateway: FakeGateway, sockets: Path, tmp_path: Path
) -> None:
    """Who starts a replica need not look again and again for its socket."""
    reading, writing = os.pipe()
    variables = {
        f"FLASHCORE_{name}": value
        for name, value in {
            "ENDPOINT": "e", "REPLICA": "r", "INSTANCE": "i", "REVISION": "v", "WORKER_SOCKET": str(sockets / "w"),
            "CONTROL_SOCKET": str(sockets / "c"), "RECORD": str(tmp_path / "replica.json"), "READY_FD": str(writing),
        }.items()
    }  # fmt: skip
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-P", "-m", "flashcore.worker", "--handler", str(artifact(tmp_path, "def f(): ..."))),
        env={"PYTHONPATH": str(SOURCE), **variables},
        pass_fds=(writing,),
        stderr=subprocess.DEVNULL,
    )
    os.close(writing)

    assert await asyncio.to_thread(os.read, reading, 10) == b"!"
    with socket.socket(socket.AF_UNIX) as control:
        control.connect(str(sockets / "c"))
    os.close(reading)
    process.kill()
    await process.wait()


@pytest.mark.parametrize(
    ("arguments", "variables", "said"),
    [
        ([], {}, "usage: python -m flashcore.worker --handler PATH"),
        (["--handler", "x.py"], {}, "FLASHCORE_ENDPOINT is not set"),
    ],
)
def test_a_worker_that_is_started_wrongly_says_how(arguments: list[str], variables: dict[str, str], said: str) -> None:
    """Exit status 2, and a sentence."""
    done = subprocess.run(
        [sys.executable, "-m", "flashcore.worker", *arguments],
        env={"PYTHONPATH": str(SOURCE), **variables},
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 2
    assert said in done.stderr


async def test_a_variable_that_cannot_be_read_is_named(start: Start, tmp_path: Path) -> None:
    """FLASHCORE_SLOTS=many."""
    replica = await start(artifact(tmp_path, "def f(): ..."), FLASHCORE_SLOTS="many")

    assert await replica.ended() == 2
    assert "FLASHCORE_SLOTS='many' cannot be read" in replica.log


async def test_a_handler_that_defines_nothing_is_told(start: Start, tmp_path: Path) -> None:
    """A file that is no handler fails as a handler, with the place."""
    path = tmp_path / "handler_empty.py"
    path.write_text("x = 1")
    replica = await start(path)

    assert await replica.ended() == 1
    assert "defines no handler, app or script" in replica.log


@pytest.mark.parametrize("note", [None, "{", '{"instance": "life-2"}'])
async def test_a_start_that_is_no_longer_wanted_ends_before_it_listens(
    start: Start, tmp_path: Path, note: str | None
) -> None:
    """Q24: whoever started it died, and came back without it: no orphan takes the place of its successor."""
    path = tmp_path / "launch.json"
    if note is not None:
        path.write_text(note)
    replica = await start(artifact(tmp_path, "def f(): ..."), FLASHCORE_LAUNCH=str(path))

    assert await replica.ended() == 2
    assert "no longer wanted" in replica.log
    assert replica.record is None


@pytest.mark.parametrize("kind", ["queue", "http"])
async def test_a_handler_without_its_socket_is_told(start: Start, tmp_path: Path, kind: str) -> None:
    """The variable that is missing is named."""
    path = tmp_path / "handler_x.py"
    path.write_text("def handler(job): ..." if kind == "queue" else "async def app(scope, receive, send): ...")
    variable = "FLASHCORE_WORKER_SOCKET" if kind == "queue" else "FLASHCORE_HTTP_SOCKET"
    replica = await start(path, **{variable: ""})

    assert await replica.ended() == 1
    assert f"{variable} is not set" in replica.log


def imported_by(replica: RunningReplica) -> set[str]:
    """The modules that a replica wrote down."""
    return set(json.loads((replica.folder / "modules.json").read_text()))


async def test_a_queue_worker_imports_nothing_that_it_does_not_need(
    start: Start, gateway: FakeGateway, tmp_path: Path
) -> None:
    """Starting is quick because little is imported: no web framework, no client, nothing for mail or XML."""
    code = "import json, sys\ndef f(): json.dump(sorted(sys.modules), open('modules.json', 'w'))"
    replica = await start(artifact(tmp_path, code))
    await replica.ready()
    await gateway.worker()
    await gateway.call({})

    found = imported_by(replica)
    unwanted = {"fastapi", "starlette", "pydantic", "uvicorn", "uvloop", "cloudpickle", "psutil", "email", "xml"}
    unwanted |= {"http.client", "urllib.request", "argparse", "unittest", "multiprocessing", "sqlite3", "pdb", "runpod"}
    assert found & unwanted == set()
    assert not [name for name in found if name.startswith(("flashcore.client", "flashcore.hookspecs"))]
