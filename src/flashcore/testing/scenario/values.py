"""A scenario as a value: what runs, how it behaves, what is asked of it, what happens, and what is expected."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from flashcore.model.declaration import Policy
from flashcore.testing.scenario.chance import NEVER, Chance, always

_STARTS, _READY, _STOPS, _NEVER = always(0.1), always(0.5), always(0.05), always(NEVER)
_POLICY = Policy()


@dataclass(frozen=True, slots=True)
class Version:
    """How the replicas of one version of an endpoint behave; times in seconds."""

    runs: Chance = _STARTS
    """From being wanted to the process running."""
    ready: Chance = _READY
    """From running to its word that it is ready."""
    fails: float = 0.0
    """Share of the starts that fail, 0 to 1."""
    crashes: Chance = _NEVER
    """From being ready to the end of the process."""
    unwell: Chance = _NEVER
    """From being ready to failing its probes while it goes on."""
    stops: Chance = _STOPS
    """From being told to stop to the end, when nothing is in flight."""
    latency: float = 0.05
    """The median time of one request."""
    slow: float = 0.0
    """The 99th percentile; 0 for twice the median."""
    errors: float = 0.0
    """Share of the requests that it answers with an error, 0 to 1."""
    reason: str = "exited with status 1"
    """What is said of a start that failed or a crash."""
    permanent: bool = False
    """Whether a failed start says that no other can succeed."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One endpoint of the scenario. Versions that are not described behave as `Version()`."""

    name: str
    policy: Policy = _POLICY
    resource: str = "load_balanced"
    max_concurrency: int = 8
    versions: Mapping[int, Version] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Load:
    """Requests a second over time; linear between the points, and as the last one says after it."""

    endpoint: str
    points: tuple[tuple[float, float], ...]
    preview: float = 0.0
    """Requests a second to a revision that is not promoted yet, while there is one."""

    @property
    def last(self) -> float:
        """When the curve is flat for ever."""
        return self.points[-1][0]


class What(Enum):
    """What can happen: people's operations, then what befalls the platform."""

    DEPLOY = "deploy"
    SCALE = "scale"
    PROMOTE = "promote"
    PAUSE = "pause"
    RESUME = "resume"
    ABORT = "abort"
    RETRY = "retry"
    UNDO = "undo"
    RESTART = "restart"
    UNDEPLOY = "undeploy"
    HOLD_TRAFFIC = "hold_traffic"
    RELEASE_TRAFFIC = "release_traffic"
    KILL_REPLICA = "kill_replica"
    """Its process ends."""
    LOSE_REPLICA = "lose_replica"
    """Its machine is gone without a word."""
    UNWELL_REPLICA = "unwell_replica"
    """Its probes fail, for a while or for good."""
    KILL_CONTROLLER = "kill_controller"
    CLOCK_JUMP = "clock_jump"
    PARTITION = "partition"
    """Something cannot be reached: `prober`, `gateway` or `provider`."""
    PLACES = "places"
    """How many replicas may run at once from now on."""


WORLDLY = frozenset({What.KILL_CONTROLLER, What.CLOCK_JUMP, What.PARTITION, What.PLACES})
"""What befalls all endpoints alike."""


@dataclass(frozen=True, slots=True)
class Action:
    """Something that happens once."""

    do: What
    at: float = 0.0
    """Seconds from the start; actions happen one after the other, never earlier than this."""
    when: str = ""
    """A status of the endpoint to wait for first, as in `awaiting_promotion`, or `settled`."""
    endpoint: str = ""
    version: int = 0
    replicas: int = 0
    """For `scale`."""
    replica: int = 0
    """Which one, in the order in which they were made; modulo how many there are."""
    seconds: float = 0.0
    """For how long; by how much the clock jumps."""
    what: str = ""
    """What a partition cuts off."""
    places: int = 0
    policy: Mapping[str, Any] = field(default_factory=dict)
    """What a deployment changes of the endpoint's policy."""


@dataclass(frozen=True, slots=True)
class Expect:
    """What must be so in the end; what is not said is not asked."""

    endpoint: str
    status: str | None = None
    """The deployment's."""
    outcome: str | None = None
    """The last rollout's state: done, aborted or failed."""
    version: int | None = None
    """The version that all traffic goes to."""
    within: float | None = None
    """Seconds that each rollout may take at most."""
    failed_requests: int | None = None
    """Requests that may fail at most, errors that the app answers with left out."""
    min_ready: int | None = None
    """Replicas that serve at least, from the first time that all were ready."""
    max_existing: int | None = None
    """Replicas that exist at most at any time, draining ones left out."""
    reason: str | None = None
    """A part of what the last rollout or the deployment says about itself."""


@dataclass(frozen=True, slots=True)
class Scenario:
    """A whole run."""

    name: str
    endpoints: tuple[Endpoint, ...]
    actions: tuple[Action, ...]
    loads: tuple[Load, ...] = ()
    expects: tuple[Expect, ...] = ()
    seed: int = 1
    duration: float = 0.0
    """Seconds that it lasts at least."""
    timeout: float = 7200.0
    """Seconds after which what is still under way is said to be stuck."""
    rest: float = 30.0
    """Seconds at the end in which nothing may be written."""
    gateways: int = 1
    places: int | None = None
    """How many replicas may run at once."""
    hard_quota: bool = False
    """Whether those that are stopping count among them."""

    def endpoint(self, name: str) -> Endpoint:
        """The endpoint of that name."""
        return next(endpoint for endpoint in self.endpoints if endpoint.name == name)
