"""Artifact stores: keep the archives that replicas run, addressed by the sha256 of their bytes.

A directory: put writes a temporary file, syncs it and renames it. An object store: put is a conditional upload
under the digest; `url` is a presigned address. The core verifies the digest of what `get` wrote, so a store need not.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

from flashcore.hookspecs.markers import hookspec
from flashcore.hookspecs.records import Part
from flashcore.model.names import Digest

API = range(1, 2)
CAPABILITIES = frozenset({"url"})
"""`url`: replicas can fetch an artifact by address, without the control plane."""


class ArtifactStore(Protocol):
    """Archives by digest. The part's factory is called with the store's location (a directory or URL) as text."""

    async def put(self, digest: Digest, source: Path) -> None:
        """Store the file; a digest that is there already is a success. Raises errors.StorageFull, errors.StateError."""
        ...

    async def get(self, digest: Digest, target: Path) -> None:
        """Write the archive to `target`, whole or not at all. Raises errors.NotFound, errors.StorageFull."""
        ...

    async def has(self, digest: Digest) -> bool:
        """Whether it is there."""
        ...

    async def url(self, digest: Digest) -> str | None:
        """An address from which a replica can fetch it for a while, None without that capability."""
        ...

    async def digests(self) -> frozenset[Digest]:
        """Everything that is stored, for garbage collection."""
        ...

    async def delete(self, digest: Digest) -> None:
        """Remove it; one that is not there is a success."""
        ...


@hookspec
def flashcore_artifact_stores() -> Mapping[str, Part]:  # type: ignore[empty-body]  # a hookspec has no body
    """Offer artifact stores by URL scheme."""
