"""Ending everything with the platform, and what is said when it comes back."""

import asyncio

import pytest

from flashcore.control.controller import Controller
from flashcore.control.kinds import KINDS
from flashcore.control.shutdown import end_all
from flashcore.control.store import Ledger
from flashcore.control.sweep import only_named
from flashcore.hookspecs.providers import Hints
from flashcore.model.deployment import DeploymentStatus
from flashcore.model.errors import DeadlineExceeded, Unavailable
from flashcore.model.names import EndpointName, ReplicaId, RevisionId
from flashcore.model.revision import Revision
from flashcore.testing.scenes import first
from flashcore.testing.simulated_provider import Life, SimulatedProvider
from flashcore.testing.simulation import SCOPE, EveryArtifact, World, simulate


def test_what_comes_back_after_a_stop_is_not_called_degraded() -> None:
    """It is on its way, until as many are ready as are wanted; a replica that dies later is a loss again."""

    async def scenario(world: World) -> None:
        await first(world, 2)
        world.provider.script = lambda _replica, _revision: Life(ready_after=5.0)
        await world.controller.stop_replicas()
        assert world.provider.running() == frozenset()
        await world.controller.close()
        before = len(world.events)
        await world.start()
        view = await world.until("hello", lambda view: view.ready == 0)
        await asyncio.sleep(1)
        view = world.view("hello")
        assert (view.status, view.deployment.reason_code) == (DeploymentStatus.DEPLOYING, "coming_back")
        assert view.reason.startswith("coming back after a stop: 0 of 2 replicas ready")
        await world.ready("hello")
        told = [one.data["status"] for one in world.events[before:] if one.kind == "deployment.status"]
        assert told == ["deploying", "ready"]
        await asyncio.sleep(60)
        world.provider.kill(min(world.provider.running()))
        await world.until("hello", lambda view: view.status is DeploymentStatus.DEGRADED)

    simulate(scenario)


def test_e45_the_time_to_get_ready_begins_when_it_runs_again() -> None:
    """E45, E80: not when it first ran, which may be longer ago than any replica may take; the same one comes back."""

    async def scenario(world: World) -> None:
        await first(world, 1, initial_delay=60.0)
        await asyncio.sleep(1000)
        (replica,) = world.provider.started
        await world.controller.stop_replicas()
        await world.controller.close()
        world.provider.script = lambda _replica, _revision: Life(runs_after=10.0, ready_after=20.0)
        await world.start()
        await world.until("hello", lambda view: view.ready == 0)
        view = await world.ready("hello", 60)
        assert [one.id for side in view.sides for one in side.replicas] == [replica]
        assert world.kinds("replica.failed") == []

    simulate(scenario)


def test_a_provider_that_is_away_keeps_no_other_from_ending_its_replicas() -> None:
    """What it raises is raised all the same, once the others are done."""

    async def scenario(world: World) -> None:
        await first(world, 2)
        await world.controller.close()
        ledger, away = Ledger(world.backend, SCOPE, KINDS), SimulatedProvider(world.clock)
        controller = Controller(
            ledger=ledger,
            leadership=await ledger.take_over("another", duration=30.0),
            parts=world.parts,
            providers={"away": away, "simulated": world.provider},
            default_provider="simulated",
            dataplane=world.dataplane,
            artifacts=EveryArtifact(),
            clock=world.clock,
            isolation=world.isolation,
        )
        await controller.start()
        away.reach(away=True)

        with pytest.raises(Unavailable, match="away"):
            await controller.stop_replicas()

        assert world.provider.running() == frozenset()
        await controller.close()

    simulate(scenario)


class Unending(SimulatedProvider):
    """Whose replicas do not end when they are told to."""

    async def apply(self, revision: Revision, want: frozenset[ReplicaId], hints: Hints) -> None:
        """Start what is missing, at most."""
        if want:
            await super().apply(revision, want, hints)


def test_replicas_that_do_not_end_are_named() -> None:
    """In the message and beside it: somebody has to end them."""

    async def scenario(world: World) -> None:
        provider = Unending(world.clock)
        revision = only_named(EndpointName("hello"), RevisionId("1" * 64), 0.0)
        await provider.apply(revision, frozenset({ReplicaId("hello-2"), ReplicaId("hello-1")}), Hints())

        with pytest.raises(DeadlineExceeded, match=r"still running 25 s after .*: hello-1, hello-2") as told:
            await end_all(provider, world.clock, 10.0)

        assert told.value.data["replicas"] == ["hello-1", "hello-2"]

    simulate(scenario)
