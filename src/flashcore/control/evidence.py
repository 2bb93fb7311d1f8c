"""What gateways counted of each side since a rollout came to its checkpoint: what gates that measure go by.

Gateways count since they started. The counts at the first look at a checkpoint are remembered, and taken off later
ones; what came while a replica of the side had only just become ready is told apart, as the counts of a cold one.
A new leader begins to count anew: a gate then waits for longer, and never sees what happened elsewhere.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping

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
        self._last: Counted = {}
        self._was_cold: frozenset[RevisionId] = frozenset()
        self._cold: dict[tuple[str, RevisionId], SideSignals] = {}
        """What came between two looks of which one saw a cold replica of that side."""

    def add_to(self, question: Question, deployment: Deployment, signals: tuple[EndpointSignals, ...]) -> Question:
        """The question with what was counted since the checkpoint, where the rollout is at one."""
        rollout = deployment.rollout
        if rollout is None or question.checkpoint is None or not signals:
            return question
        counted = {(one.gateway, side.revision): side for one in signals for side in one.sides}
        if self._at != (rollout.generation, question.checkpoint):
            self._at, self._before = (rollout.generation, question.checkpoint), counted
            self._last, self._cold = counted, {}
        self._note_cold(counted, question.cold)
        return dataclasses.replace(
            question,
            stable_signals=None if deployment.stable is None else self._since(counted, deployment.stable),
            target_signals=self._since(counted, rollout.target),
            stable_cold=None if deployment.stable is None else self._cold_of(deployment.stable),
            target_cold=self._cold_of(rollout.target),
        )

    def _since(self, counted: Counted, revision: RevisionId) -> SideSignals:
        return _summed(
            revision, (_news(now, self._before.get(key)) for key, now in counted.items() if key[1] == revision)
        )

    def _cold_of(self, revision: RevisionId) -> SideSignals:
        return _summed(revision, (one for key, one in self._cold.items() if key[1] == revision))

    def _note_cold(self, counted: Counted, cold: frozenset[RevisionId]) -> None:
        for key, now in counted.items():
            if key[1] in cold | self._was_cold:
                news = dataclasses.replace(_news(now, self._last.get(key)), in_flight=0)
                self._cold[key] = _summed(key[1], (one for one in (self._cold.get(key), news) if one is not None))
        self._last, self._was_cold = counted, cold


def _news(now: SideSignals, before: SideSignals | None) -> SideSignals:
    """What a gateway counted since. One that counts less than before has started anew: all that it counts is new."""
    return now if before is None or before.requests > now.requests else now.without(before)


def _summed(revision: RevisionId, sides: Iterable[SideSignals]) -> SideSignals:
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
