"""What a strategy decided, held against the invariants: too fast is clamped, nonsense is refused.

I1  ready capacity of what carries traffic never falls, by our doing, below min(what it is, budget.min_ready); of a
    side that carries a share of it, also below that share of the floor, and one replica at least
I2  no more exist than budget.max_existing; under a hard quota draining replicas count too
I3  traffic is not moved to a side that cannot carry it
I4  superseded sides do not grow (the placing of replicas sees to it; here the stable side is the only old one that may)

The clamps are for a strategy that is merely fast; its wish stays what it is and is come nearer to in later passes.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from flashcore.hookspecs.strategies import Decision, Done, Failed, Outcome, Progress, Wait
from flashcore.model.deployment import Budget, Traffic


@dataclass(frozen=True, slots=True)
class Ground:
    """What a decision is held against: counts of replicas, and what is pinned."""

    goal: int
    budget: Budget
    traffic: Traffic
    """As it is now."""
    old_live: int
    old_ready: int
    old_exists: int
    target_live: int
    target_ready: int
    target_exists: int
    retiring_live: int = 0
    retiring_exists: int = 0
    stable: bool = True
    """There is a stable side, which may grow."""
    hard_quota: bool = False

    @property
    def leaving(self) -> int:
        """Replicas of any side that are draining."""
        exist = self.old_exists + self.target_exists + self.retiring_exists
        return exist - self.old_live - self.target_live - self.retiring_live


@dataclass(frozen=True, slots=True)
class Clamp:
    """Where a decision went beyond a rule, and what it was held to."""

    rule: str
    text: str


@dataclass(frozen=True, slots=True)
class Checked:
    """What may be done now of what was decided."""

    old: int
    target: int
    evict: int
    """Kept replicas of retiring sides that make room."""
    traffic: Traffic
    outcome: Outcome
    step: str
    clamps: tuple[Clamp, ...]


def nonsense_in_budget(budget: object, goal: int) -> str | None:
    """The rule that a strategy's budget breaks, None if it is sound."""
    if not isinstance(budget, Budget):
        return f"budget() must give a Budget, not {type(budget).__name__}"
    if not (_is_count(budget.min_ready) and _is_count(budget.max_existing)):
        return "min_ready and max_existing must be whole numbers from 0"
    if budget.min_ready > goal:
        return f"min_ready {budget.min_ready} is more than the goal of {goal}"
    if goal and (budget.max_existing < 1 or budget.min_ready == goal == budget.max_existing):
        return f"min_ready {budget.min_ready} and max_existing {budget.max_existing} leave no room to replace anything"
    return None


def nonsense(decision: object) -> str | None:
    """The rule that makes a decision one that cannot be meant, None if it can."""
    if not isinstance(decision, Decision):
        return f"decide() must give a Decision, not {type(decision).__name__}"
    if not (_is_count(decision.old) and _is_count(decision.target)):
        return f"old and target must be whole numbers from 0, not {decision.old!r} and {decision.target!r}"
    if not isinstance(decision.traffic, Traffic):
        return f"traffic must be a Traffic, not {type(decision.traffic).__name__}"
    if not isinstance(decision.step, str):
        return f"step must be text, not {type(decision.step).__name__}"
    return _nonsense_in_outcome(decision.outcome)


def _nonsense_in_outcome(outcome: object) -> str | None:
    match outcome:
        case Progress() | Failed():
            return None
        case Wait(until=until) if until is not None and not _is_number(until):
            return f"a wait must end at a time, not {until!r}"
        case Wait(at=at) if at is not None and not isinstance(at, str):
            return f"a checkpoint is a name, not {at!r}"
        case Wait():
            return None
        case Done(keep_old=keep) if not _is_number(keep) or keep < 0:
            return f"keep_old must be a number of seconds from 0, not {keep!r}"
        case Done():
            return None
        case _:
            return f"outcome must be Progress, Wait, Done or Failed, not {type(outcome).__name__}"


def check(decision: Decision, ground: Ground) -> Checked:
    """What of a sensible decision may be done now."""
    clamps: list[Clamp] = []
    traffic = _traffic(decision.traffic, ground, clamps)
    target = _kept_target(decision.target, traffic, ground, clamps)
    old = _kept_old(decision.old, target, traffic, ground, clamps)
    old, target, evict = _room(old, target, ground, clamps)
    outcome = decision.outcome
    needed = max(1, ground.budget.min_ready) if ground.goal else 0
    if isinstance(outcome, Done) and ground.target_ready < needed:
        text = f"it was called done with {ground.target_ready} ready replicas of the target, {needed} are needed"
        clamps.append(Clamp("done_too_early", text))
        outcome = Progress()
    return Checked(old, target, evict, traffic, outcome, decision.step, tuple(clamps))


