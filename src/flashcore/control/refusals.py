"""What operations refuse, as types.

Refused
├── BeingDestroyed    the endpoint is being taken down: wait until it is gone
├── NothingToPromote  no rollout waits at a checkpoint
├── NoRollout         no rollout is under way
├── RolloutUnderWay   a rollout is under way, which makes every replica anew
├── NothingToRetry    the last rollout did not fail and was not taken back
├── NothingToRestart  nothing is stable yet
├── Overtaken         a later request was carried out first
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


class RolloutUnderWay(Refused):
    """A rollout of the endpoint is under way."""

    code = "rollout_under_way"


class NothingToRetry(Refused):
    """The endpoint's last rollout came to its end."""

    code = "nothing_to_retry"


class NothingToRestart(Refused):
    """The endpoint has no stable revision whose replicas could be replaced."""

    code = "nothing_to_restart"


class Overtaken(Refused):
    """A request that came later was carried out while this one was being checked."""

    code = "overtaken"


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
