"""What operations refuse, as types.

Refused
├── BeingDestroyed    the endpoint is being taken down: wait until it is gone
├── NothingToPromote  no rollout waits at a checkpoint
├── NoRollout         no rollout is under way
└── NothingToUndo     there is no earlier revision
"""

from __future__ import annotations

from flashcore.model.deployment import Deployment, DeploymentStatus
from flashcore.model.errors import Refused


class BeingDestroyed(Refused):
    """The endpoint is being taken down and accepts nothing until it is gone."""

    code = "being_destroyed"


class NothingToPromote(Refused):
    """No rollout of the endpoint waits for a promotion."""

    code = "nothing_to_promote"


class NoRollout(Refused):
    """No rollout of the endpoint is under way."""

    code = "no_rollout"


class NothingToUndo(Refused):
    """No earlier revision of the endpoint is kept."""

    code = "nothing_to_undo"


def require_staying(deployment: Deployment) -> None:
    """Raise BeingDestroyed for a deployment that is being taken down."""
    if deployment.status in (DeploymentStatus.DESTROYING, DeploymentStatus.DESTROYED):
        raise BeingDestroyed(
            f"{deployment.endpoint} is being taken down",
            next_step="try again when it is gone: flashcore status",
            endpoint=deployment.endpoint,
        )
