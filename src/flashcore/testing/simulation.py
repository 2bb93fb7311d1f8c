"""The real controller on a store, a provider and gateways in memory, in virtual time.

def test_update():
    async def scenario(world: World) -> None:
        await world.deploy("hello", version=1, replicas=3)
        await world.ready("hello")
        await world.deploy("hello", version=2, replicas=3)
        await world.ready("hello")
    simulate(scenario)
"""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Awaitable, Callable
from itertools import count
from pathlib import Path
from random import Random
from typing import Any

from flashcore.builtin.memory_state import MemoryState
from flashcore.canonical import digest
from flashcore.control.controller import Controller
from flashcore.control.isolation import Direct, Isolation
from flashcore.control.kinds import KINDS
from flashcore.control.parts import Parts
from flashcore.control.readmodel import DeploymentView
from flashcore.control.store import Leadership, Ledger
from flashcore.hookspecs.probes import Answer, Finding, Probe, ProbeTarget
from flashcore.hookspecs.state import StateBackend
from flashcore.model.declaration import Bounds, Policy, ProbePolicy, Template
from flashcore.model.deployment import Deployment, DeploymentStatus
from flashcore.model.events import Event
from flashcore.model.manifest import EndpointEntry, Manifest
from flashcore.model.names import Digest, EndpointName, ReplicaId, RevisionId, Scope
from flashcore.model.parts import PartRef
from flashcore.testing.dataplane import TwinDataPlane, TwinGateway
from flashcore.testing.parts import PartTables
from flashcore.testing.simulated_provider import SimulatedProvider
from flashcore.testing.virtual_time import VirtualTime, run_virtual

SCOPE = Scope("simulated", "test")
LONG = 3_600.0
"""Seconds of virtual time that waiting may take."""


class EveryArtifact:
    """An artifact store that has them all."""

    async def put(self, digest: Digest, source: Path) -> None:
        """See ArtifactStore."""

    async def get(self, digest: Digest, target: Path) -> None:
        """See ArtifactStore."""

    async def has(self, digest: Digest) -> bool:  # noqa: ARG002  # it has them all
        """See ArtifactStore."""
        return True

    async def url(self, digest: Digest) -> str | None:  # noqa: ARG002  # none has an address
        """See ArtifactStore."""
        return None

    async def digests(self) -> frozenset[Digest]:
        """See ArtifactStore."""
        return frozenset()

    async def delete(self, digest: Digest) -> None:
        """See ArtifactStore."""


@dataclasses.dataclass(slots=True)
class ScriptedProbe:
    """A probe whose answers a test sets; it says ok of every replica it was told nothing about."""

    answers: dict[ReplicaId, Finding] = dataclasses.field(default_factory=dict)
    asked: list[ReplicaId] = dataclasses.field(default_factory=list)
    doubts: dict[ReplicaId, int] = dataclasses.field(default_factory=dict)
    """How often it has to say ok of a replica until what it said before is forgotten."""

    def suspects(self, replica: ReplicaId) -> bool:
        """Whether it says anything but ok of a replica, or has just done so: that may be acted upon a little later."""
        return replica in self.answers or replica in self.doubts

    def fail(self, replica: ReplicaId, detail: str = "status 500") -> None:
        """Let every probe of a replica fail from now on."""
        self.answers[replica] = Finding(Answer.FAILING, detail)

    async def probe(self, target: ProbeTarget, timeout: float) -> Finding:  # noqa: ARG002  # it answers at once
        """See Probe."""
        self.asked.append(target.replica)
        finding = self.answers.get(target.replica, Finding(Answer.OK))
        if finding.answer is not Answer.OK:
            self.doubts[target.replica] = ProbePolicy().success_threshold
        elif self.doubts.get(target.replica, 0) > 1:
            self.doubts[target.replica] -= 1
        else:
            self.doubts.pop(target.replica, None)
        return finding


