"""Providers: keep sets of replicas running somewhere.

The controller says what it wants of each revision; the provider makes it so and reports what is. `apply` is
idempotent and returns when the wish is noted, not when it is fulfilled; `observe` tells how far it got.

How unlike providers satisfy it:

* Processes: `want` are the ids. A missing id is spawned, one too many gets SIGTERM, after `grace` SIGKILL to its group.
  The instance is what the replica's hello said. After a restart of the control plane, records and sockets on disk are
  found again by connecting and hearing the hello.
* Ray: one named, detached, restartable actor per id; the name holds the id, so a second create is a lookup.
  `Pending` is the scheduler's "not enough resources", its reason in Ray's words.
* RunPod: one endpoint per revision; only the number of ids counts (no `individual`). Workers that the API lists are
  given ids from `want` in the order of their own ids, and keep them while they live. `Pending(retry_at)` is THROTTLED
  or a "no instances available" answer; an unknown answer to a delete is not `Gone`: it may still cost money.

What the store does not know but the provider reports is swept by the controller, by leaving it out of `want`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

from flashcore.hookspecs.artifacts import ArtifactStore
from flashcore.hookspecs.markers import hookspec
from flashcore.hookspecs.records import Part
from flashcore.model.layout import Layout
from flashcore.model.names import EndpointName, InstanceId, ReplicaId, RevisionId, Scope
from flashcore.model.revision import Revision
from flashcore.wire.hello import Stage

API = range(1, 2)
CAPABILITIES = frozenset({"individual", "percent_traffic", "exec_probe", "quota", "queue_push", "remote_dev"})
"""`individual`: replicas can be added and removed one by one, by id. `percent_traffic`: calls can be split by percent,
because they come through our gateway or because the provider does it. `exec_probe`: a command can be run beside a
replica. `quota`: there is a hard limit on replicas that terminating ones count against. `queue_push`: the provider has
a queue of its own that jobs are pushed to. `remote_dev`: its replicas reach the gateway of `flashcore dev --remote`, on
the machine of somebody who works on the code."""


@dataclass(frozen=True, slots=True)
class Pending:
    """Wanted, not running yet. The provider tries again at `retry_at` (store's clock), or when something changes."""

    reason: str
    retry_at: float | None = None


@dataclass(frozen=True, slots=True)
class Running:
    """The process runs; `stage` and `detail` are what it said of itself last. `since` is by the store's clock."""

    instance: InstanceId
    stage: Stage
    since: float
    detail: str = ""
    address: str | None = None
    connected: bool = True
    """Whether the provider is in touch with it now."""


@dataclass(frozen=True, slots=True)
class Gone:
    """It ended, and nothing of it is left. Reported until the id is no longer wanted.

    `permanent`: starting the same revision again cannot help (a dependency that is not there).
    """

    reason: str
    permanent: bool = False
    exit_code: int | None = None
    log_tail: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Stopping:
    """No longer wanted, still there."""

    since: float


InstanceState = Pending | Running | Stopping | Gone


@dataclass(frozen=True, slots=True)
class Instance:
    """One replica as its provider sees it."""

    endpoint: EndpointName
    replica: ReplicaId
    revision: RevisionId
    state: InstanceState


@dataclass(frozen=True, slots=True)
class Hints:
    """What a start or a stop needs beside the revision."""

    env: Mapping[str, str] = field(default_factory=dict)
    """Platform variables (gateway URL, endpoint, scope) for new replicas."""
    secrets: Mapping[str, str] = field(default_factory=dict)
    """Values of the declared secrets; never logged, never stored."""
    grace: float = 30.0
    """Seconds that a replica has to finish when it is stopped."""
    evict_first: tuple[ReplicaId, ...] = ()
    """For providers without `individual`: which of theirs the controller would rather lose."""
    standby: bool = False
    """None is wanted now, and a request may want one at any moment: what makes a start quick had better stay."""


class Clock(Protocol):
    """The platform's clock; virtual in simulation."""

    def now(self) -> float:
        """Seconds since 1970 by the store's clock."""
        ...

    async def sleep_until(self, when: float) -> None:
        """Return at that time."""
        ...


@dataclass(frozen=True, slots=True)
class ProviderContext:
    """What a provider may use of the platform."""

    scope: Scope
    layout: Layout
    artifacts: ArtifactStore
    clock: Clock


class Provider(Protocol):
    """Replicas somewhere. Made by the part's factory, which is called as `factory(context, options)`.

    All methods raise errors.Unavailable when the provider cannot be reached: nothing is then known, and nothing is
    concluded from it.
    """

    @property
    def capabilities(self) -> frozenset[str]:
        """Those of CAPABILITIES that hold."""
        ...

    async def start(self) -> None:
        """Find again what an earlier life of this process left running. Called once, first."""
        ...

    async def apply(self, revision: Revision, want: frozenset[ReplicaId], hints: Hints) -> None:
        """From now on want exactly these replicas of the revision; an empty set ends them all."""
        ...

    async def observe(self) -> tuple[Instance, ...]:
        """Everything there is of this scope, wanted or not."""
        ...

    def changes(self) -> AsyncIterator[None]:
        """Yields when observe() would answer something new; may yield too often, never too late by more than a poll."""
        ...

    def logs(self, replica: ReplicaId, *, tail: int, follow: bool) -> AsyncIterator[str]:
        """The last `tail` lines of output, oldest first, and with `follow` what comes. Raises errors.NotFound."""
        ...

    async def execute(self, replica: ReplicaId, command: tuple[str, ...], timeout: float) -> tuple[int, str]:
        """Run a command beside a replica; its exit status and output. Only with `exec_probe`."""
        ...

    async def close(self) -> None:
        """Let go without ending anything: replicas outlive the control plane. Idempotent."""
        ...


@runtime_checkable
class KnowsRoom(Protocol):
    """What a provider may have beside the rest, if it knows how much of it there is."""

    def doubt(self, revision: Revision, count: int) -> str:
        """Why so many replicas of the revision are too many, with numbers; empty when nothing speaks against them.

        Asked when a person wants more, who may insist. Answers within a moment, by what is known here.
        """
        ...


class ProviderFactory(Protocol):
    """What a provider's record refers to."""

    def __call__(self, context: ProviderContext, options: Any) -> Provider:
        """Make a provider; no I/O before `start`."""
        ...


@hookspec
def flashcore_providers() -> Mapping[str, Part]:  # type: ignore[empty-body]  # a hookspec has no body
    """Offer providers by the name that configuration uses."""
