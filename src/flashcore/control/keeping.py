"""Between rollouts: as many replicas of the stable revision as are wanted, what failed replaced, what retired gone."""

from __future__ import annotations

from flashcore.control import restarting
from flashcore.control.draft import Casualty, Draft
from flashcore.control.placing import grow, shrink
from flashcore.control.sides import Side, sides_of
from flashcore.model.deployment import Deployment
from flashcore.model.replica import Cause, Health


def keep(draft: Draft) -> None:
    """Keep the stable side at the goal. Of a rollout that failed and was left as it is, what is ready helps."""
    sides = sides_of(draft)
    left = len(sides.target.ready) if sides.target is not None else 0
    if sides.stable is None:
        if sides.target is not None:
            shrink(draft, (sides.target,), 0, Cause.TAKEN_BACK, "the deployment has failed")
        return
    wanted = max(0, draft.deployment.goal - left)
    old = restarting.outdated(draft, sides.stable)
    if old and wanted:
        restarting.replace_one(draft, sides.stable, old, wanted)
    else:
        restarting.finish(draft)
        shrink(draft, (sides.stable,), wanted, Cause.SURPLUS, "there are more than are wanted")
        grow(draft, sides.stable, wanted)
    spare = max(0, wanted - len(sides.stable.ready))
    shrink(draft, sides.superseded, spare, Cause.REPLACED, "the stable side has grown")


def replace_failed(draft: Draft) -> None:
    """Let go of replicas whose probes failed for so long that they are given up; they are replaced as any that is lost.

    Where most of a side is unwell, the fault may as well be the prober's: then one is replaced, and only when it is
    known how the new one does, the next.
    """
    for side in sides_of(draft).all:
        failed = [replica for replica in side.live if replica.health is Health.FAILED]
        unwell = sum(replica.health in (Health.UNHEALTHY, Health.FAILED) for replica in side.live)
        panic = 2 * unwell > len(side.live)
        if panic and any(replica.health is Health.NOT_CHECKED for replica in side.live):
            continue
        for replica in failed[:1] if panic else failed:
            draft.drain((replica,), Cause.PROBES_FAILED, f"its probes failed for too long: {replica.reason}")
            draft.casualties.append(Casualty(draft.replicas[replica.id], draft.now - replica.phase_since))


def expire(draft: Draft) -> None:
    """Let retired sides go when their time is over; not while nobody else could answer."""
    sides = sides_of(draft)
    until = {entry.revision: entry.keep_until for entry in draft.deployment.retiring}
    for side in sides.retiring:
        end = until.get(side.revision, draft.now)
        if draft.now < end:
            draft.wake(end)
        elif not _is_last_resort(side, sides.stable, draft.deployment):
            draft.drain(side.live, Cause.RETIRED, "retired")
    existing = {side.revision for side in sides.retiring}
    retiring = tuple(entry for entry in draft.deployment.retiring if entry.revision in existing)
    if retiring != draft.deployment.retiring:
        draft.amend(retiring=retiring)


def end(draft: Draft) -> None:
    """Let everything go."""
    draft.drain(tuple(draft.replicas.values()), Cause.TAKEN_DOWN, "the endpoint is taken down")


def _is_last_resort(side: Side, stable: Side | None, deployment: Deployment) -> bool:
    """Whether it answers because the stable side cannot."""
    return stable is not None and not stable.ready and bool(side.ready) and deployment.goal > 0