def carries(ready: int, share: int, budget: Budget) -> bool:
    """Whether that many ready replicas can carry `share` percent of the traffic (I1, I3)."""
    return share == 0 or ready >= max(1, share * budget.min_ready // 100)


def largest_share(ready: int, budget: Budget) -> int:
    """The largest percentage that so many ready replicas can carry."""
    if ready == 0:
        return 0
    if ready >= budget.min_ready:
        return 100
    return min(100, ((ready + 1) * 100 - 1) // budget.min_ready)


def share_now(ground: Ground) -> int:
    """The percentage of calls that the target answers at present."""
    if ground.traffic.percent is not None:
        return ground.traffic.percent
    total = ground.old_ready + ground.target_ready
    return 100 * ground.target_ready // total if total else 0


def _traffic(wanted: Traffic, ground: Ground, clamps: list[Clamp]) -> Traffic:
    if wanted.percent is None:
        return wanted
    now = share_now(ground)
    share = wanted.percent
    if share > now:
        share = max(now, min(share, largest_share(ground.target_ready, ground.budget)))
    elif share < now:
        share = min(now, max(share, 100 - largest_share(ground.old_ready, ground.budget)))
    if share != wanted.percent:
        text = f"{wanted.percent} % of the traffic was to go to the target; the sides can carry {share} % there"
        clamps.append(Clamp("traffic", text))
    return Traffic(share)


def _kept_target(wanted: int, traffic: Traffic, ground: Ground, clamps: list[Clamp]) -> int:
    if wanted >= ground.target_live:
        return wanted
    needed = _needed(ground.budget.min_ready, traffic.percent, ground.old_ready)
    return _held("target", wanted, min(ground.target_ready, needed), clamps)


def _kept_old(wanted: int, target: int, traffic: Traffic, ground: Ground, clamps: list[Clamp]) -> int:
    if wanted >= ground.old_live:
        return wanted
    share = None if traffic.percent is None else 100 - traffic.percent
    needed = _needed(ground.budget.min_ready, share, min(ground.target_ready, target))
    return _held("old", wanted, min(ground.old_ready, needed), clamps)


def _needed(floor: int, share: int | None, others: int) -> int:
    """Ready replicas that a side with this share must keep, where the other side has so many."""
    if floor == 0 or (share == 0 and others):
        return 0
    if share is None:
        return floor - others
    if share == 100:
        return floor
    # Also a side without a share, where the other one has nobody who could answer.
    return max(1, share * floor // 100, floor - others)


def _held(side: str, wanted: int, needed: int, clamps: list[Clamp]) -> int:
    if wanted >= needed:
        return wanted
    clamps.append(Clamp("min_ready", f"{wanted} {side} replicas were to stay; {needed} are needed to serve"))
    return needed


def _room(old: int, target: int, ground: Ground, clamps: list[Clamp]) -> tuple[int, int, int]:
    """The counts within what may exist, and how many retiring replicas must go to make room; old ones grow first."""
    if not ground.stable:
        old = min(old, ground.old_live)
    grows = old > ground.old_live or target > ground.target_live
    if ground.budget.exclusive:
        old, target = _apart(old, target, ground)
    hard = ground.hard_quota
    free = ground.budget.max_existing - (ground.leaving if hard else 0)
    beside = ground.target_live if hard else min(target, ground.target_live)
    old, evicted = _grown("old", (old, ground.old_live), free - beside, ground.retiring_live, ground, clamps)
    beside = max(old, ground.old_live) if hard else old
    kept = ground.retiring_live if hard else ground.retiring_live - evicted
    target, more = _grown("target", (target, ground.target_live), free - beside, kept, ground, clamps)
    # Beside a retiring side nothing may start, and it may be kept because nobody else is ready: it would be for ever.
    in_the_way = ground.retiring_live if ground.budget.exclusive and grows else 0
    return old, target, min(ground.retiring_live, max(evicted + more, in_the_way))


def _grown(
    side: str, counts: tuple[int, int], free: int, retiring: int, ground: Ground, clamps: list[Clamp]
) -> tuple[int, int]:
    """How far a side of (wanted, live) replicas may grow beside `retiring` ones, and how many of these go for it.

    Under a hard quota they make room only when they are gone.
    """
    wanted, live = counts
    if wanted <= live:
        return wanted, 0
    evicted = min(retiring, max(0, wanted - (free - retiring)))
    room = max(live, free - retiring + (0 if ground.hard_quota else evicted))
    if wanted > room:
        clamps.append(Clamp("max_existing", f"{wanted} {side} replicas were asked for; there is room for {room}"))
    return min(wanted, room), evicted


def _apart(old: int, target: int, ground: Ground) -> tuple[int, int]:
    if ground.old_exists or ground.retiring_exists:
        target = min(target, ground.target_live)
    if ground.target_exists or ground.retiring_exists:
        old = min(old, ground.old_live)
    return old, target


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
