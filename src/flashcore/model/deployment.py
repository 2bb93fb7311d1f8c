"""The controller's record of one endpoint in one environment, and of a rollout within it."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum

from flashcore.model.declaration import Policy, ProbePolicy
from flashcore.model.errors import IllegalMove
from flashcore.model.names import Digest, EndpointName, ReplicaId, RevisionId
from flashcore.model.parts import PartRef


class DeploymentStatus(Enum):
    """What a deployment is doing, in one word."""

    IDLE = "idle"
    """Its goal is no replicas; nothing runs, nothing is wanted."""
    DEPLOYING = "deploying"
    AWAITING_PROMOTION = "awaiting_promotion"
    PAUSED = "paused"
    ROLLING_BACK = "rolling_back"
    READY = "ready"
    DEGRADED = "degraded"
    """It serves with less than it should, or a part of it cannot be asked; the reason is beside it."""
    FAILED = "failed"
    """Nothing serves, and what was wanted could not be had."""
    DESTROYING = "destroying"
    DESTROYED = "destroyed"


_S = DeploymentStatus
_WORKING = frozenset(
    {
        _S.IDLE,
        _S.DEPLOYING,
        _S.AWAITING_PROMOTION,
        _S.PAUSED,
        _S.ROLLING_BACK,
        _S.READY,
        _S.DEGRADED,
        _S.FAILED,
        _S.DESTROYING,
    }
)
STATUS_MOVES: Mapping[DeploymentStatus, frozenset[DeploymentStatus]] = {
    **dict.fromkeys(_WORKING - {_S.DESTROYING}, _WORKING),
    _S.DESTROYING: frozenset({_S.DESTROYED}),
    _S.DESTROYED: frozenset({_S.DEPLOYING}),
}
"""Legal moves. DESTROYED -> DEPLOYING is a new deployment of the same name; DESTROYING never turns back.

Between the working ones every move is possible, because one pass may see much at once: a rollout that begins, fails
and is taken back, for instance.
"""


@dataclass(frozen=True, slots=True)
class Traffic:
    """How calls are split between the old sides and the target."""

    percent: int | None = None
    """Percent to the target; None: by capacity, each ready replica of each serving side alike."""

    def __post_init__(self) -> None:
        """Refuse shares that are none."""
        if self.percent is not None and not 0 <= self.percent <= 100:
            raise ValueError(f"a share of traffic is 0 to 100 percent, not {self.percent}")


def by_capacity() -> Traffic:
    """Each ready replica of each side takes its part."""
    return Traffic()


def percent(share: int) -> Traffic:
    """`share` percent of the calls to the target, the rest to the old sides. Raises ValueError outside 0-100."""
    return Traffic(share)


@dataclass(frozen=True, slots=True)
class Budget:
    """What a rollout may do to capacity at most; pinned when it starts and enforced by the core."""

    min_ready: int
    max_existing: int
    exclusive: bool = False
    """Replicas of two revisions must never run side by side."""


class RolloutState(Enum):
    """Where a rollout is."""

    RUNNING = "running"
    WAITING = "waiting"
    """At a checkpoint, for its gates."""
    PAUSED = "paused"
    RESTORING = "restoring"
    """The core takes it back: the stable side grows again, the target goes."""
    DONE = "done"
    ABORTED = "aborted"
    """Taken back by a person, or by a newer rollout."""
    FAILED = "failed"
    """Taken back, or left as it is, because it failed."""

    @property
    def finished(self) -> bool:
        """Whether nothing more will happen in it."""
        return self in (RolloutState.DONE, RolloutState.ABORTED, RolloutState.FAILED)


@dataclass(frozen=True, slots=True)
class Failure:
    """A replica that failed, in its own words."""

    replica: ReplicaId
    reason: str
    log_tail: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Rollout:
    """The passage of a deployment to a target revision."""

    generation: int
    target: RevisionId
    started_at: float
    budget: Budget
    state: RolloutState = RolloutState.RUNNING
    traffic: Traffic = Traffic()
    step: str = ""
    """The strategy's own word for where it is; it gets it back in the next view."""
    step_since: float = 0.0
    goal: int | None = None
    """The goal that the budget is for, another goal pins another budget; None before the strategy was asked for one."""
    checkpoint: str | None = None
    checkpoint_since: float = 0.0
    """When the rollout came to its checkpoint; gates that wait count from here."""
    promoted: bool = False
    """A person said to go on at the checkpoint at hand."""
    ungated: bool = False
    """No gate is asked any more: a person promoted it fully, or what it goes back to has shown itself lately."""
    passed: tuple[str, ...] = ()
    """Checkpoints that were passed, in order."""
    reason: str = ""
    """Why it waits, failed or was taken back, for people."""
    reason_code: str = ""
    blocked_by: str = ""
    """What it waits for, as in `gate 'manual'` or `strategy 'canary'`."""
    wake_at: float | None = None
    progress_at: float = 0.0
    """When it last came nearer to its end; the progress deadline counts from here."""
    furthest: int | None = None
    """The nearest that it has come to its end, so that going back and forth is no progress."""
    failures: int = 0
    """Replicas of the target that failed since it last came nearer to its end."""
    failure: Failure | None = None
    """The first replica of the target that failed."""
    initial: bool = False
    """There was no old side: strategies and gates are skipped, only readiness counts."""
    proving: bool = False
    """It began with the endpoint at zero: it is to show that one replica works, though nobody has called."""

    @property
    def previews(self) -> bool:
        """Whether its target is called by those alone who ask for it; with a share of the calls it is no preview."""
        return not self.state.finished and self.traffic.percent == 0


