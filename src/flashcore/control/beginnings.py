"""How a rollout begins: what was under way is superseded, what does not even run makes room."""

from __future__ import annotations

from flashcore.control import goals
from flashcore.control.draft import Draft
from flashcore.control.endings import retire
from flashcore.control.restarting import cancel_restart
from flashcore.control.sides import live_count, open_rollout, ready_count, sides_of
from flashcore.model.deployment import Budget, Rollout, RolloutState, Traffic, percent
from flashcore.model.names import RevisionId
from flashcore.model.replica import Cause, Phase
from flashcore.model.revision import short

_STEPPING = frozenset({RolloutState.RUNNING, RolloutState.WAITING, RolloutState.PAUSED})
_UNSTARTED = frozenset({Phase.PENDING, Phase.STARTING})


def begin_rollout(draft: Draft, target: RevisionId, cause: str, *, ungated: bool = False) -> None:
    """Head for another revision. A rollout that is under way is superseded at once; what serves of it helps on.

    `cause` is the operation that asked for it. With `ungated` no gate is asked on the way; capacity rules hold as ever.
    A restart ends: all will be new anyway.
    """
    before = draft.deployment.rollout
    _supersede(draft, target)
    cancel_restart(draft)
    deployment = draft.deployment
    generation, goal, initial = deployment.generation + 1, goals.to_prove(deployment), deployment.stable is None
    again = before is not None and before.target == target
    try_at_once(draft, target)
    draft.amend(
        generation=generation,
        goal=goal,
        retiring=tuple(entry for entry in deployment.retiring if entry.revision != target),
        superseded=tuple(revision for revision in deployment.superseded if revision != target),
        rollout=Rollout(
            generation=generation,
            target=target,
            started_at=draft.now,
            budget=Budget(0, goal) if initial else _careful_budget(draft, goal),
            traffic=Traffic() if initial else before.traffic if before is not None and again else percent(0),
            step_since=draft.now,
            progress_at=draft.now,
            initial=initial,
            proving=goal > deployment.goal or (before is not None and before.proving and not before.state.finished),
            ungated=ungated,
        ),
    )
    draft.tell("rollout.started", f"to {short(target)}", revision=target, data={"generation": generation, "by": cause})
    _drop_unstarted(draft, target)


def begin_steps_again(draft: Draft) -> None:
    """Another strategy is asked from now on: the steps and checkpoints of the one before it mean nothing to it."""
    rollout = draft.deployment.rollout
    if rollout is None or rollout.initial or rollout.state not in _STEPPING:
        return
    draft.amend_rollout(
        state=RolloutState.PAUSED if rollout.state is RolloutState.PAUSED else RolloutState.RUNNING,
        step="",
        step_since=draft.now,
        goal=None,
        checkpoint=None,
        promoted=False,
        passed=(),
        wake_at=None,
        furthest=None,
        progress_at=draft.now,
    )
    draft.tell("rollout.step", "its strategy was changed: it begins with the first step again", revision=rollout.target)


def try_at_once(draft: Draft, revision: RevisionId) -> None:
    """Whoever asks for a revision again has reason to think that its replicas will start now."""
    waits = draft.deployment.backoff
    if revision in waits:
        draft.amend(backoff={other: backoff for other, backoff in waits.items() if other != revision})


def _drop_unstarted(draft: Draft, target: RevisionId) -> None:
    """Old replicas that do not even run serve nobody, and may never: their places are the target's."""
    unstarted = [one for side in sides_of(draft).old for one in side.live if one.phase in _UNSTARTED]
    superseded = (one for one in unstarted if one.revision != target)
    draft.drain(superseded, Cause.REPLACED, f"its place is needed for {short(target)}")


def _careful_budget(draft: Draft, goal: int) -> Budget:
    """What holds until the strategy has been asked: nothing that is ready may be lost."""
    sides = sides_of(draft).all
    return Budget(min(goal, ready_count(sides)), max(goal, live_count(sides)) + 1)


def _supersede(draft: Draft, target: RevisionId) -> None:
    deployment, rollout = draft.deployment, open_rollout(draft.deployment)
    if rollout is None:
        return
    if not rollout.state.finished:
        draft.tell("rollout.superseded", f"by {short(target)}", revision=rollout.target)
    sides = sides_of(draft)
    side = sides.target
    if side is None or side.revision == target:
        return
    serving = bool(side.ready) and rollout.traffic.percent != 0
    if deployment.stable is None and serving:
        # The first deployment was not complete, but all calls are answered by it: that is what an abort goes back to.
        draft.amend(stable=side.revision)
    elif serving:
        draft.amend(superseded=(*deployment.superseded, side.revision))
    else:
        retire(draft, (side,))
