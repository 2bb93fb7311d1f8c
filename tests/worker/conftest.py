"""Real replicas, started as a provider would, from artifacts that are written by hand."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
import tempfile
import textwrap
from asyncio.subprocess import Process
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import pytest

from flashcore.model.codec import to_json
from flashcore.model.manifest import FunctionEntry, FunctionKind, MethodEntry, Route
from flashcore.testing.fake_gateway import FakeGateway
from flashcore.wire.hello import Hello, Stage, Status
from flashcore.wire.messages import Message
from flashcore.worker.channel import MessageChannel
from flashcore.worker.record import ReplicaRecord, read_record

SOURCE = Path(__file__).resolve().parents[2] / "src"

QUEUE_HANDLER = """
import json
from pathlib import Path

from flashcore.worker.handler import create_handler
from flashcore.worker.load import load_functions

ROOT = Path(__file__).resolve().parent
handler = create_handler(load_functions(ROOT, json.loads((ROOT / "handler_tested.json").read_text())))
"""

HTTP_HANDLER = """
import json
from pathlib import Path

from flashcore.worker.lb import create_app
from flashcore.worker.load import load_functions

ROOT = Path(__file__).resolve().parent
app = create_app(load_functions(ROOT, json.loads((ROOT / "handler_tested.json").read_text())))
"""


def function(
    name: str,
    kind: str = "function",
    *,
    module: str = "code_of_user.py",
    methods: tuple[str, ...] = (),
    route: Route | None = None,
) -> FunctionEntry:
    """The entry of a function, or of a class with these methods."""
    entries = tuple(MethodEntry(method, FunctionKind.FUNCTION, ()) for method in methods)
    return FunctionEntry(name, module, name, FunctionKind(kind), methods=entries, route=route)


def write_artifact(root: Path, handler: str, files: Mapping[str, str], entries: list[FunctionEntry]) -> Path:
    """Write an artifact's folder; returns the path of its handler."""
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(text))
    (root / "handler_tested.json").write_text(json.dumps([to_json(entry) for entry in entries]))
    (root / "handler_tested.py").write_text(handler)
    return root / "handler_tested.py"


@dataclass(slots=True)
class Listener:
    """What somebody hears who is connected to a replica's control socket."""

    heard: list[Message] = field(default_factory=list)
    channel: MessageChannel | None = None
    closed: bool = False
    changed: asyncio.Condition = field(default_factory=asyncio.Condition)
    notices: set[asyncio.Task[None]] = field(default_factory=set)

    async def until_stage(self, stage: Stage, within: float = 60.0) -> Status:
        """Wait for the replica to say that it has come so far; returns what it said."""
        async with asyncio.timeout(within), self.changed:
            await self.changed.wait_for(lambda: self.closed or any(status.stage is stage for status in self.statuses))
        assert any(status.stage is stage for status in self.statuses), f"it hung up, having said {self.statuses}"
        return next(status for status in self.statuses if status.stage is stage)

    @property
    def statuses(self) -> list[Status]:
        """Everything that the replica said of itself, in order."""
        return [m.status if isinstance(m, Hello) else m for m in self.heard if isinstance(m, Hello | Status)]

    def receive(self, message: Message) -> None:
        """Remember it."""
        self.heard.append(message)
        self.notice()

    def lose(self, _problem: Exception | None) -> None:
        """The replica hung up."""
        self.closed = True
        self.notice()

    def notice(self) -> None:
        """Have everybody who waits look again."""
        task = asyncio.get_running_loop().create_task(self._notify())
        self.notices.add(task)
        task.add_done_callback(self.notices.discard)

    async def _notify(self) -> None:
        async with self.changed:
            self.changed.notify_all()


