"""Who answers calls: the share of each side, and the endpoint's part of the routing table.

I3: shares sum to 100, and none rests on a side without a routable replica while another side has one. So when
everything that should answer is gone, whoever is left answers: the stable side first, then superseded ones, then
retired ones that are still warm, and an unpromoted target last. Only where nothing runs because nobody calls, whoever
does is kept waiting for the stable side, and not sent to a preview.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from flashcore.control.check import carries
from flashcore.control.draft import Draft
from flashcore.control.goals import PERSON
from flashcore.control.sides import Side, Sides, open_rollout, sides_of
from flashcore.hookspecs.resources import Ingress
from flashcore.model.deployment import Deployment, DeploymentStatus
from flashcore.model.names import RevisionId
from flashcore.model.replica import Replica
from flashcore.model.table import EndpointRoute, ReplicaRoute, SideRoute

Shares = Mapping[RevisionId, int | None]
"""Percent by side, None where capacity decides; a side that is not in it gets no calls."""


def shares(deployment: Deployment, sides: Sides) -> Shares:
    """The share of each side that answers calls."""
    meant = {revision: share for revision, share in _meant(deployment, sides).items() if share != 0}
    able = {side.revision for side in sides.all if routable(side)}
    if not meant.keys() & able:
        asleep = _sleeps_behind_preview(deployment)
        candidates = (*sides.old, *sides.retiring, *((sides.target,) if sides.target and not asleep else ()))
        return next(({side.revision: None} for side in candidates if side.revision in able), {} if asleep else meant)
    if meant.keys() <= able or None in meant.values():
        return meant
    return _spread({revision: share or 0 for revision, share in meant.items() if revision in able}, 100)


def routable(side: Side) -> tuple[Replica, ...]:
    """Replicas that may get work."""
    return tuple(replica for replica in side.ready if not replica.cordoned and replica.instance is not None)


def route_of(draft: Draft) -> EndpointRoute | None:
    """How calls of the endpoint are answered from now on; None when it is being taken down."""
    deployment = draft.deployment
    if deployment.status in (DeploymentStatus.DESTROYING, DeploymentStatus.DESTROYED):
        return None
    policy = deployment.policy
    routes = _side_routes(draft)
    return EndpointRoute(
        name=deployment.endpoint,
        ingress=deployment.surface.ingress,
        sides=routes,
        routing=deployment.surface.routing,
        execution_timeout=policy.execution_timeout,
        ttl=policy.ttl,
        result_retention=policy.result_retention,
        max_attempts=policy.max_attempts,
        held=deployment.held or _asleep(deployment, routes),
        public=policy.public,
    )


def _meant(deployment: Deployment, sides: Sides) -> dict[RevisionId, int | None]:
    rollout = open_rollout(deployment)
    if rollout is None or sides.target is None:
        return {sides.stable.revision: None} if sides.stable else {}
    share = rollout.traffic.percent
    if rollout.initial or share is None:
        return {side.revision: None for side in (*sides.old, sides.target)}
    rest = 100 - share
    if sides.stable and (carries(len(sides.stable.ready), rest, rollout.budget) or len(sides.old) == 1):
        return {sides.stable.revision: rest, sides.target.revision: share}
    # The stable side cannot carry the rest alone yet: superseded sides go on helping.
    helping = _spread({side.revision: len(side.ready) for side in sides.old}, rest)
    return {**helping, sides.target.revision: share}


def _spread(weights: Mapping[RevisionId, int], total: int) -> dict[RevisionId, int | None]:
    """Whole numbers in proportion to the weights, which sum to `total`; what rounding leaves goes to the first."""
    whole = sum(weights.values())
    if not weights or not whole:
        return dict.fromkeys(weights, 0)
    spread: dict[RevisionId, int | None] = {revision: weight * total // whole for revision, weight in weights.items()}
    first = max(weights, key=lambda revision: weights[revision])
    spread[first] = total - sum(share or 0 for revision, share in spread.items() if revision != first)
    return spread


def _side_routes(draft: Draft) -> tuple[SideRoute, ...]:
    sides = sides_of(draft)
    answering = shares(draft.deployment, sides)
    answering_first = sorted(sides.all, key=lambda side: side.revision not in answering)
    rollout = draft.deployment.rollout
    previewed = sides.target.revision if sides.target and rollout and rollout.previews else None
    routes = []
    for side in answering_first:
        if side.revision in answering:
            routes.append(_side_route(draft, side, answering[side.revision]))
        elif side.revision == previewed and (routable(side) or _queues(draft.deployment)):
            routes.append(_side_route(draft, side, 0))
    return tuple(routes)


def _sleeps_behind_preview(deployment: Deployment) -> bool:
    """Nothing of the stable side runs because nobody calls: who does is kept waiting for it, not sent to a preview."""
    rollout = deployment.rollout
    return rollout is not None and rollout.proving and rollout.previews


def _queues(deployment: Deployment) -> bool:
    """Whether calls wait where no replica is: jobs for a preview that starts again are not to be given up."""
    return deployment.surface.ingress == Ingress.JOBS.value


def _side_route(draft: Draft, side: Side, weight: int | None) -> SideRoute:
    revision = draft.snapshot.revisions.get(side.revision)
    concurrency = revision.content.template.max_concurrency if revision else 1
    replicas = _replica_routes(routable(side), concurrency)
    return SideRoute(side.revision, weight, replicas, preview=weight == 0)


def _replica_routes(replicas: Sequence[Replica], concurrency: int) -> tuple[ReplicaRoute, ...]:
    return tuple(
        ReplicaRoute(replica.id, replica.instance, replica.address, concurrency)
        for replica in replicas
        if replica.instance is not None
    )


def _asleep(deployment: Deployment, routes: Sequence[SideRoute]) -> bool:
    """Nothing runs because nothing was asked for: a call is kept waiting, and wakes the endpoint."""
    may_sleep = deployment.policy.replicas.minimum == 0 < deployment.policy.replicas.maximum
    return (
        may_sleep and deployment.goal_by != PERSON and not any(route.replicas for route in routes if not route.preview)
    )
