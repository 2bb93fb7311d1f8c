"""Payloads too large for a row, as files named by the sha256 of their content, in a folder beside the database."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import tempfile
from collections import Counter
from collections.abc import AsyncGenerator, Iterable
from contextlib import asynccontextmanager
from pathlib import Path

from flashcore.builtin.sqlite.faults import damaged, disk_fault


class Blobs:
    """A folder of files that never change. Equal content is kept once."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._pins: Counter[str] = Counter()

    @asynccontextmanager
    async def stored(self, contents: Iterable[bytes]) -> AsyncGenerator[list[str], None]:
        """Write contents to disk and give their names; within the block they are kept although no row names them yet.

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
            self._pins.subtract(pinned)

    async def read(self, digest: str) -> bytes:
        """The content of a file. Raises StateCorrupt when it is gone or another."""
        return await asyncio.to_thread(self._read, digest)

    def remove(self, digests: Iterable[str]) -> None:
        """Delete files that no row names, unless somebody is about to name them again."""
        for digest in digests:
            if self._pins[digest] <= 0:
                del self._pins[digest]
                with contextlib.suppress(OSError):  # it is found again when the store is opened the next time
                    (self._folder / digest).unlink(missing_ok=True)

    def keep_only(self, needed: set[str]) -> None:
        """Delete what a process that died has left behind. For before the first use."""
        if self._folder.is_dir():
            for file in self._folder.iterdir():
                if file.name not in needed:
                    file.unlink()

    def _write(self, digest: str, content: bytes) -> None:
        path = self._folder / digest
        try:
            self._folder.mkdir(mode=0o700, exist_ok=True)
            if not path.exists():
                _write_whole(path, content)
            _sync_folder(self._folder)  # also for a file that is there: whoever wrote it may not be through with this
        except OSError as problem:
            raise disk_fault(problem, path) from problem

    def _read(self, digest: str) -> bytes:
        path = self._folder / digest
        try:
            content = path.read_bytes()
        except OSError as problem:
            raise damaged(path, problem.strerror or "unreadable") from problem
        if _digest(content) != digest:
            raise damaged(path, "its content is not what was written")
        return content


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _write_whole(path: Path, content: bytes) -> None:
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


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
