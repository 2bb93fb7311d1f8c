"""What is wrong with one deployment is its own business."""

import asyncio
import itertools
import logging

import pytest

from flashcore.control import reconcile
from flashcore.control.draft import Draft
from flashcore.control.snapshot import Pass
from flashcore.model.deployment import DeploymentStatus
from flashcore.testing.scenes import watched
from flashcore.testing.simulated_provider import NEVER, Life
from flashcore.testing.simulation import World, simulate


def test_e12_a_deployment_that_fails_moves_no_other_ones_counters() -> None:
    """E12: A's replicas crash for ever, B is idle: nothing of B is ever written."""

    async def scenario(world: World) -> None:
        await world.deploy("idle", 1, replicas=2)
        await world.ready("idle")
        await asyncio.sleep(5)
        at_rest = world.view("idle").deployment
        world.provider.script = lambda _replica, _revision: Life(ends_after=2)
        await world.deploy("failing", 1, replicas=2)
        await asyncio.sleep(3600)
        assert world.view("idle").deployment == at_rest
        assert world.view("idle").ready == 2
        assert world.view("failing").status in (DeploymentStatus.FAILED, DeploymentStatus.DEGRADED)

    watched(scenario)


def test_e64_a_poisonous_deployment_fails_alone(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """E64: its passes raise; the others go on, it is said, and it is tried again."""
    healthy = reconcile.conclude

    def conclude(draft: Draft, advice: object) -> Pass:
        if draft.deployment.endpoint == "poison" and draft.now % 100 > 50:
            raise ZeroDivisionError("a bug of ours")
        return healthy(draft, advice)  # type: ignore[arg-type]  # passed on as it came

    async def scenario(world: World) -> None:
        await world.deploy("good", 1, replicas=2)
        await world.deploy("poison", 1, replicas=2)
        await world.ready("poison")
        await asyncio.sleep(60 - world.clock.now() % 100)
        with pytest.raises(ZeroDivisionError):
            await world.controller.scale("poison", 3)
        await world.controller.scale("good", 3)
        await world.until("good", lambda view: view.ready == 3, 10)
        await asyncio.sleep(60)
        await world.controller.scale("poison", 4)
        await world.until("poison", lambda view: view.ready == 4, 30)

    monkeypatch.setattr(reconcile, "conclude", conclude)
    with caplog.at_level(logging.ERROR):
        simulate(scenario)

    assert "a pass over poison failed" in caplog.text


def test_a_provider_that_raises_is_named_and_tried_again() -> None:
    """Whatever it raises; the other endpoints are unaffected."""

    async def scenario(world: World) -> None:
        apply = world.provider.apply
        refused: list[float] = []

        async def picky(revision: object, want: object, hints: object) -> None:
            if revision.content.endpoint == "bad" and len(refused) < 5:  # type: ignore[attr-defined]  # a Revision
                refused.append(world.clock.now())
                raise ValueError("no such machine type")
            await apply(revision, want, hints)  # type: ignore[arg-type]  # passed on as it came

        world.provider.apply = picky  # type: ignore[method-assign]  # a provider with a fault
        await world.deploy("bad", 1)
        await world.deploy("good", 1)
        view = await world.until("bad", lambda view: view.status is DeploymentStatus.DEGRADED, 30)
        assert "no such machine type" in view.reason
        await world.ready("good", 10)
        await world.ready("bad", 120)
        gaps = [later - sooner for sooner, later in itertools.pairwise(refused)]
        assert gaps == sorted(gaps)

    simulate(scenario)


def test_a_hundred_deployments_at_once_all_come_up() -> None:
    """None waits for another."""

    async def scenario(world: World) -> None:
        world.provider.script = lambda replica, _revision: (
            Life(ready_after=NEVER) if replica.startswith("stuck") else Life()
        )
        names = [f"endpoint-{number}" for number in range(100)]
        await world.deploy("stuck", 1)
        await asyncio.gather(*(world.deploy(name, 1, replicas=2) for name in names))
        await asyncio.sleep(2)
        assert all(world.view(name).ready == 2 for name in names)
        assert len({route.name for route in world.dataplane.table.endpoints}) == 101
        # Everything of one moment is one table.
        assert len(world.dataplane.tables) < 20

    simulate(scenario)