@dataclass(slots=True)
class RunningReplica:
    """A replica's process with its places."""

    process: Process
    folder: Path
    sockets: Path

    @property
    def log(self) -> str:
        """Everything that it has written."""
        return (self.folder / "replica.log").read_text()

    @property
    def record(self) -> ReplicaRecord | None:
        """What it says of itself on disk."""
        return read_record(self.folder / "replica.json")

    @property
    def http(self) -> Path:
        """Where it answers HTTP."""
        return self.sockets / "http"

    async def connect(self) -> Listener:
        """Connect to its control socket as soon as it listens."""
        listener = Listener()
        listener.channel = MessageChannel(listener.receive, listener.lose)
        async with asyncio.timeout(60):
            while True:
                try:
                    await asyncio.get_running_loop().create_unix_connection(
                        lambda: listener.channel or MessageChannel(listener.receive, listener.lose),
                        str(self.sockets / "control"),
                    )
                except OSError:
                    assert self.process.returncode is None, self.log
                    await asyncio.sleep(0.01)
                else:
                    return listener

    async def failed(self) -> Status:
        """Wait until it has ended because it could not start; returns what it said of that in its record."""
        assert await self.ended() == 1
        assert self.record is not None
        assert self.record.status.stage is Stage.FAILED
        return self.record.status

    async def ready(self) -> Listener:
        """Wait until it says that it is ready."""
        listener = await self.connect()
        await listener.until_stage(Stage.READY)
        return listener

    async def ended(self, within: float = 60.0) -> int:
        """Wait for its end; returns the exit status."""
        async with asyncio.timeout(within):
            return await self.process.wait()

    def terminate(self) -> None:
        """SIGTERM."""
        os.kill(self.process.pid, signal.SIGTERM)


class Start(Protocol):
    """Starts replicas that are killed when the test is over."""

    async def __call__(self, handler: Path, **variables: str) -> RunningReplica:
        """Start one with this handler and these variables beside the usual ones."""
        ...


@pytest.fixture
def imports() -> Iterator[None]:
    """Forgets the modules that a test imports from its own files."""
    path, modules = list(sys.path), set(sys.modules)
    yield
    sys.path[:] = path
    for name in set(sys.modules) - modules:
        del sys.modules[name]


@pytest.fixture
def sockets() -> Iterator[Path]:
    """A folder whose path is short enough for sockets."""
    with tempfile.TemporaryDirectory(prefix="fc") as name:
        yield Path(name)


@pytest.fixture
async def gateway(sockets: Path) -> AsyncIterator[FakeGateway]:
    """A gateway that listens for workers."""
    fake = FakeGateway(sockets / "workers", heartbeat=0.3)
    await fake.start()
    yield fake
    await fake.stop()


@pytest.fixture
async def start(tmp_path: Path, sockets: Path) -> AsyncIterator[Start]:
    """Starts replicas; what is left of them is killed afterwards, with their process groups."""
    started: list[Process] = []

    async def start_one(handler: Path, **variables: str) -> RunningReplica:
        folder = tmp_path / f"replica{len(started)}"
        folder.mkdir()
        with (folder / "replica.log").open("ab") as log:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-P", "-m", "flashcore.worker", "--handler", str(handler)),
                env=_environment(folder, sockets) | variables,
                cwd=folder,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        started.append(process)
        return RunningReplica(process, folder, sockets)

    yield start_one
    for process in started:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        await process.wait()


def _environment(folder: Path, sockets: Path) -> dict[str, str]:
    return {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(SOURCE),
        "FLASHCORE_ENDPOINT": "tested",
        "FLASHCORE_REPLICA": "tested-1",
        "FLASHCORE_INSTANCE": "life-1",
        "FLASHCORE_REVISION": "0" * 64,
        "FLASHCORE_CONTROL_SOCKET": str(sockets / "control"),
        "FLASHCORE_HTTP_SOCKET": str(sockets / "http"),
        "FLASHCORE_WORKER_SOCKET": str(sockets / "workers"),
        "FLASHCORE_RECORD": str(folder / "replica.json"),
        "FLASHCORE_LOG": str(folder / "replica.log"),
    }


def value_of(output: Any) -> Any:
    """The JSON value of a job's output."""
    return json.loads(output.data)
