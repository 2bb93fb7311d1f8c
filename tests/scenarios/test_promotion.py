"""The moment at which traffic moves, and what must be true around it."""

from __future__ import annotations

import asyncio

import pytest

from flashcore.control.refusals import NothingToPromote
from flashcore.hookspecs.gates import GateView, Hold, Pass, Verdict
from flashcore.model.deployment import DeploymentStatus, RolloutState
from flashcore.model.names import RevisionId
from flashcore.model.parts import PartRef
from flashcore.model.table import RoutingTable
from flashcore.testing.scenes import first, live, update, watched
from flashcore.testing.simulated_provider import NEVER, Life, by_revision
from flashcore.testing.simulation import World

BLUE_GREEN = PartRef("blue_green")
BY_HAND = PartRef("blue_green", options={"auto_promote": False})
ROLLING = PartRef("rolling")


def answering(table: RoutingTable) -> dict[RevisionId, int]:
    """How many replicas of each revision answer ordinary calls by a table."""
    sides = [side for route in table.endpoints for side in route.sides if not side.preview and side.weight != 0]
    return {side.revision: len(side.replicas) for side in sides}


async def waiting(world: World) -> None:
    """Wait until the rollout is at a checkpoint, and gateways know."""
    await world.until("hello", lambda view: view.status is DeploymentStatus.AWAITING_PROMOTION)
    await asyncio.sleep(0.1)


@pytest.mark.parametrize("strategy", [BLUE_GREEN, BY_HAND, ROLLING])
@pytest.mark.parametrize("goal", [1, 3])
def test_somebody_answers_in_every_table(strategy: PartRef, goal: int) -> None:
    """E27: between green on and blue off there is no table without a replica that answers, nor a moment."""
    empty: list[RoutingTable] = []

    async def scenario(world: World) -> None:
        await first(world, goal, strategy=strategy)
        await asyncio.sleep(1)
        told = world.dataplane.told

        def look(table: RoutingTable) -> None:
            if not sum(answering(table).values()) or not world.dataplane.serving("hello"):
                empty.append(table)
            told(table)

        world.dataplane.told = look
        await update(world, 2, goal, strategy=strategy)
        if strategy is BY_HAND:
            await waiting(world)
            await world.controller.promote("hello")
        await world.ready("hello")
        await asyncio.sleep(10)

    watched(scenario)

    assert empty == []


def test_traffic_moves_in_one_table() -> None:
    """E26, E27: the table that has the new side whole has the old one no more; there is none between them."""
    tables: list[RoutingTable] = []

    async def scenario(world: World) -> None:
        old = await first(world, 3, strategy=BY_HAND)
        new = await update(world, 2, 3, strategy=BY_HAND)
        await waiting(world)
        before = len(world.dataplane.tables)
        await world.controller.promote("hello")
        await world.ready("hello")
        await asyncio.sleep(5)
        tables.extend(world.dataplane.tables[before - 1 :])
        assert answering(tables[0]) == {old: 3}
        assert all(answering(table) == {new: 3} for table in tables[1:])
        assert len(tables) > 1

    watched(scenario)


def test_a_promotion_is_one_commit() -> None:
    """E26: a person's word, the stable revision and the traffic change together: nobody sees one without the others."""
    seen: set[tuple[bool, int | None, bool]] = set()

    async def scenario(world: World) -> None:
        await first(world, 2, strategy=BY_HAND)
        new = await update(world, 2, 2, strategy=BY_HAND)
        await waiting(world)

        def look(_event: object) -> None:
            view = world.view("hello")
            assert view.rollout is not None
            done = view.rollout.state is RolloutState.DONE
            seen.add((view.stable == new, view.rollout.traffic.percent, done))

        world.told = look
        await world.controller.promote("hello")
        await world.ready("hello")

    watched(scenario)

    assert seen == {(True, 100, True)}


def test_promoting_after_the_way_back_has_begun_is_refused() -> None:
    """E26: whoever was too late hears why."""

    async def scenario(world: World) -> None:
        await first(world, 2, strategy=BY_HAND)
        await update(world, 2, 2, strategy=BY_HAND)
        await waiting(world)
        world.provider.script = lambda _replica, _revision: Life(stops_after=20)
        await world.controller.abort("hello")
        with pytest.raises(NothingToPromote):
            await world.controller.promote("hello")

    watched(scenario)


