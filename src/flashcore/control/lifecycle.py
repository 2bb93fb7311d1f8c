"""What a provider reports of a replica, and what its probes amount to, becomes its phase and its health.

pending -> starting -> warming_up -> running -> draining -> terminated | failed_to_start
                            ^-----------'  the process was started again in place: another instance

Nothing is finished before its provider says that it is gone; whatever ends by itself goes through draining too.
"""

from __future__ import annotations

import dataclasses

from flashcore.control.draft import Casualty, Draft
from flashcore.control.health import Judgement
from flashcore.hookspecs.providers import Gone, InstanceState, Pending, Running, Stopping
from flashcore.model.deployment import Watch
from flashcore.model.names import InstanceId
from flashcore.model.replica import HEALTH_MOVES, Cause, Health, Phase, Replica, move_health, move_phase
from flashcore.wire.hello import Stage

_NOT_YET_READY = frozenset({Phase.STARTING, Phase.WARMING_UP})


def observe(draft: Draft) -> None:
    """Take over everything that was seen of the deployment's replicas."""
    for before in tuple(draft.replicas.values()):
        state = draft.snapshot.sightings.get(before.id)
        judgement = draft.snapshot.judgements.get(before.id)
        if _is_steady(before, state, judgement):
            continue
        watch = draft.deployment.watch_of(before.revision)
        after = before if state is None else reported(before, state, draft.now)
        if watch.health.disabled:
            after = unprobed(after, state, draft.now)
        else:
            after = judged(after, state, judgement, draft.now)
        after = _overdue(after, watch, judgement, draft)
        if state is None and before.id in draft.snapshot.absent:
            after = _finished(after, draft.now)
        draft.put(after)
        if before.live and not after.live:
            draft.casualties.append(_casualty(before, after, state, draft.now))


def _is_steady(replica: Replica, state: InstanceState | None, judgement: Judgement | None) -> bool:
    """Whether it is well, and everything says so: there is nothing to take over. Of a thousand nearly all are."""
    return (
        replica.phase is Phase.RUNNING
        and replica.health is Health.HEALTHY
        and isinstance(state, Running)
        and state.stage is Stage.READY
        and state.instance == replica.instance
        and state.address == replica.address
        and (judgement is None or judgement.health is Health.HEALTHY)
    )


def reported(replica: Replica, state: InstanceState, now: float) -> Replica:
    """The replica after a provider's report."""
    match state:
        case Gone():
            return _gone(replica, state, now)
        case Stopping():
            return _leaving(replica, now, Cause.STOPPED, "its provider is stopping it") if replica.live else replica
        case _ if not replica.live:
            return replica
        case Pending():
            return _pending(replica, state, now)
        case Running():
            return _running(_introduced(replica, state, now), state, now)


def judged(replica: Replica, state: InstanceState | None, judgement: Judgement | None, now: float) -> Replica:
    """The replica with the health that probes found for this life of it, and running if that makes it so."""
    if judgement is None or not replica.live or judgement.instance != replica.instance:
        return replica
    health = judgement.health
    if health is not Health.NOT_CHECKED and health in HEALTH_MOVES[replica.health]:
        if health is Health.HEALTHY:
            replica = move_health(replica, health, now)
        else:
            replica = move_health(replica, health, now, judgement.detail, Cause.PROBES_FAILED)
    if replica.phase not in _NOT_YET_READY:
        return replica
    if replica.health is Health.FAILED:
        return _leaving(replica, now, Cause.PROBES_FAILED, f"its probes never succeeded: {judgement.detail}")
    loading = isinstance(state, Running) and state.stage is Stage.LOADING
    return move_phase(replica, Phase.RUNNING, now) if replica.health is Health.HEALTHY and not loading else replica


def unprobed(replica: Replica, state: InstanceState | None, now: float) -> Replica:
    """The replica where nobody asks it: well as soon as it says that it is ready, whatever probes found before."""
    if not replica.live or not isinstance(state, Running) or state.stage is not Stage.READY:
        return replica
    if replica.health is not Health.HEALTHY:
        replica = move_health(replica, Health.HEALTHY, now)
    return move_phase(replica, Phase.RUNNING, now) if replica.phase in _NOT_YET_READY else replica


