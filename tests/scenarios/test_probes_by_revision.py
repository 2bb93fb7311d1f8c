"""Each replica is watched as its own revision was declared, whatever is declared at present."""

from __future__ import annotations

import asyncio

from flashcore.hookspecs.probes import Answer, Finding, ProbeTarget
from flashcore.model.declaration import ProbePolicy
from flashcore.model.parts import PartRef
from flashcore.testing.scenes import first, live, update, watched
from flashcore.testing.simulated_provider import NEVER, Life
from flashcore.testing.simulation import World

EAGER = ProbePolicy(interval=1.0)


class Paths:
    """Probes that ask for a path: which replica was asked for which."""

    def __init__(self, world: World) -> None:
        self.asked: set[tuple[str, str]] = set()
        self._world = world
        world.parts.probes.made["path"] = self.of

    def of(self, path: str) -> Paths.One:
        """A probe that asks for the path."""
        return Paths.One(self, path)

    class One:
        """Asks for one path; only replicas that know it are well."""

        def __init__(self, paths: Paths, path: str) -> None:
            self._paths = paths
            self._path = path

        async def probe(self, target: ProbeTarget, timeout: float) -> Finding:
            """The revision of the replica must be the one that has the path."""
            revision = target.replica.split("-")[1]
            self._paths.asked.add((revision, self._path))
            return Finding(Answer.OK)


def test_each_replica_is_asked_as_its_own_revision_declares() -> None:
    """E63: the second revision has another health path; neither is ever asked for the other's."""

    async def scenario(world: World) -> None:
        paths = Paths(world)
        old = await first(world, 3, probe=PartRef("path", ("/old",)), health=EAGER)
        await asyncio.sleep(5)
        world.provider.script = lambda _replica, _revision: Life(ready_after=20)
        new = await update(world, 2, 3, probe=PartRef("path", ("/new",)), health=EAGER)
        await asyncio.sleep(10)
        assert paths.asked == {(old[:6], "/old")}
        await world.ready("hello")
        await asyncio.sleep(10)
        assert paths.asked == {(old[:6], "/old"), (new[:6], "/new")}

    watched(scenario)


def test_going_back_goes_back_to_the_probes_of_the_revision() -> None:
    """E63: an old revision that comes back is asked, and given time, as it was declared with it."""

    async def scenario(world: World) -> None:
        paths = Paths(world)
        old = await first(world, 2, probe=PartRef("path", ("/old",)), health=EAGER, initial_delay=100.0)
        await update(world, 2, 2, probe=PartRef("path", ("/new",)), health=EAGER, initial_delay=5.0)
        await world.ready("hello")
        await asyncio.sleep(10)
        paths.asked.clear()
        world.provider.script = lambda _replica, _revision: Life(ready_after=50)
        await world.controller.undo("hello")
        view = await world.ready("hello")
        await asyncio.sleep(5)
        assert view.stable == old
        assert (old[:6], "/old") in paths.asked
        assert (old[:6], "/new") not in paths.asked
        assert live(world) == {1: 2}

    watched(scenario)


def test_an_old_revision_keeps_the_time_that_it_was_given() -> None:
    """E63, E45: the new version loads in a moment and says so; the old one, taken back to, still takes its time."""

    async def scenario(world: World) -> None:
        old = await first(world, 1, initial_delay=300.0, progress_deadline=600.0)
        world.provider.script = lambda _replica, _revision: Life(ready_after=NEVER)
        await update(world, 2, 1, initial_delay=5.0, progress_deadline=600.0)
        await asyncio.sleep(1)
        world.provider.script = lambda _replica, _revision: Life(ready_after=200)
        world.provider.kill(next(one for one in sorted(world.provider.states()) if old[:6] in one))
        await world.controller.abort("hello")
        view = await world.settled("hello", 400)
        assert (view.stable, view.ready) == (old, 1)
        assert live(world) == {1: 1}

    watched(scenario)


def test_what_is_declared_anew_for_the_same_revision_holds_for_it() -> None:
    """M62: another path without another version: the replicas that run are asked for it."""

    async def scenario(world: World) -> None:
        paths = Paths(world)
        old = await first(world, 2, probe=PartRef("path", ("/old",)), health=EAGER)
        await asyncio.sleep(5)
        await world.deploy("hello", 1, replicas=2, probe=PartRef("path", ("/new",)), health=EAGER)
        paths.asked.clear()
        await asyncio.sleep(5)
        assert paths.asked == {(old[:6], "/new")}

    watched(scenario)
