"""The replicas of a deployment by revision, counted, and the part that each revision plays."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import cast

from flashcore.control.draft import Draft
from flashcore.hookspecs.strategies import SideView
from flashcore.model.deployment import Deployment, Rollout, RolloutState
from flashcore.model.names import ReplicaId, RevisionId
from flashcore.model.replica import Phase, Replica


@dataclass(frozen=True, slots=True)
class Side:
    """The replicas of one revision, oldest first."""

    revision: RevisionId
    replicas: tuple[Replica, ...]
    """All that exist, draining ones too."""
    live: tuple[Replica, ...]
    """Those that serve or are on their way to it."""
    ready: tuple[Replica, ...]
    """Those that can serve now: running, healthy, and heard of lately."""

    @property
    def leaving(self) -> int:
        """How many are draining."""
        return len(self.replicas) - len(self.live)

    @property
    def unready(self) -> tuple[Replica, ...]:
        """Those that live and cannot serve now."""
        ready = {replica.id for replica in self.ready}
        return tuple(replica for replica in self.live if replica.id not in ready)

    def view(self, *, serves: bool) -> SideView:
        """The side as strategies and gates see it."""
        serving = sum(not replica.cordoned for replica in self.ready) if serves else 0
        return SideView(self.revision, len(self.replicas), len(self.ready), serving, self.leaving)


def side_of(revision: RevisionId, replicas: Iterable[Replica], stale: frozenset[ReplicaId] = frozenset()) -> Side:
    """The side that these replicas of the revision make."""
    return _side(revision, [replica for replica in replicas if replica.exists], stale)


def _side(revision: RevisionId, found: Iterable[Replica], stale: frozenset[ReplicaId]) -> Side:
    existing = tuple(sorted(found, key=_age))
    live = tuple([r for r in existing if r.phase is not Phase.DRAINING])
    return Side(revision, existing, live, tuple([r for r in live if r.ready and r.id not in stale]))


def _age(replica: Replica) -> tuple[float, ReplicaId]:
    return replica.created_at, replica.id


@dataclass(frozen=True, slots=True)
class Sides:
    """All sides, by the part that each plays."""

    stable: Side | None
    superseded: tuple[Side, ...]
    target: Side | None
    """Of the rollout that is under way, or that failed and was left as it is."""
    retiring: tuple[Side, ...]
    """Out of the traffic, owned by the core; also sides that no record knows a part for."""

    @property
    def old(self) -> tuple[Side, ...]:
        """Stable first, then superseded ones that still exist."""
        return (*((self.stable,) if self.stable else ()), *self.superseded)

    @property
    def all(self) -> tuple[Side, ...]:
        """Every side once."""
        return (*self.old, *((self.target,) if self.target else ()), *self.retiring)


def sides_of(draft: Draft) -> Sides:
    """The sides as the draft has them now; counted again only when something has changed."""
    deployment = draft.deployment
    about = (draft.changes, deployment.stable, deployment.superseded, _target_of(deployment))
    if draft.counted is None or draft.counted[0] != about:
        draft.counted = (about, _counted(draft))
    return cast("Sides", draft.counted[1])


def _counted(draft: Draft) -> Sides:
    deployment = draft.deployment
    grouped: dict[RevisionId, list[Replica]] = {}
    for replica in draft.replicas.values():
        if replica.exists:
            grouped.setdefault(replica.revision, []).append(replica)

    def side(revision: RevisionId) -> Side:
        return _side(revision, grouped.get(revision, ()), draft.snapshot.stale)

    target = _target_of(deployment)
    superseded = tuple(r for r in deployment.superseded if r in grouped and r not in (target, deployment.stable))
    known = {deployment.stable, target, *superseded}
    return Sides(
        stable=side(deployment.stable) if deployment.stable else None,
        superseded=tuple(map(side, superseded)),
        target=side(target) if target else None,
        retiring=tuple(side(revision) for revision in grouped if revision not in known),
    )


def _target_of(deployment: Deployment) -> RevisionId | None:
    rollout = open_rollout(deployment)
    return rollout.target if rollout and rollout.target != deployment.stable else None


def open_rollout(deployment: Deployment) -> Rollout | None:
    """The rollout whose target is a side beside the stable one: it is under way, or did not come to its end."""
    rollout = deployment.rollout
    return None if rollout is None or rollout.state is RolloutState.DONE else rollout


def live_count(sides: Iterable[Side]) -> int:
    """Replicas of these sides that serve or are on their way to it."""
    return sum(len(side.live) for side in sides)


def ready_count(sides: Iterable[Side]) -> int:
    """Replicas of these sides that can serve now."""
    return sum(len(side.ready) for side in sides)


def leaving_count(sides: Iterable[Side]) -> int:
    """Replicas of these sides that are draining."""
    return sum(side.leaving for side in sides)
