"""A machine of its own for each test: a project's folder, artifacts written by hand, and the provider on it."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import io
import json
import tarfile
import tempfile
import textwrap
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import psutil
import pytest

from flashcore.builtin.file_artifacts import FileArtifactStore
from flashcore.builtin.process.options import ProcessOptions
from flashcore.builtin.process_provider import ProcessProvider
from flashcore.hookspecs.providers import Gone, Hints, InstanceState, ProviderContext, Running
from flashcore.model.codec import to_json
from flashcore.model.declaration import Template
from flashcore.model.layout import Layout
from flashcore.model.manifest import FunctionEntry, FunctionKind
from flashcore.model.names import Digest, EndpointName, ReplicaId, RevisionId, Scope
from flashcore.model.revision import Revision, RevisionContent
from flashcore.wire.hello import Stage

S = TypeVar("S", bound=InstanceState)

HANDLER = """
import json
from pathlib import Path

from flashcore.worker.handler import create_handler
from flashcore.worker.load import load_functions

ROOT = Path(__file__).resolve().parent
handler = create_handler(load_functions(ROOT, json.loads((ROOT / "handler_e.json").read_text())))
"""

ENTRY = FunctionEntry("f", "code_of_user.py", "f", FunctionKind.FUNCTION)
ONE = ReplicaId("e-1")
HINTS = Hints(grace=5.0)


class WallClock:
    """The time as it is."""

    def now(self) -> float:
        """Seconds since 1970."""
        return time.time()

    async def sleep_until(self, when: float) -> None:
        """Return at that time."""
        await asyncio.sleep(max(0.0, when - time.time()))


def archive_of(files: Mapping[str, bytes]) -> bytes:
    """A tar archive of these files."""
    written = io.BytesIO()
    with tarfile.open(fileobj=written, mode="w:gz") as tar:
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    return written.getvalue()


@dataclass
class Machine:
    """Makes revisions and providers; remembers the providers, so that nothing is left when the test is over."""

    layout: Layout
    providers: list[ProcessProvider] = field(default_factory=list)

    @property
    def store(self) -> FileArtifactStore:
        """Where artifacts are kept."""
        return FileArtifactStore(str(self.layout.artifacts))

    @property
    def context(self) -> ProviderContext:
        """What a provider is given of the platform."""
        return ProviderContext(Scope("app", "test"), self.layout, self.store, WallClock())

    async def provider(self, options: ProcessOptions | None = None) -> ProcessProvider:
        """A provider that has been started."""
        made = ProcessProvider(self.context, options or ProcessOptions(cpus=8))
        self.providers.append(made)
        await made.start()
        return made

    async def revision(
        self,
        code: str = "def f(): ...",
        template: Template | None = None,
        *,
        env: Mapping[str, str] | None = None,
        handler: str = HANDLER,
        python_version: str = "",
    ) -> Revision:
        """A revision of this code, with its artifact in the store."""
        files = {
            "code_of_user.py": textwrap.dedent(code),
            "handler_e.py": handler,
            "handler_e.json": json.dumps([to_json(ENTRY)]),
        }
        digest = await self.artifact({name: text.encode() for name, text in files.items()})
        return revision_of(digest, template or Template(), env or {}, python_version)

    async def artifact(self, files: Mapping[str, bytes]) -> Digest:
        """An artifact of these files, in the store."""
        return await self.keep(archive_of(files))

    async def keep(self, archive: bytes) -> Digest:
        """Put these bytes into the store."""
        digest = Digest(hashlib.sha256(archive).hexdigest())
        with tempfile.NamedTemporaryFile() as draft:
            draft.write(archive)
            draft.flush()
            await self.store.put(digest, Path(draft.name))
        return digest

    def places(self, replica: ReplicaId = ONE) -> Path:
        """A replica's folder."""
        return self.layout.replicas / replica

    def log(self, replica: ReplicaId = ONE) -> str:
        """A replica's output."""
        path = self.layout.logs / "replicas" / f"{replica}.log"
        return path.read_text() if path.exists() else ""

    async def logged(self, text: str, replica: ReplicaId = ONE) -> None:
        """Wait for a line in a replica's output."""
        await eventually(lambda: text in self.log(replica))


