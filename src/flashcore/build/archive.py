"""The archive that replicas run: the same files give the same bytes, on any machine, day, user, umask and Python.

A tar file in a gzip frame whose blocks are stored, not compressed: what a compressor makes of the same input differs
between its versions, and code is small. Names are sorted; times, owners and modes are fixed, but for a file being
executable.
"""

from __future__ import annotations

import hashlib
import io
import struct
import tarfile
import zlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from flashcore.model.names import Digest

SUFFIX = ".tar.gz"

_GZIP_HEAD = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff"
"""Magic, deflate, no flags, no time, no level, of no operating system."""

_BLOCK = 65_535
"""The most bytes that one stored block of a deflate stream holds."""


@dataclass(frozen=True, slots=True)
class ArchiveEntry:
    """A file of an archive: its path, how to open it, how long it is."""

    path: str
    size: int
    open: Callable[[], BinaryIO]
    executable: bool = False


def file_entry(path: str, source: Path, size: int, *, executable: bool) -> ArchiveEntry:
    """An entry with a file's content."""
    return ArchiveEntry(path, size, lambda: source.open("rb"), executable)


def bytes_entry(path: str, data: bytes, *, executable: bool = False) -> ArchiveEntry:
    """An entry with these bytes."""
    return ArchiveEntry(path, len(data), lambda: io.BytesIO(data), executable)


def write_archive(entries: Iterable[ArchiveEntry], target: BinaryIO) -> Digest:
    """Write the archive and return its sha256. Raises OSError; also for a file that changes while it is read."""
    frame = _StoredGzip(target)
    with tarfile.open(fileobj=frame, mode="w|", format=tarfile.GNU_FORMAT, encoding="utf-8") as tar:  # type: ignore[call-overload]  # it needs no more than write()
        for entry in sorted(entries, key=lambda entry: entry.path.encode()):
            with entry.open() as content:
                tar.addfile(_member(entry), content)
    return frame.finish()


def digest_of(entries: Iterable[ArchiveEntry]) -> Digest:
    """The sha256 that the archive would have, without writing it."""
    return write_archive(entries, _Nowhere())


def _member(entry: ArchiveEntry) -> tarfile.TarInfo:
    member = tarfile.TarInfo(entry.path)
    member.size = entry.size
    member.mode = 0o755 if entry.executable else 0o644
    return member


class _StoredGzip:
    """A gzip frame around what is written, block by block, with the digest of all of it."""

    def __init__(self, target: BinaryIO) -> None:
        self._target = target
        self._hash = hashlib.sha256()
        self._crc = 0
        self._length = 0
        self._pending = bytearray()
        self._put(_GZIP_HEAD)

    def write(self, data: bytes) -> int:
        """Take bytes of the content."""
        self._crc = zlib.crc32(data, self._crc)
        self._length += len(data)
        self._pending += data
        while len(self._pending) > _BLOCK:
            self._put_block(bytes(self._pending[:_BLOCK]), last=False)
            del self._pending[:_BLOCK]
        return len(data)

    def finish(self) -> Digest:
        """Write what is left and the trailer; returns the digest."""
        self._put_block(bytes(self._pending), last=True)
        self._put(struct.pack("<II", self._crc, self._length & 0xFFFFFFFF))
        return Digest(self._hash.hexdigest())

    def _put_block(self, block: bytes, *, last: bool) -> None:
        self._put(struct.pack("<BHH", last, len(block), len(block) ^ 0xFFFF) + block)

    def _put(self, data: bytes) -> None:
        self._hash.update(data)
        self._target.write(data)


class _Nowhere(io.BytesIO):
    def write(self, data: object) -> int:  # noqa: ARG002 - that is the point
        return 0
