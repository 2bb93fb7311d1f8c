"""Short words for scenarios: an endpoint in its first version, on its way to another, and what is there."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from flashcore.model.names import ReplicaId, RevisionId
from flashcore.testing.invariants import Invariants
from flashcore.testing.simulation import World, simulate

Scenario = Callable[[World], Awaitable[None]]


def watched(scenario: Scenario, *, seed: int = 0) -> World:
    """Run a scenario with the invariants checked throughout."""
    attached: list[Invariants] = []

    async def run(world: World) -> None:
        attached.append(Invariants(world))
        await scenario(world)

    world = simulate(run, seed=seed)
    attached[0].require_kept()
    return world


async def first(world: World, replicas: int = 4, **settings: Any) -> RevisionId:
    """Version 1 of `hello`, ready."""
    await world.deploy("hello", 1, replicas=replicas, **settings)
    view = await world.ready("hello")
    if view.stable is None:
        raise AssertionError("a deployment that is ready has a stable revision")
    return view.stable


async def update(world: World, version: int = 2, replicas: int = 4, **settings: Any) -> RevisionId:
    """Another version of `hello`, on its way."""
    deployed = await world.deploy("hello", version, replicas=replicas, **settings)
    if deployed.rollout is None:
        raise AssertionError("an update is a rollout")
    return deployed.rollout.target


def live(world: World, name: str = "hello") -> dict[int, int]:
    """Live replicas by the number of their revision, none left out."""
    return {side.number: side.live for side in world.view(name).sides if side.live}


def started(world: World, revision: RevisionId) -> list[ReplicaId]:
    """Every replica of a revision that was ever made."""
    return [replica for replica in world.provider.started if revision[:6] in replica]
