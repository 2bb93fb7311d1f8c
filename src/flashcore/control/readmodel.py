"""What people and programs see of a deployment: typed, taken from one moment, without asking the store."""

from __future__ import annotations

from dataclasses import dataclass

from flashcore.model.deployment import Deployment, DeploymentStatus, Rollout
from flashcore.model.names import EndpointName, RevisionId
from flashcore.model.replica import Replica
from flashcore.model.revision import Revision
from flashcore.model.table import EndpointRoute


@dataclass(frozen=True, slots=True)
class SideStatus:
    """The replicas of one revision."""

    revision: RevisionId
    number: int
    """The revision's number within the endpoint."""
    role: str
    """`stable`, `target`, `superseded` or `retiring`."""
    exists: int
    live: int
    ready: int
    share: int | None
    """Percent of the traffic; None where capacity decides, 0 for none."""
    replicas: tuple[Replica, ...]


@dataclass(frozen=True, slots=True)
class DeploymentView:
    """One deployment as it is now."""

    endpoint: EndpointName
    resource: str
    status: DeploymentStatus
    status_since: float
    reason: str
    goal: int
    goal_by: str
    ready: int
    """Replicas of all sides that can serve."""
    stable: RevisionId | None
    rollout: Rollout | None
    sides: tuple[SideStatus, ...]
    revisions: tuple[Revision, ...]
    """All that are kept, newest first."""
    route: EndpointRoute | None
    """How gateways were told to answer calls."""
    next_wake: float | None
    """When the controller looks again though nothing happens; by the store's clock."""
    deployment: Deployment
    """The record itself."""

    @property
    def settled(self) -> bool:
        """Whether nothing is under way: no rollout, no taking down."""
        under_way = self.rollout is not None and not self.rollout.state.finished
        return not under_way and self.status is not DeploymentStatus.DESTROYING
