"""One step of a rollout that is under way: what its strategy decided is done, as far as the invariants allow it."""

from __future__ import annotations

import dataclasses

from flashcore.control import failures
from flashcore.control.check import Checked, Ground, check
from flashcore.control.consult import Advice, Question
from flashcore.control.draft import Draft
from flashcore.control.endings import complete, fail
from flashcore.control.goals import only_proves
from flashcore.control.placing import grow, shrink
from flashcore.control.progress import advance
from flashcore.control.sides import Side, Sides, live_count, ready_count, side_of, sides_of
from flashcore.control.traffic import shares
from flashcore.hookspecs.strategies import Decision, Done, Failed, Progress, View, Wait
from flashcore.model.deployment import Budget, Rollout, RolloutState
from flashcore.model.names import RevisionId
from flashcore.model.replica import Cause
from flashcore.model.revision import short

COLD = 10.0
"""Seconds after a replica got ready within which its answers say little of its revision."""
_ASKED = frozenset({RolloutState.RUNNING, RolloutState.WAITING})


def question_of(draft: Draft) -> Question | None:
    """What the strategy is to be asked now, None while it has no say."""
    rollout = draft.deployment.rollout
    if rollout is None or rollout.initial or rollout.state not in _ASKED:
        return None
    return Question(
        endpoint=draft.deployment.endpoint,
        view=_view(draft, rollout),
        budget=rollout.budget if rollout.goal == draft.deployment.goal else None,
        checkpoint=rollout.checkpoint,
        checkpoint_since=rollout.checkpoint_since,
        promoted=rollout.promoted,
        ungated=rollout.ungated,
        cold=_cold(draft) if rollout.checkpoint is not None else frozenset(),
    )


def _cold(draft: Draft) -> frozenset[RevisionId]:
    """Revisions that have a replica which has only just become ready; looked at again when it is warm."""
    cold = []
    for replica in draft.replicas.values():
        warm_at = replica.phase_since + COLD
        if replica.ready and draft.now < warm_at:
            draft.wake(warm_at)
            cold.append(replica.revision)
    return frozenset(cold)


def _view(draft: Draft, rollout: Rollout) -> View:
    sides = sides_of(draft)
    serving = {revision for revision, share in shares(draft.deployment, sides).items() if share != 0}
    target = target_of(sides, rollout)
    return View(
        goal=draft.deployment.goal,
        now=draft.now,
        old=tuple(side.view(serves=side.revision in serving) for side in sides.old),
        target=target.view(serves=target.revision in serving),
        traffic=rollout.traffic,
        step=rollout.step,
        step_since=rollout.step_since,
        passed=frozenset(rollout.passed),
    )


def target_of(sides: Sides, rollout: Rollout) -> Side:
    """The target's side, which may be empty."""
    return sides.target or side_of(rollout.target, ())


def step(draft: Draft, advice: Advice) -> None:
    """Do what was decided, or say why not."""
    sides, rollout = sides_of(draft), draft.deployment.rollout
    if rollout is None or _has_failed(draft, sides, rollout, advice):
        return
    if advice.problem is not None or advice.decision is None or advice.budget is None:
        _stay_unadvised(draft, rollout, str(advice.problem))
        return
    decision = _heeding_goal(draft, sides, rollout, advice.decision, advice.budget)
    if rollout.goal != draft.deployment.goal:
        rollout = draft.amend_rollout(
            goal=draft.deployment.goal, budget=advice.budget, furthest=None, progress_at=draft.now
        )
    checked = check(decision, ground_of(draft, sides, rollout))
    if isinstance(checked.outcome, Failed):
        fail(draft, sides, "strategy", checked.outcome.reason)
        return
    place(draft, sides, rollout, checked)
    _note(draft, rollout, checked, advice)
    if isinstance(checked.outcome, Done):
        complete(draft, sides_of(draft), rollout, checked.outcome.keep_old)
        return
    if draft.deployment.rollout is not None and not _is_waiting(draft.deployment.rollout):
        advance(draft)


