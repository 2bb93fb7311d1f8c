"""Asking the parts that a rollout is decided by: its strategy, and the gates of the checkpoint that it is at.

All of it is one pure function of one question, so that the shell can run it apart, with a deadline, as a whole.
Whatever a part raises or gives is its own problem: the answer names the part and the rule.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TypeVar

from flashcore.control.check import nonsense, nonsense_in_budget
from flashcore.hookspecs.gates import Fail, Gate, GateView, Hold, Pass, Verdict
from flashcore.hookspecs.strategies import BindsGates, Decision, Strategy, View, Wait
from flashcore.model.deployment import Budget
from flashcore.model.names import EndpointName, RevisionId
from flashcore.model.parts import PartRef
from flashcore.model.table import SideSignals

MOST_CHECKPOINTS = 100
"""Checkpoints that may be passed in one pass; a strategy that goes on beyond is going in circles."""

T = TypeVar("T")

Calling = Callable[[str], object]
"""Told which part is about to be asked, for whoever watches the time."""


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked about a rollout."""

    endpoint: EndpointName
    view: View
    budget: Budget | None
    """The pinned one; None asks for one for the view's goal."""
    checkpoint: str | None
    checkpoint_since: float
    promoted: bool
    ungated: bool = False
    """Every checkpoint passes."""
    cold: frozenset[RevisionId] = frozenset()
    """Revisions of which a replica has only just become ready."""
    stable_signals: SideSignals | None = None
    target_signals: SideSignals | None = None
    stable_cold: SideSignals | None = None
    target_cold: SideSignals | None = None


@dataclass(frozen=True, slots=True)
class Problem:
    """A part that could not be asked, or answered what cannot be meant."""

    part: str
    """As in `strategy 'canary'`."""
    rule: str

    def __str__(self) -> str:
        """One sentence that names both."""
        return f"{self.part}: {self.rule}"


@dataclass(frozen=True, slots=True)
class Note:
    """What a gate had to say of a checkpoint that it let the rollout pass."""

    checkpoint: str
    gate: str
    """As in `gate 'analysis'`."""
    text: str


@dataclass(frozen=True, slots=True)
class Advice:
    """The answers."""

    budget: Budget | None = None
    decision: Decision | None = None
    passed: tuple[str, ...] = ()
    """Checkpoints that have passed now."""
    notes: tuple[Note, ...] = ()
    """What gates of these say beside that."""
    checkpoint: str | None = None
    """Where the rollout waits."""
    hold: Hold | None = None
    """What the gates there say."""
    held_by: str = ""
    """Which gate holds or fails it, as in `gate 'manual'`."""
    failed: str | None = None
    """Why a gate says that the target must not be promoted."""
    problem: Problem | None = None


@dataclass(frozen=True, slots=True)
class Advisors:
    """The parts of one policy, by name of checkpoint where they are gates."""

    strategy: Strategy
    strategy_name: str
    gates: Mapping[str, tuple[tuple[str, Gate], ...]] = field(default_factory=dict)


class PartFailed(Exception):
    """What a part did instead of answering."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(str(problem))
        self.problem = problem


def gates_of(strategy: Strategy, bound: Mapping[str, tuple[PartRef, ...]]) -> Mapping[str, tuple[PartRef, ...]]:
    """The gates by checkpoint: those that the endpoint binds, and those that the strategy's options stand for."""
    own = strategy.gates() if isinstance(strategy, BindsGates) else {}
    return {name: (*bound.get(name, ()), *own.get(name, ())) for name in {**bound, **own}}


def unwatched(_part: str) -> None:
    """For a call that nobody watches."""


def consult(question: Question, advisors: Advisors, calling: Calling = unwatched) -> Advice:
    """Ask."""
    try:
        return _consult(question, advisors, calling)
    except PartFailed as failed:
        return Advice(problem=failed.problem)


