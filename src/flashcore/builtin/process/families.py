"""The warm parents of this machine: one for each revision that can have one, begun by its first replica."""

from __future__ import annotations

import asyncio
import os
import secrets
import shutil
import socket
import subprocess
import sys
from collections.abc import Coroutine, Iterable, Mapping
from pathlib import Path
from typing import Any

from flashcore.builtin.process.options import ProcessOptions
from flashcore.builtin.process.places import ReplicaPlaces
from flashcore.builtin.process.spawn import Start, environment
from flashcore.builtin.process.strays import kill_strays
from flashcore.builtin.process.warm_parent import NotWarm, WarmParent
from flashcore.model.layout import Layout
from flashcore.model.names import ReplicaId, RevisionId
from flashcore.model.revision import short
from flashcore.worker.warm_environ import MARK, ROOM

_OWN = frozenset(
    {
        *("HOME", "FLASHCORE_REPLICA", "FLASHCORE_INSTANCE", "FLASHCORE_CONTROL_SOCKET", "FLASHCORE_HTTP_SOCKET"),
        *("FLASHCORE_LAUNCH", "FLASHCORE_RECORD", "FLASHCORE_LOG", "FLASHCORE_GRACE"),
        "FLASHCORE_EXECUTION_TIMEOUT",
    }
)
"""Variables that are another replica's in another replica."""

