"""A replica's two axes, phase and health, as tables of legal moves and pure steps."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum

from flashcore.model.errors import IllegalMove
from flashcore.model.names import EndpointName, InstanceId, ReplicaId, RevisionId


class Phase(Enum):
    """Where a replica is in its life."""

    PENDING = "pending"
    """Wanted; the provider has not started it."""
    STARTING = "starting"
    """The process is being made; nothing was heard from it."""
    WARMING_UP = "warming_up"
    """The process runs and is not ready yet."""
    RUNNING = "running"
    """It was ready once. Whether it is now is its health."""
    DRAINING = "draining"
    """It gets no new work; it goes when it has finished or its grace is over."""
    TERMINATED = "terminated"
    """Its provider confirmed that nothing is left of it."""
    FAILED_TO_START = "failed_to_start"
    """The same, of one that never was ready."""


class Health(Enum):
    """What the probes say."""

    NOT_CHECKED = "not_checked"
    HEALTHY = "healthy"
    UNHEALTHY = "unhealthy"
    FAILED = "failed"


class Cause(Enum):
    """Why a replica went to where it is, as a word for programs. `reason` says the same to people, with the details."""

    NONE = ""
    """It is on its way, or well."""
    REPLACED = "replaced"
    """A rollout has others in its place."""
    TAKEN_BACK = "taken_back"
    """Its rollout failed, or was aborted."""
    RETIRED = "retired"
    """The time for which its side was kept after a rollout is over."""
    SURPLUS = "surplus"
    """There were more than are wanted."""
    RESTARTED = "restarted"
    """A person had all of them replaced."""
    TAKEN_DOWN = "taken_down"
    """Its endpoint was."""
    PROBES_FAILED = "probes_failed"
    NOT_READY_IN_TIME = "not_ready_in_time"
    CANNOT_SERVE = "cannot_serve"
    """It says so itself."""
    ENDED = "ended"
    """Its process did, by itself."""
    STOPPED = "stopped"
    """Its provider, or somebody else, stopped it."""
    LOST = "lost"
    """Its provider knows nothing of it any more."""
    STARTED_AGAIN = "started_again"
    """Its process was, in place."""
    BY_PERSON = "by_person"
    """An operator said so of this one replica."""


PHASE_MOVES: Mapping[Phase, frozenset[Phase]] = {
    Phase.PENDING: frozenset({Phase.STARTING, Phase.WARMING_UP, Phase.DRAINING}),
    Phase.STARTING: frozenset({Phase.WARMING_UP, Phase.RUNNING, Phase.DRAINING}),
    Phase.WARMING_UP: frozenset({Phase.RUNNING, Phase.DRAINING}),
    Phase.RUNNING: frozenset({Phase.WARMING_UP, Phase.DRAINING}),
    Phase.DRAINING: frozenset({Phase.TERMINATED, Phase.FAILED_TO_START}),
    Phase.TERMINATED: frozenset(),
    Phase.FAILED_TO_START: frozenset(),
}
"""RUNNING -> WARMING_UP is a process that was started again in place (a new instance id)."""

HEALTH_MOVES: Mapping[Health, frozenset[Health]] = {
    Health.NOT_CHECKED: frozenset({Health.HEALTHY, Health.FAILED}),
    Health.HEALTHY: frozenset({Health.UNHEALTHY, Health.NOT_CHECKED}),
    Health.UNHEALTHY: frozenset({Health.HEALTHY, Health.FAILED, Health.NOT_CHECKED}),
    Health.FAILED: frozenset({Health.HEALTHY, Health.NOT_CHECKED}),
}
"""-> NOT_CHECKED is a new instance; FAILED -> HEALTHY only where failure is not terminal."""


@dataclass(frozen=True, slots=True)
class Replica:
    """One replica as the control plane keeps it. Times are seconds since 1970 by the store's clock."""

    id: ReplicaId
    endpoint: EndpointName
    revision: RevisionId
    created_at: float
    phase: Phase = Phase.PENDING
    phase_since: float = 0.0
    health: Health = Health.NOT_CHECKED
    health_since: float = 0.0
    cordoned: bool = False
    """An operator took it out of the traffic."""
    instance: InstanceId | None = None
    address: str | None = None
    running_since: float | None = None
    """When the present instance was first seen running; the initial delay counts from here."""
    reason: str = ""
    """Why it drains, failed, or waits; empty while all is well."""
    cause: Cause = Cause.NONE
    """The same in a word."""
    failed: bool = False
    """It drains because it could not start: it will end as FAILED_TO_START."""
    log_tail: tuple[str, ...] = ()
    """Its last lines of output, kept when it failed."""

    @property
    def exists(self) -> bool:
        """Whether it is, or may be, somewhere: it counts against the most that may exist."""
        # Compared one by one: a set would hash the enum's members in Python, and this is asked of every replica.
        return self.phase is not Phase.TERMINATED and self.phase is not Phase.FAILED_TO_START

    @property
    def live(self) -> bool:
        """Whether it is on its way to serve or serving: it exists and is not draining."""
        return self.exists and self.phase is not Phase.DRAINING

    @property
    def ready(self) -> bool:
        """Whether it can serve as far as the record knows; the leader adds freshness."""
        return self.phase is Phase.RUNNING and self.health is Health.HEALTHY


def move_phase(replica: Replica, to: Phase, now: float, reason: str = "", cause: Cause = Cause.NONE) -> Replica:
    """The replica in phase `to`, reached at `now`. Raises IllegalMove."""
    if to not in PHASE_MOVES[replica.phase]:
        raise IllegalMove(
            f"replica {replica.id} is {replica.phase.value} and cannot become {to.value}", replica=replica.id
        )
    return dataclasses.replace(replica, phase=to, phase_since=now, reason=reason, cause=cause)


def move_health(replica: Replica, to: Health, now: float, reason: str = "", cause: Cause = Cause.NONE) -> Replica:
    """The replica with health `to`, reached at `now`. Raises IllegalMove."""
    if to not in HEALTH_MOVES[replica.health]:
        raise IllegalMove(
            f"replica {replica.id} is {replica.health.value} and cannot become {to.value}", replica=replica.id
        )
    return dataclasses.replace(replica, health=to, health_since=now, reason=reason, cause=cause)
