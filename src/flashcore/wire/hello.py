"""How a replica introduces itself, on every connection that it makes or accepts.

A replica makes its own socket and record before it says "starting". Whoever finds the socket, connects and hears
the hello knows which replica this is, which life of it, and what it runs: adoption never guesses from process ids.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from flashcore.model.names import EndpointName, InstanceId, ReplicaId, RevisionId
from flashcore.wire.versions import PROTOCOL, VersionRange


class Stage(Enum):
    """What a replica says about itself."""

    STARTING = "starting"
    """The process runs; no user code has been imported."""
    LOADING = "loading"
    """User code is being imported, classes are being constructed."""
    READY = "ready"
    """It can take work: this is a proof of health, no probe needs to be waited for."""
    DRAINING = "draining"
    """It takes no new work and finishes what it has."""
    FAILED = "failed"
    """It cannot serve; `detail` holds the traceback. The process ends by itself."""


@dataclass(frozen=True, slots=True)
class Identity:
    """Who a replica is; constant for one life of its process."""

    endpoint: EndpointName
    replica: ReplicaId
    instance: InstanceId
    revision: RevisionId
    pid: int
    started_at: float
    """Seconds since 1970 by the replica's wall clock, for people."""
    boot_id: str
    """The machine's boot id, so that a pid from before a reboot is never mistaken."""
    protocol: VersionRange = PROTOCOL


@dataclass(frozen=True, slots=True)
class Status:
    """What a replica is doing. `address` is where HTTP requests may be sent (`unix:PATH` or `tcp:HOST:PORT`)."""

    stage: Stage
    detail: str = ""
    address: str | None = None


@dataclass(frozen=True, slots=True)
class Hello:
    """Identity and present status; the first message of a replica on any connection."""

    identity: Identity
    status: Status
    slots: int = 1
    """Jobs that it takes at the same time."""