_NUMERIC = (
    *("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "BLIS_NUM_THREADS"),
    *("NUMEXPR_NUM_THREADS", "RAYON_NUM_THREADS"),
)
"""How many threads libraries for numbers start when they are imported: a fork would have none of them."""

_MOST_SAID = 64 * 1024
"""Bytes of an import's output that are repeated in the log of each replica."""

_MOST_ROOM = 120_000
"""Bytes: the system takes no longer variable."""


def why_spawned(start: Start, options: ProcessOptions) -> str | None:
    """Why no parent is even tried for a replica; None if one is."""
    template = start.content.template
    if sys.platform != "linux":
        return "only Linux has warm starts"
    if not options.warm:
        return "warm starts are switched off: [plugins.process] warm = false"
    if not template.warm:
        return "its endpoint says warm=False"
    if template.gpu or template.gpu_count:
        return "it has a GPU, whose context does not outlive a fork"
    worker = start.code / "flashcore" / "worker"
    if worker.is_dir() and not (worker / "warm.py").is_file():
        return "its artifact was built by a flashcore that has no warm starts"
    return None


def own_environment(start: Start, places: ReplicaPlaces) -> dict[str, str]:
    """What a forked replica sees that its parent does not."""
    return {name: value for name, value in environment(start, places, os.environ).items() if name in _OWN}


class Families:
    """Belongs to one event loop."""

    def __init__(self, layout: Layout) -> None:
        self._folder = layout.warm
        self._families: dict[RevisionId, _Family] = {}
        self._retired: dict[_Family, asyncio.Task[None]] = {}
        """Those that end, or tell how their replicas end while new ones are forked elsewhere."""

    async def sweep(self, running: Iterable[RevisionId]) -> None:
        """End the parents of an earlier control plane; their folders stay as long as replicas of theirs run."""
        keep = {short(revision) for revision in running}
        await asyncio.to_thread(_sweep, self._folder, keep)

    def is_warm(self, start: Start) -> bool:
        """Whether a replica would be forked at once."""
        known = self._families.get(start.launch.revision)
        return known is not None and known.parent is not None and known.parent.is_warm

    async def parent_for(self, start: Start, places: ReplicaPlaces) -> WarmParent:
        """The parent to fork a replica from, started now if there is none. Raises NotWarm when there can be none.

        The replica's log has what the import has written, whoever's log it went to. May be cancelled at any time.
        """
        family = self._family(start, places)
        parent = await asyncio.shield(family.begun)
        if start.launch.replica != family.first:
            await asyncio.to_thread(_append, places.log, family.said)
        return parent

    async def leave(self, revision: RevisionId) -> None:
        """There is no replica of that revision any more. May be cancelled; `close` then waits for the parent's end."""
        family = self._families.pop(revision, None)
        folders = [*self._folder.glob(f"{short(revision)}-*")]
        if family is not None:
            await asyncio.shield(self._retire(family, family.end()))
        await asyncio.to_thread(_remove, folders)

    async def close(self) -> None:
        """End all parents; their replicas go on."""
        known = [*self._families.values(), *self._retired]
        self._families.clear()
        await asyncio.gather(*(family.end() for family in known))
        await asyncio.gather(*self._retired.values())

    def _family(self, start: Start, places: ReplicaPlaces) -> _Family:
        revision, environ = start.launch.revision, _shared_environment(start, places)
        known = self._families.get(revision)
        if known is not None and (known.is_over or known.environ != environ):
            # Secrets may have changed: what was imported with the old ones forks no more.
            self._retire(known, known.end_when_childless())
            known = None
        if known is None:
            folder = self._folder / f"{short(revision)}-{secrets.token_hex(4)}"
            known = self._families[revision] = _Family(start, places, folder, environ)
        return known

    def _retire(self, family: _Family, ending: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = self._retired[family] = asyncio.get_running_loop().create_task(ending)
        task.add_done_callback(lambda _: self._retired.pop(family))
        return task


class _Family:
    """One parent, from the moment that its process is started."""

    def __init__(self, start: Start, places: ReplicaPlaces, folder: Path, environ: Mapping[str, str]) -> None:
        self.first: ReplicaId = start.launch.replica
        """In whose log the import writes."""
        self.environ = environ
        self.said = b""
        self.parent: WarmParent | None = None
        self._folder = folder
        self.begun = asyncio.get_running_loop().create_task(self._begin(start, places))

    @property
    def is_over(self) -> bool:
        """Whether the parent was warm and has ended: another one may be tried."""
        return self.begun.done() and self.begun.exception() is None and not self.begun.result().is_warm

    async def end_when_childless(self) -> None:
        """End the parent once it has told how all its replicas ended."""
        if self.parent is not None:
            await self.parent.childless()
        await self.end()

    async def end(self) -> None:
        """End the parent, and whatever its import has started."""
        if self.parent is not None:
            await self.parent.end()
        self.begun.cancel()
        await asyncio.gather(self.begun, return_exceptions=True)
        await self._end_process()

    async def _begin(self, start: Start, places: ReplicaPlaces) -> WarmParent:
        """Raises NotWarm."""
        began = _size(places.log)
        try:
            starting = asyncio.ensure_future(asyncio.to_thread(self._start, start, places))
            try:
                process, channel = await asyncio.shield(starting)
            except asyncio.CancelledError:
                process, channel = await starting
                self.parent = WarmParent(process, channel)
                raise
        except OSError as error:
            raise NotWarm(f"the process that is to fork it cannot be started: {error}") from error
        self.parent = WarmParent(process, channel)
        try:
            await self.parent.warm()
        except NotWarm:
            await self._end_process()
            raise
        self.said = await asyncio.to_thread(_between, places.log, began)
        return self.parent

    def _start(self, start: Start, places: ReplicaPlaces) -> tuple[subprocess.Popen[bytes], socket.socket]:
        for folder in (self._folder / "work", self._folder / "home", places.log.parent):
            folder.mkdir(parents=True, exist_ok=True)
        own, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        environ = {
            **self.environ,
            "HOME": str(self._folder / "home"),
            MARK: str(self._folder),
            "FLASHCORE_WARM_FD": str(other.fileno()),
            "FLASHCORE_WARM_LOG": str(self._folder / "parent.log"),
        }
        size = sum(len(os.fsencode(name)) + len(os.fsencode(value)) + 2 for name, value in environ.items())
        with other, places.log.open("ab") as log:
            process = subprocess.Popen(
                [start.python, "-P", "-m", "flashcore.worker.warm", "--handler", str(start.handler)],
                env={**environ, ROOM: "-" * min(_MOST_ROOM, 2 * size + 4096)},
                cwd=self._folder / "work",
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                pass_fds=(other.fileno(),),
            )
        return process, own

    async def _end_process(self) -> None:
        if self.parent is not None:
            await self.parent.end()
            await asyncio.to_thread(kill_strays, MARK, str(self._folder))


def _shared_environment(start: Start, places: ReplicaPlaces) -> dict[str, str]:
    """What is the same for all replicas: what a spawned one sees, and how many threads libraries are to start."""
    threads = str(max(1, int(start.content.template.cpu or 1)))
    everything = {**dict.fromkeys(_NUMERIC, threads), **environment(start, places, os.environ)}
    return {name: value for name, value in everything.items() if name not in _OWN}


def _sweep(folder: Path, keep: set[str]) -> None:
    for path in folder.iterdir() if folder.is_dir() else ():
        kill_strays(MARK, str(path))
        if path.name.partition("-")[0] not in keep:
            shutil.rmtree(path, ignore_errors=True)


def _remove(folders: Iterable[Path]) -> None:
    for folder in folders:
        shutil.rmtree(folder, ignore_errors=True)


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _between(log: Path, start: int) -> bytes:
    try:
        with log.open("rb") as stream:
            stream.seek(max(start, _size(log) - _MOST_SAID))
            return stream.read(_MOST_SAID)
    except OSError:  # it was removed meanwhile
        return b""


def _append(log: Path, text: bytes) -> None:
    log.parent.mkdir(parents=True, exist_ok=True)
    if text:
        with log.open("ab") as stream:
            stream.write(text)
