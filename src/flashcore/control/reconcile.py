"""One pass over one deployment: from what is to what is to be, as a value. No I/O, no clock, no randomness of its own.

    begin     take over what was seen, count what failed, settle the goal
    ask       what strategy and gates are to be asked, if they have a say now   -> consult.consult
    conclude  place replicas, move traffic, end what ends; then wants, route, status
    reconcile all three at once, for whoever need not keep the plugins apart

A pass over what it made itself changes nothing: the loop stops there.
"""

from __future__ import annotations

from flashcore.control import failures, goals, initial, keeping, lifecycle, restoring, rollouts, status
from flashcore.control.consult import Advice, Advisors, Question, consult
from flashcore.control.draft import Draft, NameReplica
from flashcore.control.snapshot import Pass, Snapshot
from flashcore.control.traffic import route_of
from flashcore.model.deployment import DeploymentStatus, RolloutState
from flashcore.model.names import ReplicaId, RevisionId, new_replica_id

_ENDING = frozenset({DeploymentStatus.DESTROYING, DeploymentStatus.DESTROYED})


def begin(snapshot: Snapshot, now: float, name_replica: NameReplica = new_replica_id) -> Draft:
    """A draft with everything that was seen taken over."""
    draft = Draft(snapshot, now, name_replica)
    lifecycle.observe(draft)
    keeping.replace_failed(draft)
    failures.record(draft)
    goals.settle(draft)
    return draft


def ask(draft: Draft) -> Question | None:
    """What strategy and gates are to be asked; None while they have no say."""
    return None if draft.deployment.status in _ENDING else rollouts.question_of(draft)


def conclude(draft: Draft, advice: Advice | None) -> Pass:
    """The pass, with what strategy and gates said."""
    if draft.deployment.status in _ENDING:
        keeping.end(draft)
    else:
        _move(draft, advice)
        keeping.expire(draft)
    draft.remove_finished()
    status.settle(draft)
    destroyed = draft.deployment.status is DeploymentStatus.DESTROYED
    needed = frozenset[RevisionId]() if destroyed else _needed(draft)
    _forget(draft, needed)
    return Pass(
        deployment=draft.deployment,
        replicas=draft.replicas,
        made=tuple(draft.made),
        forgotten=frozenset(draft.snapshot.revisions) - needed,
        destroyed=destroyed,
        events=tuple(draft.events),
        wants=_wants(draft),
        route=route_of(draft),
        wake_at=draft.wake_at,
    )


def reconcile(snapshot: Snapshot, now: float, advisors: Advisors, name_replica: NameReplica = new_replica_id) -> Pass:
    """One whole pass, with plugins called directly."""
    draft = begin(snapshot, now, name_replica)
    question = ask(draft)
    return conclude(draft, None if question is None else consult(question, advisors))


def _move(draft: Draft, advice: Advice | None) -> None:
    rollout = draft.deployment.rollout
    if rollout is None or rollout.state.finished:
        keeping.keep(draft)
    elif rollout.state is RolloutState.RESTORING:
        restoring.step(draft, rollout)
    elif rollout.initial:
        initial.step(draft, rollout)
    elif rollout.state is RolloutState.PAUSED:
        rollouts.hold(draft, rollout)
    elif advice is not None:
        rollouts.step(draft, advice)


def _forget(draft: Draft, needed: frozenset[RevisionId]) -> None:
    """What was noted of revisions that nothing needs any more goes with them."""
    backoff, watches = draft.deployment.backoff, draft.deployment.watches
    if needed.issuperset(backoff) and needed.issuperset(watches):
        return
    draft.amend(
        backoff={revision: noted for revision, noted in backoff.items() if revision in needed},
        watches={revision: noted for revision, noted in watches.items() if revision in needed},
    )


def _wants(draft: Draft) -> dict[RevisionId, frozenset[ReplicaId]]:
    wants: dict[RevisionId, set[ReplicaId]] = {revision: set() for revision in draft.snapshot.revisions}
    wants.update({revision.id: set() for revision in draft.made})
    for replica in draft.replicas.values():
        if replica.live or replica.id not in draft.snapshot.released:
            wants.setdefault(replica.revision, set()).add(replica.id)
    return {revision: frozenset(wanted) for revision, wanted in wants.items()}


def _needed(draft: Draft) -> frozenset[RevisionId]:
    """Revisions that run, that are to run, or that somebody may want to go back to."""
    deployment = draft.deployment
    named = {deployment.stable, deployment.rollout.target if deployment.rollout else None}
    history = deployment.history[: deployment.policy.revision_history]
    running = {replica.revision for replica in draft.replicas.values()}
    kept = {entry.revision for entry in deployment.retiring}
    return frozenset(revision for revision in {*named, *history, *running, *kept, *deployment.superseded} if revision)
