"""What is told of a manifest that is kept, and of one that is tested beside it."""

from __future__ import annotations

import asyncio

from flashcore.control.manifests.keeping import Kept, Manifests
from flashcore.model.manifest import Manifest
from flashcore.model.names import EndpointName
from flashcore.model.parts import PartRef
from flashcore.testing.simulation import World, entry, simulate


def kept(*versions: tuple[str, int], broken: str = "") -> Kept:
    """A manifest of endpoints in these versions; `broken` has a strategy that there is not."""
    entries = [
        entry(name, version, strategy=PartRef("missing" if name == broken else "rolling")) for name, version in versions
    ]
    return Kept("file", Manifest("simulated", tuple(entries), "0", "3.11"))


def manifests(world: World, *spared: str) -> Manifests:
    """Those of the present control plane."""
    return Manifests(world.controller, world.ledger, world.leadership, frozenset(map(EndpointName, spared)))


def test_what_is_ready_so_far_is_told_and_what_is_not_with_its_reason() -> None:
    """B51, B54: a person reads it in the status."""

    async def scenario(world: World) -> None:
        one = manifests(world)
        one.keep(kept(("a", 1), ("b", 1), broken="b"))
        await one.take_turn()
        assert [(each.endpoint, each.ready) for each in one.progress().endpoints] == [("a", False), ("b", False)]
        await world.ready("a")
        assert [(each.endpoint, each.ready) for each in one.progress().endpoints] == [("a", True), ("b", False)]
        (note,) = one.notes()
        assert note.startswith("b is not as the manifest says")
        assert "missing" in note
        assert "the next attempt in " in note
        one.trouble = "the store is away"
        assert "the manifest cannot be kept: the store is away" in one.notes()

    simulate(scenario)


def test_a_removal_that_is_not_confirmed_may_still_cost_money() -> None:
    """B56: that is said until the provider has answered."""

    async def scenario(world: World) -> None:
        one = manifests(world)
        one.keep(kept(("a", 1)))
        await one.take_turn()
        await world.ready("a")
        world.provider.reach(away=True)
        one.keep(kept())
        await one.take_turn()
        await asyncio.sleep(100)
        await one.take_turn()
        (note,) = one.notes()
        assert note.startswith("a is being taken down: 1 replica still there, which may cost money")
        world.provider.reach(away=False)
        await world.controller.wait_gone("a", 600)
        await one.take_turn()
        assert list(one.notes()) == []

    simulate(scenario)


def test_what_was_changed_by_hand_is_told() -> None:
    """A person's `undo` is left alone, and not forgotten."""

    async def scenario(world: World) -> None:
        one = manifests(world)
        for version in (1, 2):
            one.keep(kept(("a", version)))
            await one.take_turn()
            await world.ready("a")
        await world.controller.undo("a")
        await world.ready("a")
        await one.take_turn()
        (note,) = one.notes()
        assert note.startswith("a was changed by hand")

    simulate(scenario)


def test_a_test_goes_when_it_is_over_and_what_is_kept_stays() -> None:
    """B58: also when nothing is kept any more."""

    async def scenario(world: World) -> None:
        one = manifests(world)
        one.keep(kept(("a", 1)))
        one.test(kept(("a", 2), ("b", 1)))
        await one.take_turn()
        for name in ("a", "test-a", "test-b"):
            await world.ready(name)
        assert one.is_testing
        assert {each.endpoint: each.temporary for each in one.progress().endpoints} == {
            "a": False,
            "test-a": True,
            "test-b": True,
        }
        one.keep(None)
        one.test(None)
        while one.is_testing:
            await one.take_turn()
            await asyncio.sleep(1)
        assert world.controller.endpoints() == ("a",)

    simulate(scenario)
