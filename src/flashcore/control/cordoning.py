"""An operator's switch on one replica: taken out of the traffic, and put back. Nothing else changes for it."""

from __future__ import annotations

import dataclasses

from flashcore.control.draft import Draft
from flashcore.control.refusals import require_staying
from flashcore.model.deployment import Deployment
from flashcore.model.errors import NotFound
from flashcore.model.names import ReplicaId
from flashcore.model.replica import Cause, Replica

_BY_PERSON = {"code": Cause.BY_PERSON.value}


def cordon(draft: Draft, replica: ReplicaId) -> Deployment:
    """Let a replica get no calls any more; it finishes what it has, lives on, and counts as before. Raises NotFound."""
    found = _live(draft, replica)
    if not found.cordoned:
        draft.put(dataclasses.replace(found, cordoned=True))
        draft.tell("replica.cordoned", "by a person", revision=found.revision, replica=replica, data=_BY_PERSON)
    return draft.deployment


def uncordon(draft: Draft, replica: ReplicaId) -> Deployment:
    """Let it get calls again. Raises NotFound."""
    found = _live(draft, replica)
    if found.cordoned:
        draft.put(dataclasses.replace(found, cordoned=False))
        draft.tell("replica.uncordoned", "by a person", revision=found.revision, replica=replica, data=_BY_PERSON)
    return draft.deployment


def _live(draft: Draft, wanted: ReplicaId) -> Replica:
    require_staying(draft.deployment)
    live = [replica for replica in draft.replicas.values() if replica.live]
    for replica in live:
        if replica.id == wanted:
            return replica
    names = ", ".join(sorted(replica.id for replica in live)) or "none"
    raise NotFound(
        f"{draft.deployment.endpoint} has no replica {wanted!r} that serves or is about to; it has: {names}",
        next_step=f"choose one of them: flashcore status {draft.deployment.endpoint}",
        endpoint=draft.deployment.endpoint,
    )