def _stay_unadvised(draft: Draft, rollout: Rollout, problem: str) -> None:
    """Stay as it is while a part cannot be asked. That is no wait: from now on the deadline of progress counts."""
    draft.complaints.append(problem)
    if _is_waiting(rollout):
        rollout = draft.amend_rollout(
            state=RolloutState.RUNNING, reason="", reason_code="", blocked_by="", wake_at=None, progress_at=draft.now
        )
    hold(draft, rollout)
    advance(draft, problem)


def hold(draft: Draft, rollout: Rollout) -> None:
    """Stay as it is, with users served: what died is replaced by the stable side, and the goal is heeded."""
    sides = sides_of(draft)
    rollout = repinned(draft, rollout)
    target = target_of(sides, rollout)
    old, live = live_count(sides.old), live_count(sides.old) + len(target.live)
    if ready_count(sides.old) + len(target.ready) < rollout.budget.min_ready:
        old += max(0, draft.deployment.goal - live)
    old -= max(0, live - rollout.budget.max_existing)
    wanted = Decision(max(0, old), len(target.live), Progress(), rollout.traffic, rollout.step)
    place(draft, sides, rollout, check(wanted, ground_of(draft, sides, rollout)))


def repinned(draft: Draft, rollout: Rollout) -> Rollout:
    """The rollout with its budget for the present goal, the same slack on both sides; no strategy is asked."""
    goal, pinned = draft.deployment.goal, rollout.budget
    if rollout.goal is None or rollout.goal == goal:
        return rollout
    floor = max(0, goal - (rollout.goal - pinned.min_ready)) if pinned.min_ready else 0
    surge = max(0, pinned.max_existing - rollout.goal)
    return draft.amend_rollout(goal=goal, budget=Budget(floor, goal + surge, pinned.exclusive))


def ground_of(draft: Draft, sides: Sides, rollout: Rollout) -> Ground:
    """What a decision about these sides is held against."""
    target = target_of(sides, rollout)
    return Ground(
        goal=draft.deployment.goal,
        budget=rollout.budget,
        traffic=rollout.traffic,
        old_live=live_count(sides.old),
        old_ready=ready_count(sides.old),
        old_exists=sum(len(side.replicas) for side in sides.old),
        target_live=len(target.live),
        target_ready=len(target.ready),
        target_exists=len(target.replicas),
        retiring_live=live_count(sides.retiring),
        retiring_exists=sum(len(side.replicas) for side in sides.retiring),
        stable=sides.stable is not None and not only_proves(draft, rollout),
        hard_quota=draft.snapshot.hard_quota,
    )


def place(draft: Draft, sides: Sides, rollout: Rollout, checked: Checked) -> None:
    """Make the counts so. What is superseded goes first and never grows; only the stable side may, of the old ones."""
    target = target_of(sides, rollout)
    doomed = {side.revision for side in sides.superseded}
    shrink(draft, sides.retiring, live_count(sides.retiring) - checked.evict, Cause.REPLACED, "its place was needed")
    shrink(draft, sides.old, checked.old, Cause.REPLACED, f"replaced by {short(rollout.target)}", doomed)
    shrink(draft, (target,), checked.target, Cause.SURPLUS, "there are more than are wanted")
    missing = checked.old - live_count(sides.old)
    if missing > 0 and sides.stable is not None:
        grow(draft, sides.stable, len(sides.stable.live) + missing)
    grow(draft, target, checked.target)


def _heeding_goal(draft: Draft, sides: Sides, rollout: Rollout, decision: Decision, budget: Budget) -> Decision:
    """A goal that rises in mid-rollout: the side that works grows, until the target has shown that it works too.

    It grows to what must be ready for the new goal, and no further: the strategy would let the rest go again.
    """
    risen = 0 if rollout.goal is None else draft.deployment.goal - rollout.goal
    if risen <= 0 or sides.stable is None or target_of(sides, rollout).ready:
        return decision
    grown = min(live_count(sides.old) + risen, budget.min_ready)
    return dataclasses.replace(decision, old=max(decision.old, grown))


