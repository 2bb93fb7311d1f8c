"""Amendments: change what passes from the build to the replicas. What raises stops the operation, and is named."""

from __future__ import annotations

from collections.abc import Mapping

from flashcore.hookspecs.markers import hookspec
from flashcore.model.manifest import Manifest
from flashcore.model.revision import RevisionContent

API = range(1, 2)


@hookspec
def flashcore_manifest(manifest: Manifest) -> Manifest | None:
    """Amend a manifest at the end of a build; None leaves it as it is.

    Called in order, each sees the last one's result.
    """


@hookspec
def flashcore_replica_env(revision: RevisionContent, env: Mapping[str, str]) -> Mapping[str, str] | None:
    """Amend the environment of a revision's replicas before its code is imported; the result is part of the revision.

    Called in order, each sees the last one's result; None leaves it as it is. Never a place for secrets.
    """
