"""Archives of code onto the disk: checked, whole or not at all, and nothing outside of their folder."""

from __future__ import annotations

import errno
import hashlib
import shutil
import stat
import tarfile
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO

from flashcore.model.errors import FlashcoreError, StorageFull
from flashcore.model.names import Digest

_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
_CONTRADICTIONS = frozenset({errno.EEXIST, errno.ENOTDIR, errno.EISDIR, errno.ENAMETOOLONG})
"""What an archive is answered with whose names cannot all be: a file twice, a file that is a folder, too."""


class BadArchive(FlashcoreError):
    """An archive that is not what it should be, or holds what must not be unpacked."""

    code = "bad_archive"


@dataclass(frozen=True, slots=True)
class _Member:
    path: PurePosixPath
    content: IO[bytes]
    executable: bool


def unpack(archive: Path, digest: Digest, target: Path) -> None:
    """Check the archive's sha256 and unpack it to `target`, which must not be there.

    Regular files and folders only. Raises BadArchive or StorageFull, and leaves nothing behind then.
    """
    try:
        _check(archive, digest)
        target.mkdir(parents=True)
        for member in _members(archive):
            _write(target, member)
    except (OSError, tarfile.TarError, zipfile.BadZipFile, EOFError) as error:
        shutil.rmtree(target, ignore_errors=True)
        if isinstance(error, OSError) and error.errno in _FULL:
            raise StorageFull(
                f"there is no room to unpack artifact {digest[:12]} to {target.parent}: {error.strerror}",
                next_step="make room; it is tried again",
            ) from error
        if isinstance(error, OSError) and error.errno not in _CONTRADICTIONS:
            raise
        raise _bad(digest, str(error)) from error
    except BadArchive:
        shutil.rmtree(target, ignore_errors=True)
        raise


def _check(archive: Path, digest: Digest) -> None:
    with archive.open("rb") as content:
        found = hashlib.file_digest(content, "sha256").hexdigest()
    if found != digest:
        raise _bad(digest, f"its content has the digest {found[:12]}")


def _members(archive: Path) -> Iterator[_Member]:
    if zipfile.is_zipfile(archive):
        return _zip_members(archive)
    return _tar_members(archive)


def _tar_members(archive: Path) -> Iterator[_Member]:
    with tarfile.open(archive) as tar:
        for info in tar:
            if info.isdir():
                continue
            content = tar.extractfile(info) if info.isreg() else None
            if content is None:
                raise BadArchive(f"{info.name!r} is neither a file nor a folder", next_step="build again")
            with content:
                yield _Member(PurePosixPath(info.name), content, bool(info.mode & stat.S_IXUSR))


def _zip_members(archive: Path) -> Iterator[_Member]:
    with zipfile.ZipFile(archive) as bundle:
        for info in bundle.infolist():
            mode = info.external_attr >> 16
            if info.is_dir():
                continue
            if mode and stat.S_IFMT(mode) not in (0, stat.S_IFREG):
                raise BadArchive(f"{info.filename!r} is neither a file nor a folder", next_step="build again")
            with bundle.open(info) as content:
                yield _Member(PurePosixPath(info.filename), content, bool(mode & stat.S_IXUSR))


def _write(target: Path, member: _Member) -> None:
    parts = member.path.parts
    if member.path.is_absolute() or ".." in parts or not parts or any("\\" in part or "\0" in part for part in parts):
        raise BadArchive(f"{str(member.path)!r} leads out of the archive's folder", next_step="build again")
    path = target.joinpath(*parts)
    path.parent.mkdir(parents=True, exist_ok=True)
    # No file of an archive is a link, so nothing that is written here can lead elsewhere.
    with path.open("xb") as file:
        shutil.copyfileobj(member.content, file, 1 << 20)
    path.chmod(0o755 if member.executable else 0o644)


def _bad(digest: Digest, problem: str) -> BadArchive:
    return BadArchive(
        f"artifact {digest[:12]} cannot be unpacked: {problem}",
        next_step="deploy again: flashcore deploy",
        digest=digest,
    )
