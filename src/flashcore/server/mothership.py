"""The control plane as a mothership: it keeps its environment as a manifest file says, and follows changes of the file.

Which file is written down in the environment's folder, so that the next control plane goes on by it, or stands in the
project's settings. No variable makes a mothership of a process that inherits it.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from flashcore.build.archive import SUFFIX
from flashcore.composition import Platform
from flashcore.control.manifests.keeping import Kept
from flashcore.control.store import LostLeadership
from flashcore.model.errors import BuildError, ConfigurationError, FlashcoreError, Refused
from flashcore.model.manifest import Manifest, manifest_from_json
from flashcore.server.beside import beside

log = logging.getLogger(__name__)

INTERVAL = 1.0
"""Seconds between two looks at the file and at what is to be done."""
END_TEST_WITHIN = 30.0
"""Seconds; a process that was told to end has not much longer."""

_FILE = "mothership.json"

_Signature = tuple[int, int, int, int]


@dataclass(slots=True)
class _Source:
    """A manifest file, and which state of it was read last."""

    path: Path
    seen: _Signature | None = None


class Mothership:
    """The background work of one control plane. Booting does not wait for it."""

    def __init__(self, platform: Platform) -> None:
        self._platform = platform
        self._manifests = platform.manifests
        self._note = platform.project.layout.home / _FILE
        self._source: _Source | None = None
        self._turn = asyncio.Lock()

    async def run(self) -> None:
        """Look again and again, until cancelled or until another control plane leads. The status tells what fails."""
        self._source = _noted(self._note) or self._declared()
        while True:
            try:
                await self.look()
            except LostLeadership:
                return  # this process is about to end, and says so itself
            await asyncio.sleep(INTERVAL)

    async def look(self) -> None:
        """One look at the file, and one pass. Raises LostLeadership alone."""
        async with self._turn:
            try:
                await self._read_again()
                await self._manifests.take_turn()
                self._manifests.trouble = ""
            except LostLeadership:
                raise
            except FlashcoreError as error:
                self._say(error.message)
            except Exception as error:
                log.exception("keeping the manifest failed")
                self._say(repr(error))

    async def keep(self, path: Path) -> None:
        """Keep the environment by this file from now on. Raises BuildError, ConfigurationError or Refused."""
        source = _Source(path)
        kept = await self._load(source)
        async with self._turn:
            await asyncio.to_thread(_write, self._note, path)
            self._source = source
            self._manifests.keep(kept)

    async def stop_keeping(self) -> None:
        """Leave the environment as it is from now on."""
        async with self._turn:
            await asyncio.to_thread(self._note.unlink, missing_ok=True)
            self._source = None
            self._manifests.keep(None)

    async def test(self, path: Path) -> None:
        """Run what the file says under names of its own, until told otherwise or until this process ends."""
        kept = await self._load(_Source(path))
        async with self._turn:
            self._manifests.test(kept)

    async def end_test(self) -> None:
        """Take down what was deployed for a test, and return when it is gone. Logs what is not gone in time."""
        self._manifests.test(None)
        try:
            async with asyncio.timeout(END_TEST_WITHIN):
                while self._manifests.is_testing:
                    await self.look()
                    await asyncio.sleep(0.1)
        except (TimeoutError, LostLeadership):
            log.error("not all of the test is gone; the next control plane of this environment removes it")

    def _declared(self) -> _Source | None:
        """The manifest that the project's settings name."""
        project = self._platform.project
        name = project.settings.mothership.manifest
        return _Source(project.root / name) if name else None

    async def _read_again(self) -> None:
        """Take over the file if it has changed. One that cannot be read changes nothing of what is kept."""
        source = self._source
        if source is None:
            return
        signature = await asyncio.to_thread(_signature, source.path)
        if signature != source.seen:
            self._manifests.keep(await self._load(source))

    async def _load(self, source: _Source) -> Kept:
        signature = await asyncio.to_thread(_signature, source.path)
        # Without links: a build replaces manifest and archives by moving a link, and these are to be of one build.
        path = await asyncio.to_thread(source.path.resolve)
        manifest = await asyncio.to_thread(_read, path)
        app = self._platform.project.settings.app
        if manifest.app != app:
            raise Refused(
                f"{source.path} is a manifest of {manifest.app!r}, not of {app!r}", next_step="give another one"
            )
        await self._take_in(manifest, path.parent)
        source.seen = signature
        return Kept(str(source.path), manifest)

    async def _take_in(self, manifest: Manifest, folder: Path) -> None:
        """Store the archives that lie beside the manifest, as a build leaves them."""
        for digest in {entry.artifact for entry in manifest.endpoints}:
            archive = folder / f"{digest}{SUFFIX}"
            if not await self._platform.artifacts.has(digest) and await asyncio.to_thread(archive.is_file):
                await self._platform.artifacts.put(digest, archive)

    def _say(self, trouble: str) -> None:
        if trouble != self._manifests.trouble:
            log.error("the manifest cannot be kept: %s", trouble)
        self._manifests.trouble = trouble


@asynccontextmanager
async def at_work(mothership: Mothership) -> AsyncIterator[None]:
    """Have it work beside what is done meanwhile; what a test deployed goes at the end."""
    try:
        async with beside(mothership.run, "mothership"):
            yield
    finally:
        await mothership.end_test()


def _noted(note: Path) -> _Source | None:
    try:
        return _Source(Path(json.loads(note.read_text(encoding="utf-8"))["manifest"]))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError) as error:
        log.error("%s cannot be read (%s): no manifest is kept", note, error)
        return None


def _write(note: Path, manifest: Path) -> None:
    draft = note.with_name(f"{note.name}.{os.getpid()}")
    draft.write_text(json.dumps({"manifest": str(manifest)}), encoding="utf-8")
    draft.replace(note)


def _signature(path: Path) -> _Signature:
    """Which state of the file it is. Raises ConfigurationError when there is none."""
    try:
        status = path.stat()
    except OSError as error:
        raise ConfigurationError(
            f"the manifest {path} cannot be read: {error.strerror}",
            next_step="build it again, or give another one: flashcore server start --manifest FILE",
        ) from error
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns


def _read(path: Path) -> Manifest:
    try:
        return manifest_from_json(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError) as error:
        raise BuildError(f"{path} is no manifest: {error}", next_step="build it: flashcore build") from error
