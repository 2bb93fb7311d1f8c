"""Everything that a deployment waits for, by code: what it is, what stands in the way, and until when.

| code | what is waited for |
|---|---|
| gate, strategy, paused | a rollout: its gates, a wait of its strategy, a person |
| traffic, min_ready, max_existing, done_too_early | a rollout: the rule of the core that holds its strategy back |
| restart | replicas that are replaced by new ones, one at a time |
| part_failed, unreachable | a plugin that raised or answered nonsense; a provider or gateway that cannot be asked |
| back_off | the next attempt at a replica, after failures |
| pending, starting, warming_up | a place for a replica, its process, its readiness |
| probe | a replica whose probes fail |
| state | the store, which cannot be written: nothing new is decided until it can |
| drain | a replica that finishes its work |
| cordon, held | a person: a replica out of the traffic, calls kept waiting |
| kept | an old side that is kept warm |
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from flashcore.control.readmodel import DeploymentView
from flashcore.model.deployment import Rollout, RolloutState
from flashcore.model.names import RevisionId
from flashcore.model.replica import Health, Phase, Replica
from flashcore.model.revision import short


@dataclass(frozen=True, slots=True)
class Obstacle:
    """One thing that is waited for."""

    code: str
    reason: str
    """For people; empty where nobody gave one."""
    blocked_by: str
    """The thing: a gate, a strategy, a rule, a replica, a revision, a person."""
    until: float | None = None
    """When it ends, or is looked at again, by the store's clock; None where only an event can end it."""


def obstacles(view: DeploymentView, now: float, state_trouble: str | None = None) -> tuple[Obstacle, ...]:
    """Everything that is waited for now, what concerns all first; `state_trouble` is why the store takes nothing."""
    return (
        *((Obstacle("state", state_trouble, "the store", view.next_wake),) if state_trouble else ()),
        *_of_rollout(view),
        *_of_parts(view),
        *_of_restart(view, now),
        *_of_back_off(view, now),
        *_of_replicas(view),
        *_of_people(view),
        *_of_retired(view, now),
    )


def obstacle_code(replica: Replica) -> str:
    """What a live replica that is not ready waits for."""
    if replica.phase is Phase.RUNNING or replica.health in (Health.UNHEALTHY, Health.FAILED):
        return "probe"
    code: str = replica.phase.value
    return code


def _of_rollout(view: DeploymentView) -> Iterator[Obstacle]:
    rollout = view.rollout
    if rollout is None or rollout.state.finished or not rollout.reason_code:
        return
    if rollout.state is RolloutState.RESTORING:
        yield Obstacle(rollout.reason_code, rollout.reason, "the stable revision")
        return
    yield Obstacle(rollout.reason_code, rollout.reason, rollout.blocked_by, _deadline(view, rollout))


def _deadline(view: DeploymentView, rollout: Rollout) -> float | None:
    """When a rollout looks again by itself: at the end of its wait, or when it is late; never while people decide."""
    if rollout.wake_at is not None or rollout.state in (RolloutState.WAITING, RolloutState.PAUSED):
        return rollout.wake_at
    limit = view.deployment.policy.progress_deadline
    return rollout.progress_at + limit if limit else None


def _of_parts(view: DeploymentView) -> Iterator[Obstacle]:
    if view.deployment.reason_code in ("part_failed", "unreachable"):
        yield Obstacle(view.deployment.reason_code, view.reason, view.reason.partition(":")[0], view.next_wake)


def _of_restart(view: DeploymentView, now: float) -> Iterator[Obstacle]:
    at = view.deployment.restart_at
    if at is not None:
        reason = "replicas are replaced one at a time" if now >= at else "a restart is set for then"
        yield Obstacle("restart", reason, "restart", at if now < at else None)


def _of_back_off(view: DeploymentView, now: float) -> Iterator[Obstacle]:
    is_under_way = view.rollout is not None and not view.rollout.state.finished
    for revision, backoff in view.deployment.backoff.items():
        # What a rollout has given up is started again by nobody but a person.
        if backoff.until > now and (is_under_way or revision == view.stable):
            count = max(backoff.starts, backoff.crashes)
            reason = f"{count} in a row failed, the last: {backoff.reason or 'no reason given'}"
            yield Obstacle("back_off", reason, f"revision {short(RevisionId(revision))}", backoff.until)


def _of_replicas(view: DeploymentView) -> Iterator[Obstacle]:
    policy = view.deployment.policy
    for replica in (one for side in view.sides for one in side.replicas):
        who = f"replica {replica.id}"
        if replica.phase is Phase.DRAINING:
            yield Obstacle("drain", replica.reason, who, replica.phase_since + policy.termination_grace)
        elif replica.live and not replica.ready:
            loading = replica.running_since is not None and replica.phase is not Phase.RUNNING and policy.initial_delay
            until = (replica.running_since or 0.0) + policy.initial_delay if loading else None
            yield Obstacle(obstacle_code(replica), replica.reason, who, until)


def _of_people(view: DeploymentView) -> Iterator[Obstacle]:
    for replica in (one for side in view.sides for one in side.replicas if one.live and one.cordoned):
        yield Obstacle("cordon", "taken out of the traffic by a person", f"replica {replica.id}")
    if view.deployment.held:
        yield Obstacle("held", "new calls are kept waiting by a person", "a person")


def _of_retired(view: DeploymentView, now: float) -> Iterator[Obstacle]:
    for entry in view.deployment.retiring:
        if entry.keep_until > now:
            yield Obstacle(
                "kept", "kept warm, to go back to at once", f"revision {short(entry.revision)}", entry.keep_until
            )
