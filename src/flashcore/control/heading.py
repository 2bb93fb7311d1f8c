"""Which revision a deployment is heading for."""

from __future__ import annotations

from flashcore.model.deployment import Rollout, RolloutState
from flashcore.model.names import RevisionId


def heading(rollout: Rollout | None, stable: RevisionId | None) -> RevisionId | None:
    """The target of a rollout that is under way; the stable revision where none is, or where it is taken back."""
    if rollout is None or rollout.state.finished or rollout.state is RolloutState.RESTORING:
        return stable
    return rollout.target
