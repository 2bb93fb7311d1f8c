"""What gateways counted of each side since a rollout came to its checkpoint: what gates that measure go by.

Gateways count since they started. The counts at the first look at a checkpoint are remembered, and taken off later
ones. A new leader begins to count anew: a gate then waits for longer, and never sees what happened elsewhere.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping

from flashcore.control.consult import Question
from flashcore.model.deployment import Deployment
from flashcore.model.names import RevisionId
from flashcore.model.table import EndpointSignals, SideSignals

Counted = Mapping[tuple[str, RevisionId], SideSignals]
"""By gateway and revision."""


class Evidence:
    """One deployment's memory of the counts at the checkpoint that it is at."""

    def __init__(self) -> None:
        self._at: tuple[int, str | None] | None = None
        self._before: Counted = {}

    def add_to(self, question: Question, deployment: Deployment, signals: tuple[EndpointSignals, ...]) -> Question:
        """The question with what was counted since the checkpoint, where the rollout is at one."""
        rollout = deployment.rollout
        if rollout is None or question.checkpoint is None or not signals:
            return question
        counted = {(one.gateway, side.revision): side for one in signals for side in one.sides}
        if self._at != (rollout.generation, question.checkpoint):
            self._at, self._before = (rollout.generation, question.checkpoint), counted
        return dataclasses.replace(
            question,
            stable_signals=None if deployment.stable is None else self._since(counted, deployment.stable),
            target_signals=self._since(counted, rollout.target),
        )

    def _since(self, counted: Counted, revision: RevisionId) -> SideSignals:
        """The sum over gateways. One that counts less than before has started anew: all that it counts is new."""
        return _summed(revision, self._each_since(counted, revision))

    def _each_since(self, counted: Counted, revision: RevisionId) -> Iterator[SideSignals]:
        for key, now in counted.items():
            if key[1] == revision:
                before = self._before.get(key)
                yield now if before is None or before.requests > now.requests else _less(now, before)


def _less(now: SideSignals, before: SideSignals) -> SideSignals:
    return dataclasses.replace(
        now,
        requests=now.requests - before.requests,
        failures=max(0, now.failures - before.failures),
        latency={bound: max(0, count - before.latency.get(bound, 0)) for bound, count in now.latency.items()},
    )


def _summed(revision: RevisionId, sides: Iterator[SideSignals]) -> SideSignals:
    total = SideSignals(revision)
    for side in sides:
        latency = {bound: count + total.latency.get(bound, 0) for bound, count in side.latency.items()}
        total = SideSignals(
            revision,
            in_flight=total.in_flight + side.in_flight,
            requests=total.requests + side.requests,
            failures=total.failures + side.failures,
            latency={**total.latency, **latency},
        )
    return total