def _consult(question: Question, advisors: Advisors, calling: Calling) -> Advice:
    view = question.view
    budget = question.budget or _budget(view.goal, advisors, calling)
    passed: list[str] = []
    notes: list[Note] = []
    for _ in range(MOST_CHECKPOINTS):
        decision = _decision(view, advisors, calling)
        checkpoint = decision.outcome.at if isinstance(decision.outcome, Wait) else None
        if checkpoint is None or checkpoint in view.passed:
            return Advice(budget, decision, tuple(passed), tuple(notes))
        gate, verdict, said = _verdict(question, checkpoint, advisors, calling)
        if isinstance(verdict, Fail):
            return Advice(
                budget, decision, tuple(passed), tuple(notes), checkpoint, failed=verdict.reason, held_by=gate
            )
        if isinstance(verdict, Hold):
            return Advice(budget, decision, tuple(passed), tuple(notes), checkpoint, hold=verdict, held_by=gate)
        passed.append(checkpoint)
        notes += said
        view = dataclasses.replace(view, passed=view.passed | {checkpoint})
    rule = f"it named {MOST_CHECKPOINTS} checkpoints one after the other in one pass"
    raise PartFailed(Problem(_title(advisors), rule))


def _budget(goal: int, advisors: Advisors, calling: Calling) -> Budget:
    calling(_title(advisors))
    return _sound(_title(advisors), lambda: advisors.strategy.budget(goal), lambda made: nonsense_in_budget(made, goal))


def _decision(view: View, advisors: Advisors, calling: Calling) -> Decision:
    calling(_title(advisors))
    return _sound(_title(advisors), lambda: advisors.strategy.decide(view), nonsense)


def _title(advisors: Advisors) -> str:
    return f"strategy {advisors.strategy_name!r}"


def _verdict(
    question: Question, checkpoint: str, advisors: Advisors, calling: Calling
) -> tuple[str, Verdict, list[Note]]:
    """What all gates of a checkpoint say together, and who: the first that fails, else the first that holds."""
    if question.ungated:
        return "", Pass(), []
    view = _gate_view(question, checkpoint)
    held: Hold | None = None
    holder = ""
    notes: list[Note] = []
    for name, gate in advisors.gates.get(checkpoint, ()):
        who = f"gate {name!r}"
        verdict = _one_verdict(who, gate, view, calling)
        if isinstance(verdict, Fail):
            return who, verdict, []
        if isinstance(verdict, Hold):
            held, holder = _sooner(held, verdict), holder or who
        elif verdict.note:
            notes.append(Note(checkpoint, who, verdict.note))
    return holder, held or Pass(), notes


def _gate_view(question: Question, checkpoint: str) -> GateView:
    here = question.checkpoint == checkpoint
    return GateView(
        endpoint=question.endpoint,
        checkpoint=checkpoint,
        now=question.view.now,
        since=question.checkpoint_since if here else question.view.now,
        promoted=here and question.promoted,
        stable=question.view.old[0] if question.view.old else None,
        target=question.view.target,
        stable_signals=question.stable_signals,
        target_signals=question.target_signals,
        stable_cold=question.stable_cold,
        target_cold=question.target_cold,
    )


def _one_verdict(who: str, gate: Gate, view: GateView, calling: Calling) -> Verdict:
    calling(who)
    return _sound(who, lambda: gate.verdict(view), _nonsense_in_verdict)


def _sooner(first: Hold | None, second: Hold) -> Hold:
    """The first one's reason, with the earlier time to ask again."""
    if first is None:
        return second
    times = [hold.until for hold in (first, second) if hold.until is not None]
    return Hold(first.reason, min(times, default=None))


def _nonsense_in_verdict(verdict: object) -> str | None:
    if isinstance(verdict, Pass | Hold | Fail):
        return None
    return f"verdict() must give Pass, Hold or Fail, not {type(verdict).__name__}"


def _sound(who: str, ask: Callable[[], T], rule_broken: Callable[[object], str | None]) -> T:
    """What the part answers, if it is sound. Raises PartFailed."""
    try:
        answer = ask()
    except (Exception, SystemExit) as error:  # whatever a plugin raises is its own problem, and named
        raise PartFailed(Problem(who, f"it raised {type(error).__name__}: {error}")) from error
    rule = rule_broken(answer)
    if rule is not None:
        raise PartFailed(Problem(who, rule))
    return answer
