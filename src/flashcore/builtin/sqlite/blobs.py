"""Payloads too large for a row, as files named by the sha256 of their content, in a folder beside the database."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import tempfile
from collections import Counter
from collections.abc import AsyncGenerator, Callable, Iterable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

from flashcore.builtin.local.folder import sync_folder
from flashcore.builtin.sqlite.faults import damaged, disk_fault, unreadable
from flashcore.wire.spill import view_of


class Blobs:
    """A folder of files that never change. Equal content is kept once."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._pins: Counter[str] = Counter()
        self._sound: dict[str, tuple[int, ...]] = {}
        """Files whose content was checked, with what would tell that it is another since."""

    @asynccontextmanager
    async def stored(
        self, contents: Iterable[bytes | memoryview], then: Callable[[Callable[[], None]], None]
    ) -> AsyncGenerator[list[str], None]:
        """Write contents to disk and give their names; they are kept although no row names them yet.

        At the end of the block, `then` is given what has to be called before they may go.
        Raises StorageFull or StateError; then nothing is half-written.
        """
        pinned: list[str] = []
        try:
            for content in contents:
                digest = await asyncio.to_thread(_digest, content)
                self._pins[digest] += 1
                pinned.append(digest)
                await asyncio.to_thread(self._write, digest, content)
            yield pinned
        finally:
            if pinned:
                then(partial(self._pins.subtract, pinned))

    async def read(self, digest: str) -> memoryview:
        """A view of the content of a file, which is not in memory.

        Raises StateCorrupt when it is gone or another, StateError where no file can be opened now.
        """
        return await asyncio.to_thread(self._read, digest)

    def remove(self, digests: Iterable[str]) -> None:
        """Delete files that no row names, unless somebody is about to name them again."""
        for digest in digests:
            if self._pins[digest] <= 0:
                del self._pins[digest]
                self._sound.pop(digest, None)
                with contextlib.suppress(OSError):  # it is found again when the store is opened the next time
                    (self._folder / digest).unlink(missing_ok=True)

    def keep_only(self, needed: set[str]) -> None:
        """Delete what a process that died has left behind. For before the first use. Raises StateError."""
        try:
            for file in self._folder.iterdir() if self._folder.is_dir() else ():
                if file.name not in needed:
                    file.unlink()
        except OSError as problem:
            raise disk_fault(problem, self._folder) from problem

    def _write(self, digest: str, content: bytes | memoryview) -> None:
        path = self._folder / digest
        try:
            self._folder.mkdir(mode=0o700, exist_ok=True)
            if not path.exists():
                _write_whole(path, content)
            sync_folder(self._folder)  # also for a file that is there: whoever wrote it may not be through with this
        except OSError as problem:
            raise disk_fault(problem, path) from problem

    def _read(self, digest: str) -> memoryview:
        path = self._folder / digest
        try:
            with path.open("rb") as file:
                content, marks = view_of(file.fileno()), _marks(file.fileno())
        except OSError as problem:
            raise unreadable(problem, path) from problem
        except ValueError as problem:  # of an empty file there is no view
            raise damaged(path, str(problem)) from problem
        # Whoever asks for a job again and again is not to have its payload read from end to end each time.
        if self._sound.get(digest) != marks:
            if _digest(content) != digest:
                raise damaged(path, "its content is not what was written")
            self._sound[digest] = marks
        return content


def _marks(descriptor: int) -> tuple[int, ...]:
    found = os.fstat(descriptor)
    return found.st_ino, found.st_size, found.st_mtime_ns


def _digest(content: bytes | memoryview) -> str:
    return hashlib.sha256(content).hexdigest()


def _write_whole(path: Path, content: bytes | memoryview) -> None:
    descriptor, unfinished = tempfile.mkstemp(prefix="unfinished-", dir=path.parent)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        Path(unfinished).rename(path)
    except OSError:
        Path(unfinished).unlink(missing_ok=True)
        raise
