"""The archive that replicas run: the same files give the same bytes, on any machine, day, user, umask and Python.

A tar file in a gzip frame whose blocks are stored, not compressed: what a compressor makes of the same input differs
between its versions, and code is small. Names are sorted; times, owners and modes are fixed, but for a file being
executable.
"""

from __future__ import annotations

import errno
import hashlib
import io
import os
import struct
import tarfile
import zlib
from collections.abc import Iterable, Iterator
from functools import cached_property
from pathlib import Path
from typing import BinaryIO, Protocol

from flashcore.model.names import Digest

SUFFIX = ".tar.gz"

_GZIP_HEAD = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff"
"""Magic, deflate, no flags, no time, no level, of no operating system."""

_BLOCK = 65_535
"""The most bytes that one stored block of a deflate stream holds."""


_PIECE = 1 << 20

_LARGE = 1 << 33
"""Bytes from which a size takes more digits than a plain header has."""

_ZERO = b"0000000"
_REST = b"0" + bytes(tarfile.LENGTH_LINK) + tarfile.GNU_MAGIC
"""A header behind its checksum: a regular file, no link, and nothing else: it is nobody's."""


class ArchiveEntry(Protocol):
    """A file of an archive."""

    @property
    def path(self) -> str:
        """Where it is, with `/`."""
        ...

    @property
    def size(self) -> int:
        """Bytes of its content. Raises OSError."""
        ...

    def blocks(self) -> Iterator[bytes]:
        """Its header and content as a tar file has them. Raises OSError."""
        ...


class BytesEntry:
    """A file whose content is at hand; what the archive has of it is made once, for all archives that it is in."""

    def __init__(self, path: str, data: bytes, *, executable: bool = False) -> None:
        self._path = path
        self._data = data
        self._executable = executable

    @property
    def path(self) -> str:
        """Where it is, with `/`."""
        return self._path

    @property
    def size(self) -> int:
        """Bytes of its content."""
        return len(self._data)

    def blocks(self) -> Iterator[bytes]:
        """The header, the content, and what fills its last block."""
        yield self._header
        yield self._data
        yield _padding(len(self._data))

    @cached_property
    def _header(self) -> bytes:
        return _header(self._path, len(self._data), executable=self._executable)


class FileEntry:
    """A file that is read from the disk when it is needed, as large ones are."""

    def __init__(self, path: str, source: Path, *, executable: bool = False) -> None:
        self._path = path
        self._source = source
        self._executable = executable

    @property
    def path(self) -> str:
        """Where it is, with `/`."""
        return self._path

    @property
    def size(self) -> int:
        """Bytes of its content. Raises OSError."""
        return self._source.stat().st_size

    def blocks(self) -> Iterator[bytes]:
        """The header, then the content piece by piece. Raises OSError also when the file gets shorter meanwhile."""
        with self._source.open("rb") as file:
            size = left = os.fstat(file.fileno()).st_size
            yield _header(self._path, size, executable=self._executable)
            while piece := file.read(min(_PIECE, left)):
                left -= len(piece)
                yield piece
        if left:
            raise OSError(errno.EIO, "it became shorter while it was read", str(self._source))
        yield _padding(size)


def write_archive(entries: Iterable[ArchiveEntry], target: BinaryIO) -> Digest:
    """Write the archive and return its sha256. Raises OSError."""
    frame, written = _StoredGzip(target), 0
    for entry in sorted(entries, key=lambda entry: entry.path.encode()):
        for block in entry.blocks():
            frame.write(block)
            written += len(block)
    # The end of a tar file: two empty blocks, up to a whole record.
    end = written + 2 * tarfile.BLOCKSIZE
    frame.write(bytes(2 * tarfile.BLOCKSIZE + -end % tarfile.RECORDSIZE))
    return frame.finish()


def digest_of(entries: Iterable[ArchiveEntry]) -> Digest:
    """The sha256 that the archive would have, without writing it. Raises OSError."""
    return write_archive(entries, _Nowhere())


def _header(path: str, size: int, *, executable: bool) -> bytes:
    name = path.encode()
    if len(name) >= tarfile.LENGTH_NAME or size >= _LARGE:
        return _long_header(path, size, executable=executable)
    # What `tarfile` makes of it, at a tenth of the time: an archive has a header for each of its files.
    mode = b"0000755" if executable else b"0000644"
    head = b"%b%b\0%b\0%b\0%011o\0%011o\0" % (name.ljust(100, b"\0"), mode, _ZERO, _ZERO, size, 0)
    rest = _REST.ljust(tarfile.BLOCKSIZE - len(head) - 8, b"\0")
    total = sum(head) + sum(rest) + 8 * ord(" ")
    return b"%b%06o\0 %b" % (head, total, rest)


def _long_header(path: str, size: int, *, executable: bool) -> bytes:
    member = tarfile.TarInfo(path)
    member.size = size
    member.mode = 0o755 if executable else 0o644
    return member.tobuf(tarfile.GNU_FORMAT, "utf-8")


def _padding(size: int) -> bytes:
    return bytes(-size % tarfile.BLOCKSIZE)


class _StoredGzip:
    """A gzip frame around what is written, block by block, with the digest of all of it."""

    def __init__(self, target: BinaryIO) -> None:
        self._target = target
        self._hash = hashlib.sha256()
        self._crc = 0
        self._length = 0
        self._pending = bytearray()
        self._put(_GZIP_HEAD)

    def write(self, data: bytes) -> None:
        """Take bytes of the content."""
        self._crc = zlib.crc32(data, self._crc)
        self._length += len(data)
        self._pending += data
        at = 0
        while len(self._pending) - at > _BLOCK:
            self._put_block(bytes(self._pending[at : at + _BLOCK]), last=False)
            at += _BLOCK
        del self._pending[:at]

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