@dataclass(frozen=True, slots=True)
class Retiring:
    """A side that left the traffic and is kept until then (0: goes at once). Owned by the core."""

    revision: RevisionId
    keep_until: float


@dataclass(frozen=True, slots=True)
class Backoff:
    """How long replacing replicas of one revision waits, because they keep failing."""

    starts: int = 0
    """Attempts to start, one after the other, that failed; a replica that gets ready ends the count."""
    crashes: int = 0
    """Replicas that ended soon after they had been ready, one after the other."""
    counted_at: float = 0.0
    """When the last one was counted. Replicas made before it fell with it, and count no more."""
    until: float = 0.0
    """No replacement is started before this."""
    reason: str = ""
    """Why the last one failed."""


@dataclass(frozen=True, slots=True)
class Surface:
    """How calls get in and which parts watch over the endpoint, as policy and resource type resolved at deploy.

    Kept with the deployment, so that a plugin that is missing at a restart takes no endpoint out of the traffic.
    """

    ingress: str
    """Value of hookspecs.resources.Ingress."""
    routing: PartRef
    probe: PartRef
    scaler: PartRef


@dataclass(frozen=True, slots=True)
class Watch:
    """How replicas of one revision are asked whether they are well, and how long they may take to be.

    Kept by revision: the next version's health path is not there in this one, nor does it load in the same time.
    """

    probe: PartRef
    health: ProbePolicy
    initial_delay: float


@dataclass(frozen=True, slots=True)
class Deployment:
    """One endpoint in one environment."""

    endpoint: EndpointName
    resource: str
    policy: Policy
    policy_digest: Digest
    surface: Surface
    goal: int
    """Replicas wanted; within the policy's bounds, unless a person set it."""
    goal_by: str = "policy"
    """Who set it last: `policy`, `scaler` or `person`."""
    status: DeploymentStatus = DeploymentStatus.DEPLOYING
    status_since: float = 0.0
    reason: str = ""
    reason_code: str = ""
    """What kind of reason it is, for programs; empty where there is nothing to explain."""
    stable: RevisionId | None = None
    """The revision that had all the traffic last; what an abort goes back to."""
    rollout: Rollout | None = None
    """The newest one, also when it is finished."""
    superseded: tuple[RevisionId, ...] = ()
    """Targets of earlier rollouts that still have replicas and may still serve."""
    retiring: tuple[Retiring, ...] = ()
    generation: int = 0
    held: bool = False
    created_at: float = 0.0
    history: tuple[RevisionId, ...] = ()
    """Revisions that were stable, newest first."""
    restart_at: float | None = None
    """Replicas made before this time are being replaced by others of the same revision; None: no restart."""
    suspended: bool = False
    """Its replicas were ended with the platform, and have not come back since."""
    revisions_made: int = 0
    """The number of the newest revision; grows, also when revisions are forgotten."""
    backoff: Mapping[str, Backoff] = field(default_factory=dict)
    """By revision; one that has not failed has none."""
    watches: Mapping[str, Watch] = field(default_factory=dict)
    """By revision, as declared when it was deployed last."""

    def watch_of(self, revision: RevisionId) -> Watch:
        """How replicas of that revision are watched; one of which nothing was noted, as is declared at present."""
        policy = self.policy
        return self.watches.get(revision) or Watch(self.surface.probe, policy.health, policy.initial_delay)


def move_status(
    deployment: Deployment, to: DeploymentStatus, now: float, reason: str = "", reason_code: str = ""
) -> Deployment:
    """The deployment in status `to`; the same status with another reason is no move. Raises IllegalMove."""
    if to is deployment.status:
        if (reason, reason_code) == (deployment.reason, deployment.reason_code):
            return deployment
        return dataclasses.replace(deployment, reason=reason, reason_code=reason_code)
    if to not in STATUS_MOVES[deployment.status]:
        raise IllegalMove(
            f"{deployment.endpoint} is {deployment.status.value} and cannot become {to.value}",
            endpoint=deployment.endpoint,
        )
    return dataclasses.replace(deployment, status=to, status_since=now, reason=reason, reason_code=reason_code)
