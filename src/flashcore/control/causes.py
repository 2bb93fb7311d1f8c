"""Why a deployment is as it is: of its events those that made it so, from the last thing that somebody asked for on."""

from __future__ import annotations

from collections.abc import Sequence

from flashcore.control.store import Recorded
from flashcore.model.events import Event
from flashcore.model.names import ReplicaId

_ASKED = frozenset({"rollout.started", "restart.started", "deployment.goal", "deployment.policy", "deployment.held"})
"""What begins a chain."""
_ROUTINE = frozenset({"replica.created", "replica.starting", "replica.warming_up", "replica.running"})
"""What every replica goes through when all is well."""


def causes(log: Sequence[Recorded]) -> tuple[Recorded, ...]:
    """The links of the chain, oldest first, of a deployment's events in their order.

    It begins with the last request; of a rollout, with the rollout's, so that what was asked in its midst is a link.
    """
    begins = _beginning(log)
    told_to_end: set[ReplicaId | None] = {one.event.replica for one in log[:begins] if _is_drain(one.event)}
    links = []
    for one in log[begins:]:
        if _is_drain(one.event):
            told_to_end.add(one.event.replica)
        # One that ends by itself is a cause; of others it was said before.
        if _matters(one.event) and (one.event.kind != "replica.terminated" or one.event.replica not in told_to_end):
            links.append(one)
    return tuple(links)


def _beginning(log: Sequence[Recorded]) -> int:
    newest = next((at for at in reversed(range(len(log))) if log[at].event.kind in _ASKED), 0)
    for at in range(newest, -1, -1):
        kind = log[at].event.kind
        if kind == "rollout.started":
            return at
        if kind in ("rollout.done", "rollout.aborted", "rollout.failed"):
            break  # that rollout was over when the newest request came
    return newest


def _matters(event: Event) -> bool:
    if event.kind in _ROUTINE or event.kind == "revision.created":
        return False
    return event.kind != "replica.draining" or bool(event.message)


def _is_drain(event: Event) -> bool:
    return event.kind == "replica.draining"