def _gone(replica: Replica, state: Gone, now: float) -> Replica:
    if replica.live:
        replica = _leaving(replica, now, Cause.ENDED, state.reason)
    return _finished(dataclasses.replace(replica, log_tail=state.log_tail or replica.log_tail), now)


def _finished(replica: Replica, now: float) -> Replica:
    if replica.live:
        replica = _leaving(replica, now, Cause.LOST, replica.reason or "it is not there any more")
    if not replica.exists:
        return replica
    end = Phase.FAILED_TO_START if replica.failed else Phase.TERMINATED
    return move_phase(replica, end, now, replica.reason, replica.cause)


def _leaving(replica: Replica, now: float, cause: Cause, reason: str) -> Replica:
    """Draining by no will of ours: a failure, unless it had been ready once."""
    failed = replica.phase is not Phase.RUNNING
    return dataclasses.replace(move_phase(replica, Phase.DRAINING, now, reason, cause), failed=failed)


def _pending(replica: Replica, state: Pending, now: float) -> Replica:
    if replica.phase is Phase.RUNNING:
        # Its process is gone and its provider will start another in its place.
        replica = move_phase(_unready(replica, now), Phase.WARMING_UP, now, cause=Cause.ENDED)
    if replica.reason == state.reason and replica.running_since is None:
        return replica
    # No process runs: the time in which it must get ready has not begun.
    return dataclasses.replace(replica, reason=state.reason, running_since=None)


def _introduced(replica: Replica, state: Running, now: float) -> Replica:
    """The replica with the instance that runs it; another instance than before starts from nothing."""
    if replica.phase is Phase.PENDING:
        replica = move_phase(replica, Phase.STARTING, now)
    if replica.instance == state.instance:
        return replica if replica.address == state.address else dataclasses.replace(replica, address=state.address)
    replica = _unready(replica, now)
    if replica.phase is Phase.RUNNING:
        replica = move_phase(replica, Phase.WARMING_UP, now, "it was started again", Cause.STARTED_AGAIN)
    return dataclasses.replace(
        replica, instance=InstanceId(state.instance), address=state.address, running_since=state.since
    )


def _unready(replica: Replica, now: float) -> Replica:
    return replica if replica.health is Health.NOT_CHECKED else move_health(replica, Health.NOT_CHECKED, now)


def _running(replica: Replica, state: Running, now: float) -> Replica:
    match state.stage:
        case Stage.FAILED:
            return _leaving(replica, now, Cause.CANNOT_SERVE, state.detail or "it says that it cannot serve")
        case Stage.DRAINING:
            return _leaving(replica, now, Cause.STOPPED, state.detail or "it was told to stop, not by the platform")
        case Stage.LOADING if replica.phase is Phase.STARTING:
            return move_phase(replica, Phase.WARMING_UP, now)
        case Stage.READY if replica.health is Health.NOT_CHECKED:
            # The worker's own word is a proof: no probe is waited for on top of it.
            replica = move_health(replica, Health.HEALTHY, now)
            return move_phase(replica, Phase.RUNNING, now) if replica.phase in _NOT_YET_READY else replica
        case _:
            return replica


def _overdue(replica: Replica, watch: Watch, judgement: Judgement | None, draft: Draft) -> Replica:
    """The replica, failed if it has been warming up for longer than it may. The time counts from when it ran."""
    if replica.phase not in _NOT_YET_READY or replica.running_since is None or not watch.initial_delay:
        return replica
    deadline = replica.running_since + watch.initial_delay
    if draft.now < deadline:
        draft.wake(deadline)
        return replica
    heard = judgement.detail if judgement is not None and judgement.instance == replica.instance else ""
    said = f"; its probes found: {heard}" if heard else ""
    reason = f"it was not ready within {watch.initial_delay:g} s of its start{said}"
    return _leaving(replica, draft.now, Cause.NOT_READY_IN_TIME, reason)


def _casualty(before: Replica, after: Replica, state: InstanceState | None, now: float) -> Casualty:
    ran = before.phase is Phase.RUNNING
    permanent = isinstance(state, Gone) and state.permanent
    return Casualty(after, now - before.phase_since if ran else None, permanent=permanent and not ran)