def revision_of(
    digest: Digest, template: Template, env: Mapping[str, str] | None = None, python_version: str = ""
) -> Revision:
    """A revision of an artifact; its id is made from the artifact's."""
    import sys

    here = f"{sys.version_info.major}.{sys.version_info.minor}"
    content = RevisionContent(
        EndpointName("e"), "queue", template, (ENTRY,), "handler_e.py", digest, python_version or here, env or {}
    )
    return Revision(RevisionId(digest[::-1]), content, 1, 0.0)


async def eventually(true: Callable[[], bool], within: float = 60.0) -> None:
    """Wait for what has no event."""
    async with asyncio.timeout(within):
        while not true():  # noqa: ASYNC110 - see above
            await asyncio.sleep(0.01)


async def state_of(provider: ProcessProvider, replica: ReplicaId = ONE) -> InstanceState | None:
    """What the provider says of a replica."""
    return next((one.state for one in await provider.observe() if one.replica == replica), None)


async def told(provider: ProcessProvider, true: Callable[[], Awaitable[bool]], within: float = 60.0) -> None:
    """Wait until it is true, looking whenever the provider says that something changed."""
    changed = asyncio.Event()

    async def listen() -> None:
        async for _ in provider.changes():
            changed.set()

    listening = asyncio.create_task(listen())
    try:
        async with asyncio.timeout(within):
            while not await true():
                changed.clear()
                await changed.wait()
    except TimeoutError:
        pytest.fail(f"not within {within:g} s; there are {await provider.observe()}")
    finally:
        listening.cancel()
        await asyncio.wait([listening])


async def until(
    provider: ProcessProvider,
    kind: type[S],
    fits: Callable[[S], bool] = lambda _: True,
    replica: ReplicaId = ONE,
    within: float = 60.0,
) -> S:
    """Wait until a replica is in a state."""
    found: list[S] = []

    async def there() -> bool:
        state = await state_of(provider, replica)
        assert kind is Gone or not isinstance(state, Gone), state
        if isinstance(state, kind) and fits(state):
            found.append(state)
        return bool(found)

    await told(provider, there, within)
    return found[0]


async def ready(provider: ProcessProvider, replica: ReplicaId = ONE) -> Running:
    """Wait until a replica says that it is ready."""
    return await until(provider, Running, lambda state: state.stage is Stage.READY, replica)


async def gone(provider: ProcessProvider, replica: ReplicaId = ONE) -> Gone:
    """Wait until a replica is gone."""
    return await until(provider, Gone, replica=replica)


async def forgotten(provider: ProcessProvider, within: float = 60.0) -> None:
    """Wait until the provider knows of nothing."""

    async def nothing() -> bool:
        return not await provider.observe()

    await told(provider, nothing, within)


def processes_of(machine: Machine) -> list[psutil.Process]:
    """Every process that belongs to a replica of this machine, by its environment."""
    record = f"{machine.layout.replicas}/"
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            if process.status() == psutil.STATUS_ZOMBIE:
                continue  # it has ended; whoever is its parent has not looked yet
            if process.environ().get("FLASHCORE_RECORD", "").startswith(record):
                found.append(process)
    return found


async def freeze(process: psutil.Process) -> None:
    """SIGSTOP; returns when all its threads stand still, which takes a moment on a busy machine."""
    process.suspend()
    await eventually(lambda: process.status() == psutil.STATUS_STOPPED)


@pytest.fixture
def root() -> Iterator[Path]:
    """A project's folder."""
    with tempfile.TemporaryDirectory(prefix="fc", ignore_cleanup_errors=True) as name:
        yield Path(name)


@pytest.fixture
async def machine(root: Path) -> AsyncIterator[Machine]:
    """The machine; what still runs on it afterwards is killed."""
    made = Machine(Layout(root, "test"))
    yield made
    for provider in made.providers:
        await provider.close()
    for process in processes_of(made):
        with contextlib.suppress(psutil.NoSuchProcess):  # it was about to end by itself
            process.kill()
    # Not their `wait`: who is no child of ours stays a zombie until its new parent looks, which may take seconds.
    await eventually(lambda: not processes_of(made))
    for child in psutil.Process().children():
        with contextlib.suppress(psutil.NoSuchProcess):  # somebody has waited for it meanwhile
            if child.status() == psutil.STATUS_ZOMBIE:
                child.wait()
