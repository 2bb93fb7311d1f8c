"""The artifact store `file`: a directory of archives named by their digest."""

from __future__ import annotations

import asyncio
import errno
import os
import re
import shutil
from contextlib import suppress
from pathlib import Path

from flashcore.builtin.local.drafts import draft_beside, remove_abandoned
from flashcore.builtin.local.folder import sync_folder
from flashcore.model.errors import NotFound, StateError, StorageFull
from flashcore.model.names import Digest

_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
_DIGEST = re.compile(r"[0-9a-f]{64}")


class FileArtifactStore:
    """Archives in a directory. A file is there whole or not at all, also after a crash."""

    def __init__(self, location: str) -> None:
        self._directory = Path(location)

    async def put(self, digest: Digest, source: Path) -> None:
        """Copy the file, sync it, rename it to its digest. Raises StorageFull, StateError.

        What processes were writing there when they were killed is removed.
        """
        target = self._path(digest)
        if not target.is_file():
            await asyncio.to_thread(_put, source, target)

    async def get(self, digest: Digest, target: Path) -> None:
        """Copy the archive to `target`, whole or not at all. Raises NotFound, StorageFull, StateError."""
        source = self._path(digest)
        if not source.is_file():
            raise NotFound(
                f"artifact {digest[:12]} is not in {self._directory}", next_step="deploy again: flashcore deploy"
            )
        await asyncio.to_thread(_copy, source, target)

    async def has(self, digest: Digest) -> bool:
        """Whether it is there."""
        return self._path(digest).is_file()

    async def url(self, digest: Digest) -> str | None:  # noqa: ARG002 - no file of this machine has an address
        """None: another machine cannot fetch from this directory."""
        return None

    async def digests(self) -> frozenset[Digest]:
        """Every archive that is stored whole."""
        if not self._directory.is_dir():
            return frozenset()
        names = await asyncio.to_thread(os.listdir, self._directory)
        return frozenset(Digest(name) for name in names if _DIGEST.fullmatch(name))

    async def delete(self, digest: Digest) -> None:
        """Remove it; one that is not there is a success."""
        self._path(digest).unlink(missing_ok=True)

    def _path(self, digest: Digest) -> Path:
        if not _DIGEST.fullmatch(digest):
            raise StateError(f"{digest!r} is no sha256 digest", next_step="deploy again: flashcore deploy")
        return self._directory / digest


def _put(source: Path, target: Path) -> None:
    with suppress(OSError):  # somebody else may be at the same; what stays takes room, and no more
        remove_abandoned(target.parent)
    _copy(source, target)


def _copy(source: Path, target: Path) -> None:
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        draft = draft_beside(target)
        try:
            descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "wb") as written, source.open("rb") as read:
                shutil.copyfileobj(read, written, 1 << 20)
                written.flush()
                os.fsync(written.fileno())
            draft.replace(target)
        finally:
            with suppress(FileNotFoundError):
                draft.unlink()
        sync_folder(target.parent)
    except OSError as error:
        raise _refusal(target, error) from error


def _refusal(target: Path, error: OSError) -> StateError | StorageFull:
    if error.errno in _FULL:
        return StorageFull(f"there is no room for {target}: {error.strerror}", next_step="make room, then try again")
    return StateError(f"{target} cannot be written: {error}", next_step="check the directory and its rights")