def _has_failed(draft: Draft, sides: Sides, rollout: Rollout, advice: Advice) -> bool:
    if any(lost.permanent and lost.replica.revision == rollout.target for lost in draft.casualties):
        fail(draft, sides, "cannot_start", f"{short(rollout.target)} cannot be started")
    elif rollout.failures >= failures.limit(rollout):
        fail(draft, sides, "start_failed", f"{rollout.failures} replicas of {short(rollout.target)} failed")
    elif advice.failed is not None:
        fail(draft, sides, "gate_failed", f"{advice.checkpoint} was refused: {advice.failed} ({advice.held_by})")
    else:
        return False
    return True


def _note(draft: Draft, rollout: Rollout, checked: Checked, advice: Advice) -> None:
    """Keep what the next pass needs, and tell of what changed."""
    waits = advice.checkpoint is not None and advice.hold is not None
    arrived = waits and rollout.checkpoint != advice.checkpoint
    stepped = checked.step != rollout.step
    reason, code, blocker = _reason(draft, checked, advice)
    until = advice.hold.until if advice.hold else checked.outcome.until if isinstance(checked.outcome, Wait) else None
    if until is not None:
        draft.wake(until)
    resumes = _is_waiting(rollout) and not waits and until is None
    draft.amend_rollout(
        state=RolloutState.WAITING if waits else RolloutState.RUNNING,
        traffic=checked.traffic,
        step=checked.step,
        step_since=draft.now if stepped else rollout.step_since,
        checkpoint=advice.checkpoint if waits else None,
        checkpoint_since=draft.now if arrived else rollout.checkpoint_since,
        promoted=rollout.promoted and waits and not arrived,
        passed=(*rollout.passed, *advice.passed),
        reason=reason,
        reason_code=code,
        blocked_by=blocker,
        wake_at=until,
        progress_at=draft.now if resumes else rollout.progress_at,
    )
    _tell(draft, rollout, arrived=arrived, stepped=stepped, passed=advice.passed)
    for note in advice.notes:
        data = {"checkpoint": note.checkpoint, "by": note.gate}
        draft.tell("rollout.noted", f"{note.checkpoint}: {note.text}", revision=rollout.target, data=data)


def _is_waiting(rollout: Rollout) -> bool:
    """Whether it is at a checkpoint, or in a wait that its strategy gave an end; neither is being late."""
    return rollout.state is RolloutState.WAITING or rollout.wake_at is not None


def _reason(draft: Draft, checked: Checked, advice: Advice) -> tuple[str, str, str]:
    """Why it goes no further: in words, as a code, and what stands in the way."""
    if advice.hold is not None:
        return advice.hold.reason, "gate", advice.held_by
    if isinstance(checked.outcome, Wait):
        return checked.outcome.reason, "strategy", _strategy(draft)
    if checked.clamps:
        return checked.clamps[0].text, checked.clamps[0].rule, f"rule {checked.clamps[0].rule!r}"
    return "", "", ""


def _strategy(draft: Draft) -> str:
    return f"strategy {draft.deployment.policy.strategy.name!r}"


def _tell(draft: Draft, before: Rollout, *, arrived: bool, stepped: bool, passed: tuple[str, ...]) -> None:
    after = draft.deployment.rollout
    if after is None:
        return
    for checkpoint in passed:
        draft.tell("rollout.passed", checkpoint, revision=after.target)
    if stepped:
        draft.tell("rollout.step", after.step, revision=after.target, data={"by": _strategy(draft)})
    if after.traffic != before.traffic:
        share = after.traffic.percent
        text = "by capacity" if share is None else f"{share} % to {short(after.target)}"
        data = {"percent": share, "by": _strategy(draft)}
        draft.tell("rollout.traffic", text, revision=after.target, data=data)
    if arrived:
        data = {"checkpoint": after.checkpoint, "by": after.blocked_by}
        draft.tell("rollout.waiting", after.reason, revision=after.target, data=data)