def test_one_of_three_that_is_not_ready_holds_up_an_automatic_promotion() -> None:
    """M50: nothing is promoted until all of it is healthy, and all of its gates have passed."""

    class Judge:
        word: Verdict = Hold("the second group is not well")

        def verdict(self, view: GateView) -> Verdict:
            return self.word

    async def scenario(world: World) -> None:
        judge = Judge()
        world.parts.gates.made["judge"] = lambda: judge
        world.parts.gates.made["happy"] = _Happy
        gates = {"promotion": (PartRef("happy"), PartRef("judge"))}
        old = await first(world, 3, strategy=BLUE_GREEN, gates=gates)
        count = len(world.provider.started)
        world.provider.script = lambda _replica, _revision: (
            Life(ready_after=60) if len(world.provider.started) == count else Life()
        )
        await update(world, 2, 3, strategy=BLUE_GREEN, gates=gates)
        await asyncio.sleep(50)
        assert set(answering(world.dataplane.table)) == {old}
        await waiting(world)
        assert set(answering(world.dataplane.table)) == {old}
        judge.word = Pass()
        world.dataplane.say("hello", queued=1)
        await world.ready("hello", 60)

    watched(scenario)


class _Happy:
    def verdict(self, view: GateView) -> Verdict:
        """Nothing is wrong."""
        return Pass()


def test_an_unpromoted_preview_stops_and_what_was_promoted_stays() -> None:
    """M19: a newer version takes the place of the preview at once; the base is as it was."""

    async def scenario(world: World) -> None:
        await first(world, 2, strategy=BY_HAND)
        base = await update(world, 2, 2, strategy=BY_HAND)
        await waiting(world)
        await world.controller.promote("hello")
        await world.ready("hello")
        await update(world, 3, 2, strategy=BY_HAND)
        await waiting(world)
        await update(world, 4, 2, strategy=BY_HAND)
        await asyncio.sleep(5)
        assert live(world) == {2: 2, 4: 2}
        assert answering(world.dataplane.table) == {base: 2}
        assert any(event.kind == "rollout.superseded" and "by" in event.message for event in world.events)

    watched(scenario)


def test_one_of_two_new_replicas_that_cannot_start_stops_the_swap() -> None:
    """M56: the old ones keep all calls, and the new ones, the good one too, are taken away."""

    async def scenario(world: World) -> None:
        old = await first(world, 2, strategy=BLUE_GREEN, initial_delay=30.0, progress_deadline=120.0)
        lives = {0: Life(), 1: Life(ready_after=NEVER)}
        made: list[str] = []

        def script(replica: str, revision: RevisionId) -> Life:
            if revision == old:
                return Life()
            made.append(replica)
            return lives[min(1, len(made) - 1)]

        world.provider.script = script
        await update(world, 2, 2, strategy=BLUE_GREEN, initial_delay=30.0, progress_deadline=120.0)
        view = await world.settled("hello")
        await asyncio.sleep(10)
        assert answering(world.dataplane.table) == {old: 2}
        assert live(world) == {1: 2}
        assert "not ready within 30 s" in view.reason

    watched(scenario)


def test_both_fail_and_nobody_goes_round_in_circles() -> None:
    """M51: what is gone back to fails as well: that is said, and no rollout follows upon the other for ever."""

    async def scenario(world: World) -> None:
        old = await first(world, 2, strategy=ROLLING)
        broken = Life(fails_after=0.3, ready_after=NEVER, reason="no database")
        world.provider.script = by_revision({old: broken}, broken)
        for replica in world.provider.states():
            world.provider.kill(replica)
        await update(world, 2, 2, strategy=ROLLING)
        await asyncio.sleep(3_600)
        view = world.view("hello")
        assert view.status in (DeploymentStatus.FAILED, DeploymentStatus.DEGRADED)
        assert view.settled
        assert view.deployment.generation == 2
        assert world.kinds("rollout.started") == ["rollout.started"] * 2
        assert len(world.provider.started) < 60

    watched(scenario)


def test_going_back_to_what_failed_is_no_going_back() -> None:
    """M51: the version that failed is deployed again as the stable one's successor: still one rollout at a time."""

    async def scenario(world: World) -> None:
        old = await first(world, 2, strategy=ROLLING)
        world.provider.script = by_revision({old: Life()}, Life(fails_after=0.3, ready_after=NEVER))
        for generation in (2, 3):
            await update(world, 2, 2, strategy=ROLLING)
            await world.settled("hello")
            await asyncio.sleep(3_600)
            view = world.view("hello")
            assert (view.deployment.generation, view.stable, view.ready) == (generation, old, 2)
            assert world.kinds("rollout.started") == ["rollout.started"] * generation

    watched(scenario)
