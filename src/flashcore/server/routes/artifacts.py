"""Artifacts: put once, by the digest of their bytes."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import re
import tempfile
from pathlib import Path

from fastapi import APIRouter, Request, Response

from flashcore.hookspecs.artifacts import ArtifactStore
from flashcore.model.errors import NotFound, UsageError
from flashcore.model.names import Digest
from flashcore.server.daemon import as_storage_error

_DIGEST = re.compile(r"[0-9a-f]{64}")


def artifact_routes(store: ArtifactStore, drafts: Path) -> APIRouter:
    """Routes over an artifact store; uploads are drafted in the folder `drafts` until their digest is known to hold."""
    routes = APIRouter(prefix="/api/v1/artifacts", tags=["artifacts"])

    @routes.head("/{digest}")
    async def has(digest: str) -> Response:
        """Whether the archive is there."""
        if not await store.has(_checked(digest)):
            raise NotFound(f"there is no artifact {digest}")
        return Response()

    @routes.put("/{digest}", status_code=201)
    async def put(digest: str, request: Request) -> dict[str, str]:
        """Store an archive; its bytes must have the digest that the path names."""
        wanted = _checked(digest)
        draft = Draft(drafts)  # not in a thread: who is called away meanwhile would not remove it
        try:
            async for piece in request.stream():
                await asyncio.to_thread(draft.write, piece)
            await asyncio.to_thread(draft.finish, wanted)
            await store.put(wanted, draft.path)
        finally:
            draft.remove()
        return {"digest": wanted}

    return routes


class Draft:
    """An upload on its way. Raises StorageFull when there is no room for it."""

    def __init__(self, folder: Path) -> None:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._file = tempfile.NamedTemporaryFile(dir=folder, suffix=".upload", delete=False)  # noqa: SIM115 - lives as long as the draft
        except OSError as error:
            raise as_storage_error(error, folder) from error
        self.path = Path(self._file.name)
        self._seen = hashlib.sha256()

    def write(self, piece: bytes) -> None:
        """Add bytes."""
        self._seen.update(piece)
        try:
            self._file.write(piece)
        except OSError as error:
            raise as_storage_error(error, self.path) from error

    def finish(self, wanted: Digest) -> None:
        """Close the file. Raises UsageError unless its bytes have the digest."""
        try:
            self._file.close()
        except OSError as error:
            raise as_storage_error(error, self.path) from error
        if self._seen.hexdigest() != wanted:
            raise UsageError(
                f"the bytes have the digest {self._seen.hexdigest()}, not {wanted}", next_step="build again"
            )

    def remove(self) -> None:
        """Leave nothing behind. Its disk may be full: what was not written yet is given up."""
        with contextlib.suppress(OSError):
            self._file.close()
        self.path.unlink(missing_ok=True)


def _checked(digest: str) -> Digest:
    if not _DIGEST.fullmatch(digest):
        raise UsageError(f"{digest!r} is no sha256 in hex")
    return Digest(digest)
