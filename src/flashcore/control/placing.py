"""Making replicas and choosing those that go."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from flashcore.control.draft import Draft
from flashcore.control.sides import Side, live_count
from flashcore.control.victims import choose
from flashcore.model.deployment import Backoff
from flashcore.model.names import RevisionId
from flashcore.model.replica import Cause


def grow(draft: Draft, side: Side, wanted: int) -> None:
    """Make as many replicas as are missing, unless replacements of that revision wait."""
    missing = wanted - len(side.live)
    if missing <= 0:
        return
    until = draft.deployment.backoff.get(side.revision, Backoff()).until
    if draft.now < until:
        draft.wake(until)
        return
    for _ in range(missing):
        draft.create(side.revision)


def shrink(
    draft: Draft,
    sides: Sequence[Side],
    wanted: int,
    cause: Cause,
    reason: str,
    doomed: Collection[RevisionId] = (),
) -> None:
    """Let go of as many replicas as are too many, over all these sides together."""
    too_many = live_count(sides) - wanted
    if too_many > 0:
        draft.drain(choose(sides, too_many, doomed), cause, reason)