class World:
    """One environment with its controller. Everything that it is made of may be reached and changed."""

    def __init__(
        self,
        seed: int = 0,
        store: Callable[[StateBackend], StateBackend] | None = None,
        parts: Parts | None = None,
    ) -> None:
        self.clock = VirtualTime()
        self._began = asyncio.get_running_loop().time()
        self.parts = PartTables(parts)
        self.probe = ScriptedProbe()
        self.parts.probes.made["scripted"] = self._the_probe
        self.provider = SimulatedProvider(self.clock)
        self.dataplane = TwinDataPlane([TwinGateway("gateway-1")])
        memory = MemoryState(self.clock)
        self.backend: StateBackend = store(memory) if store else memory
        self.isolation: Isolation = Direct()
        self.events: list[Event] = []
        self.told: Callable[[Event], None] = _nobody_cares
        """Told of each event after its commit."""
        self.ledger: Ledger
        self.leadership: Leadership
        self.controller: Controller
        self._random = Random(seed)  # noqa: S311  # a simulation is to be repeatable
        self._numbers = count(1)

    def elapsed(self) -> float:
        """Seconds since the world began, by a clock that never jumps."""
        return asyncio.get_running_loop().time() - self._began

    async def start(self) -> None:
        """Begin a leadership, and the controller with it."""
        self.ledger = Ledger(self.backend, SCOPE, KINDS)
        self.leadership = await self.ledger.take_over("simulation", duration=30.0)
        self.controller = Controller(
            ledger=self.ledger,
            leadership=self.leadership,
            parts=self.parts,
            providers={"simulated": self.provider},
            default_provider="simulated",
            dataplane=self.dataplane,
            artifacts=EveryArtifact(),
            clock=self.clock,
            isolation=self.isolation,
            random=self._random,
            name_replica=self._name,
            observers=(self.events.append, self._tell),
        )
        await self.controller.start()

    async def restart(self) -> None:
        """The controller is killed, and another one takes its place. Replicas and gateways notice nothing."""
        await self.controller.close()
        await self.start()

    async def deploy(self, name: str, version: int = 1, **settings: Any) -> Deployment:
        """Deploy a version of an endpoint; `settings` as in `entry`."""
        return await self.deploy_entry(entry(name, version, **settings))

    async def deploy_entry(self, wanted: EndpointEntry) -> Deployment:
        """Deploy one endpoint as an entry of a manifest has it."""
        (deployed,) = await self.controller.deploy(Manifest("simulated", (wanted,), "0", "3.11"))
        return deployed

    def view(self, name: str) -> DeploymentView:
        """A deployment as it is now."""
        return self.controller.view(name)

    async def until(self, name: str, wanted: Callable[[DeploymentView], bool], timeout: float = LONG) -> DeploymentView:
        """The first view that is as wanted."""
        return await self.controller.wait_until(name, wanted, timeout)

    async def ready(self, name: str, timeout: float = LONG) -> DeploymentView:
        """Wait until nothing is under way and all is ready."""
        return await self.until(name, lambda view: view.settled and view.status is DeploymentStatus.READY, timeout)

    async def settled(self, name: str, timeout: float = LONG) -> DeploymentView:
        """Wait until nothing is under way."""
        return await self.until(name, lambda view: view.settled, timeout)

    def kinds(self, prefix: str = "") -> list[str]:
        """The kinds of the events so far that begin with a prefix."""
        return [event.kind for event in self.events if event.kind.startswith(prefix)]

    def _the_probe(self) -> Probe:
        return self.probe

    def _tell(self, event: Event) -> None:
        self.told(event)

    def _name(self, endpoint: EndpointName, revision: RevisionId) -> ReplicaId:
        return ReplicaId(f"{endpoint}-{revision[:6]}-{next(self._numbers):04d}")


def _nobody_cares(_event: Event) -> None:
    """For a world that nobody watches."""


def entry(name: str, version: int = 1, *, replicas: int | tuple[int, int] = 1, **policy: Any) -> EndpointEntry:
    """A manifest's entry; another `version` is another revision, `policy` fields are set as given.

    Probes say what the world's ScriptedProbe says, the number of replicas is fixed, unless `policy` has others.
    """
    bounds = Bounds(*replicas) if isinstance(replicas, tuple) else Bounds(replicas, replicas)
    whole = Policy(replicas=bounds, **{"probe": PartRef("scripted"), "scaler": PartRef("fixed"), **policy})
    return entry_of(name, version, whole)


def entry_of(
    name: str, version: int, policy: Policy, *, resource: str = "queue", max_concurrency: int = 1
) -> EndpointEntry:
    """A manifest's entry for a version under a policy."""
    template = Template(env={"VERSION": str(version)}, max_concurrency=max_concurrency)
    return EndpointEntry(
        name=EndpointName(name),
        resource=resource,
        template=template,
        policy=policy,
        functions=(),
        handler="handler.py",
        artifact=Digest("a" * 64),
        template_digest=digest(template),
        policy_digest=digest(policy),
    )


def simulate(
    scenario: Callable[[World], Awaitable[None]],
    *,
    seed: int = 0,
    store: Callable[[StateBackend], StateBackend] | None = None,
) -> World:
    """Run a scenario in a world of its own. Raises what it raises; returns the world as it was in the end."""

    async def run() -> World:
        world = World(seed, store)
        await world.start()
        try:
            await scenario(world)
        finally:
            await world.controller.close()
            for task in asyncio.all_tasks() - {asyncio.current_task()}:
                task.cancel()
        return world

    return run_virtual(run())
