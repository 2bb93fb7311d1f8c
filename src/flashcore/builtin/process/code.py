"""The unpacked code that replicas run: one folder per artifact, made once, shared by all replicas of this project."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Iterable
from pathlib import Path

from flashcore.builtin.local.drafts import draft_beside, is_abandoned, is_draft
from flashcore.builtin.process.unpack import unpack
from flashcore.hookspecs.artifacts import ArtifactStore
from flashcore.model.names import Digest


class CodeFolders:
    """Unpacks artifacts on demand."""

    def __init__(self, folder: Path, artifacts: ArtifactStore) -> None:
        self._folder = folder
        self._artifacts = artifacts
        self._locks: dict[Digest, asyncio.Lock] = {}

    async def folder_of(self, digest: Digest) -> Path:
        """The artifact's folder, unpacked now if it is not there.

        Raises what the store raises (NotFound, StorageFull), and what `unpack` does.
        """
        target = self._folder / digest
        async with self._locks.setdefault(digest, asyncio.Lock()):
            if not target.is_dir():
                await self._fetch(digest, target)
        return target

    async def tidy(self, in_use: Iterable[Digest]) -> None:
        """Remove what a crash left half done, and the code of artifacts that are neither stored nor in use."""
        keep = {*await self._artifacts.digests(), *in_use}
        await asyncio.to_thread(_tidy, self._folder, keep)

    async def _fetch(self, digest: Digest, target: Path) -> None:
        # Another control plane of the same project may be at the same artifact.
        draft, archive = draft_beside(target), draft_beside(target, ".archive")
        try:
            await asyncio.to_thread(self._folder.mkdir, parents=True, exist_ok=True)
            await self._artifacts.get(digest, archive)
            await asyncio.to_thread(unpack, archive, digest, draft)
            await asyncio.to_thread(_move, draft, target)
        finally:
            archive.unlink(missing_ok=True)


def _move(draft: Path, target: Path) -> None:
    try:
        draft.rename(target)
    except OSError:
        shutil.rmtree(draft, ignore_errors=True)
        if not target.is_dir():  # somebody else was quicker, with the same bytes
            raise


def _tidy(folder: Path, keep: set[Digest]) -> None:
    for path in folder.iterdir() if folder.is_dir() else ():
        unwanted = is_abandoned(path) if is_draft(path) else path.name not in keep
        if unwanted and path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        elif unwanted:
            path.unlink(missing_ok=True)
