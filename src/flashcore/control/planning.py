"""What a deploy would do: the strategy itself is run on an ideal world, where all that starts is ready at once.

Pure: nothing is written, nobody is told. The passes are those of the controller, so a plan shows what the invariants
make of what the strategy decides. Gates pass, and are named where they would be asked.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass

from flashcore.control import commands, reconcile
from flashcore.control.consult import Advisors, consult
from flashcore.control.draft import Draft
from flashcore.control.readmodel import DeploymentView
from flashcore.control.snapshot import Pass, Snapshot
from flashcore.model.deployment import Deployment, Rollout, RolloutState
from flashcore.model.events import Event
from flashcore.model.names import EndpointName, InstanceId, ReplicaId, RevisionId
from flashcore.model.replica import Health, Phase, Replica

MOST_PASSES = 2_000
"""A rollout that has not ended after so many passes is said not to end."""


@dataclass(frozen=True, slots=True)
class Step:
    """The replicas of both sides and the traffic, as one pass leaves them."""

    old: int
    target: int
    percent: int | None
    """Percent of the calls to the target; None: by capacity."""
    at: float
    """Seconds after the start, by waits that the strategy gives an end; what starts takes no time here."""
    notes: tuple[str, ...] = ()
    """What is asked or waited for before it."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What a deploy would do to one endpoint."""

    endpoint: EndpointName
    change: str
    """`new`, `rolling out`, `policy changed` or `unchanged`."""
    target: RevisionId
    strategy: str
    steps: tuple[Step, ...] = ()
    peak: int = 0
    """The most replicas that exist at a time."""
    floor: int = 0
    """The fewest that are ready at a time."""
    problem: str = ""
    """Why it would not come to its end even in an ideal world."""


def plan_of(wish: commands.Wish, fresh: Deployment, view: DeploymentView | None, advisors: Advisors) -> Plan:
    """The plan of a wish for an endpoint that is as `view` shows, or that is not there: then `fresh` is its record."""
    rehearsal = _Rehearsal(fresh if view is None else view.deployment, view, advisors)
    before = rehearsal.deployment
    rehearsal.run(wish)
    change = "new" if view is None else _change(before, rehearsal.begun)
    plan = Plan(wish.content.endpoint, change, wish.revision, wish.policy.strategy.name)
    if rehearsal.begun.generation == before.generation:
        return plan
    return dataclasses.replace(
        plan,
        steps=tuple(rehearsal.steps),
        peak=rehearsal.peak,
        floor=rehearsal.floor,
        problem=rehearsal.problem,
    )


def _change(before: Deployment, after: Deployment) -> str:
    if before.generation != after.generation:
        return "rolling out"
    return "unchanged" if before.policy_digest == after.policy_digest else "policy changed"


class _Rehearsal:
    """A deployment in a world where nothing goes wrong and nothing takes time."""

    def __init__(self, deployment: Deployment, view: DeploymentView | None, advisors: Advisors) -> None:
        self.deployment = deployment
        self.begun = deployment
        """The deployment as the wish has left it."""
        self.steps: list[Step] = []
        self.peak = 0
        self.floor = 0
        self.problem = ""
        self._advisors = advisors
        self._now = deployment.status_since
        self._began = self._now
        self._names = 0
        self._revisions = {} if view is None else {revision.id: revision for revision in view.revisions}
        sides = () if view is None else view.sides
        self._replicas = _ideal({replica.id: replica for side in sides for replica in side.replicas})
        self._notes: list[str] = []

    def run(self, wish: commands.Wish) -> None:
        """Deploy, and pass until the rollout has ended or goes no further."""
        self.peak = self.floor = len(self._replicas)
        draft = self._draft()
        commands.deploy(draft, wish)
        self.begun = draft.deployment
        for _ in range(MOST_PASSES):
            made = self._pass(draft)
            if not self._is_under_way(made):
                return
            if not made.events and not self._wait(made):
                rollout = made.deployment.rollout
                self.problem = "it goes no further" + (f": {rollout.reason}" if rollout and rollout.reason else "")
                return
            draft = self._draft()
        self.problem = f"it has not ended after {MOST_PASSES} passes"

    def _draft(self) -> Draft:
        return reconcile.begin(Snapshot(self.deployment, self._revisions, self._replicas), self._now, self._name)

    def _pass(self, draft: Draft) -> Pass:
        question = reconcile.ask(draft)
        advice = None if question is None else consult(dataclasses.replace(question, ungated=True), self._advisors)
        made = reconcile.conclude(draft, advice)
        if advice is not None and advice.problem is not None:
            self.problem = str(advice.problem)
        self._revisions.update({revision.id: revision for revision in made.made})
        self._note(made)
        self.deployment, self._replicas = made.deployment, _ideal(made.replicas)
        return made

    def _note(self, made: Pass) -> None:
        rollout = made.deployment.rollout
        if rollout is None:
            return
        self._notes += _gates(made.events, self._advisors)
        live = [replica for replica in made.replicas.values() if replica.live]
        self.peak = max(self.peak, len(live))
        self.floor = min(self.floor, sum(replica.ready for replica in live))
        step = self._step(rollout, live)
        if not self.steps or _shape(step) != _shape(self.steps[-1]) or step.notes:
            self.steps.append(step)
            self._notes = []

    def _step(self, rollout: Rollout, live: list[Replica]) -> Step:
        target = sum(replica.revision == rollout.target for replica in live)
        share = 100 if rollout.state is RolloutState.DONE else rollout.traffic.percent
        kept = [entry.keep_until - self._now for entry in self.deployment.retiring if entry.keep_until > self._now]
        notes = [*self._notes, *(f"the old side is kept warm for {seconds:g} s" for seconds in kept)]
        return Step(len(live) - target, target, share, self._now - self._began, tuple(notes))

    def _is_under_way(self, made: Pass) -> bool:
        rollout = made.deployment.rollout
        return rollout is not None and not rollout.state.finished and not self.problem

    def _wait(self, made: Pass) -> bool:
        """Let the time of a wait pass that the strategy gave an end; whether there was one."""
        rollout = made.deployment.rollout
        until = rollout.wake_at if rollout is not None else None
        if until is None or until <= self._now:
            return False
        self._notes.append(f"{rollout.reason if rollout else ''} ({until - self._now:g} s)")
        self._now = until
        return True

    def _name(self, endpoint: EndpointName, revision: RevisionId) -> ReplicaId:
        self._names += 1
        return ReplicaId(f"{endpoint}-{revision[:6]}-planned-{self._names}")


def _ideal(replicas: Mapping[ReplicaId, Replica]) -> dict[ReplicaId, Replica]:
    """What lives is ready; what drains is gone."""
    return {
        replica.id: dataclasses.replace(
            replica, phase=Phase.RUNNING, health=Health.HEALTHY, instance=replica.instance or InstanceId(replica.id)
        )
        for replica in replicas.values()
        if replica.live
    }


def _gates(events: tuple[Event, ...], advisors: Advisors) -> list[str]:
    """The gates of the checkpoints that were passed."""
    passed = [event.message for event in events if event.kind == "rollout.passed"]
    named = ((checkpoint, [name for name, _ in advisors.gates.get(checkpoint, ())]) for checkpoint in passed)
    return [f"{checkpoint}: asks {', '.join(gates)}" for checkpoint, gates in named if gates]


def _shape(step: Step) -> tuple[int, int, int | None]:
    return step.old, step.target, step.percent
