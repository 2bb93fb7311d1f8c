"""Whatever a deployment waits for has a code, names what stands in the way, and says when it is looked at again."""

import asyncio

from flashcore.control.causes import causes
from flashcore.control.obstacles import Obstacle, obstacles
from flashcore.hookspecs.state import StateBackend
from flashcore.hookspecs.strategies import Decision, Progress, View, Wait
from flashcore.model.deployment import Budget, DeploymentStatus
from flashcore.model.parts import PartRef
from flashcore.testing.scenes import first, started, update, watched
from flashcore.testing.simulated_provider import NEVER, Life, by_revision
from flashcore.testing.simulation import World, simulate
from flashcore.testing.unreliable_store import UnreliableStore

BY_HAND = PartRef("blue_green", options={"auto_promote": False, "keep_old": 300.0})


def waits(world: World, code: str) -> Obstacle:
    """The obstacle with that code, which there must be."""
    found = obstacles(world.view("hello"), world.clock.now())
    matching = [one for one in found if one.code == code]
    assert matching, found
    return matching[0]


def test_a_gate_is_named_and_a_person_has_no_time() -> None:
    """With the words of the gate."""

    async def scenario(world: World) -> None:
        await first(world, 1, strategy=BY_HAND)
        await update(world, 2, 1, strategy=BY_HAND)
        await world.until("hello", lambda view: view.status is DeploymentStatus.AWAITING_PROMOTION)
        found = waits(world, "gate")
        assert (found.blocked_by, found.until) == ("gate 'manual'", None)
        assert "waits for a person" in found.reason
        assert world.view("hello").deployment.reason_code == "gate"

    watched(scenario)


def test_a_gate_that_waits_for_a_time_says_until_when() -> None:
    """The end of its delay."""

    async def scenario(world: World) -> None:
        slow = PartRef("blue_green", options={"promote_delay": 60.0})
        await first(world, 1, strategy=slow)
        await update(world, 2, 1, strategy=slow)
        await world.until("hello", lambda view: view.status is DeploymentStatus.AWAITING_PROMOTION)
        rollout = world.view("hello").rollout
        assert rollout is not None
        found = waits(world, "gate")
        assert (found.blocked_by, found.until) == ("gate 'delay'", rollout.checkpoint_since + 60)

    watched(scenario)


class Patient:
    """Waits for noon."""

    def budget(self, goal: int) -> Budget:
        """Room for one more."""
        return Budget(goal, goal + 1)

    def decide(self, view: View) -> Decision:
        """Wait."""
        return Decision(view.old_live, 1, Wait("noon", until=view.step_since + 500.0), step="waiting")


class Broken(Patient):
    """Raises."""

    def decide(self, view: View) -> Decision:
        """Raise."""
        raise ZeroDivisionError(view.goal)


class Hasty(Patient):
    """Wants to go faster than the rules allow."""

    def decide(self, view: View) -> Decision:
        """Ask for everything at once."""
        return Decision(0, view.goal, Progress(), step="now")


def test_a_wait_of_a_strategy_names_the_strategy_and_the_time() -> None:
    """As it gave it."""

    async def scenario(world: World) -> None:
        world.parts.strategies.made["patient"] = Patient
        await first(world, 1, strategy=PartRef("patient"))
        await update(world, 2, 1, strategy=PartRef("patient"))
        await asyncio.sleep(5)
        found = waits(world, "strategy")
        assert (found.reason, found.blocked_by) == ("noon", "strategy 'patient'")
        assert found.until is not None
        assert found.until > world.clock.now()

    watched(scenario)


def test_a_part_that_raises_is_named() -> None:
    """With what it raised, and when it is asked again."""

    async def scenario(world: World) -> None:
        world.parts.strategies.made["broken"] = Broken
        await first(world, 1, strategy=PartRef("broken"))
        await update(world, 2, 1, strategy=PartRef("broken"))
        await asyncio.sleep(5)
        found = waits(world, "part_failed")
        assert found.blocked_by == "strategy 'broken'"
        assert "ZeroDivisionError" in found.reason
        assert found.until is not None

    watched(scenario)


def test_a_part_that_no_plugin_offers_any_more_is_named() -> None:
    """A plugin that was removed while its endpoint is deployed."""

    async def scenario(world: World) -> None:
        world.parts.strategies.made["patient"] = Patient
        await first(world, 1, strategy=PartRef("patient"))
        await update(world, 2, 1, strategy=PartRef("patient"))
        del world.parts.strategies.made["patient"]
        await world.restart()
        await asyncio.sleep(5)
        assert "patient" in waits(world, "part_failed").reason

    watched(scenario)


def test_a_rule_of_the_core_that_holds_a_strategy_back_is_named() -> None:
    """The rule's name is the code."""

    async def scenario(world: World) -> None:
        world.parts.strategies.made["hasty"] = Hasty
        stable = await first(world, 2, strategy=PartRef("hasty"))
        world.provider.script = by_revision({stable: Life()}, Life(ready_after=100.0))
        await update(world, 2, 2, strategy=PartRef("hasty"))
        await asyncio.sleep(5)
        found = waits(world, "min_ready")
        assert found.blocked_by == "rule 'min_ready'"
        assert found.until is not None

    watched(scenario)


def test_a_pause_names_the_person() -> None:
    """No time ends it."""

    async def scenario(world: World) -> None:
        await first(world, 2)
        await update(world, 2, 2)
        await world.controller.pause("hello")
        found = waits(world, "paused")
        assert (found.blocked_by, found.until) == ("a person", None)

    watched(scenario)


def test_a_back_off_names_the_last_failure_and_the_next_start() -> None:
    """In the words of the replica that failed; status has the code."""

    async def scenario(world: World) -> None:
        await first(world, 2)
        world.provider.script = lambda _replica, _revision: Life(fails_after=0.1, ready_after=NEVER, reason="no GPU")
        world.provider.kill(world.provider.started[0])
        await world.until("hello", lambda view: view.deployment.reason_code == "back_off")
        found = waits(world, "back_off")
        assert "no GPU" in found.reason
        assert "no GPU" in world.view("hello").reason
        assert found.until is not None
        assert found.until > world.clock.now()
        made = len(world.provider.started)
        await asyncio.sleep(found.until - world.clock.now() + 0.01)
        assert len(world.provider.started) == made + 1

    watched(scenario)


def test_a_version_that_was_taken_back_is_not_waited_for() -> None:
    """Nothing starts it again, at whatever time; why it failed stands in the reason."""

    async def scenario(world: World) -> None:
        await first(world, 2)
        failing = await update(world, replicas=2, auto_rollback=True)
        world.provider.script = by_revision({failing: Life(fails_after=0.1, ready_after=NEVER, reason="no GPU")})
        await world.until("hello", lambda view: view.rollout is not None and view.rollout.state.finished)
        view = world.view("hello")
        until, made = view.deployment.backoff[failing].until, len(world.provider.started)
        assert until > world.clock.now()
        assert "no GPU" in view.reason
        assert "back_off" not in {one.code for one in obstacles(view, world.clock.now())}
        await asyncio.sleep(until - world.clock.now() + 60)
        assert len(world.provider.started) == made

    watched(scenario)


def test_a_replica_that_waits_for_its_place_says_why() -> None:
    """In the provider's words: a quota, a machine, a GPU."""

    async def scenario(world: World) -> None:
        world.provider.script = lambda _replica, _revision: Life(
            runs_after=NEVER, pending_reason="the quota is used up"
        )
        await world.deploy("hello", 1)
        await asyncio.sleep(2)
        found = waits(world, "pending")
        assert (found.reason, found.blocked_by) == ("the quota is used up", f"replica {world.provider.started[0]}")
        assert world.view("hello").deployment.reason_code == "pending"

    watched(scenario)


def test_a_replica_that_warms_up_says_until_when_it_may() -> None:
    """The end of its initial delay."""

    async def scenario(world: World) -> None:
        world.provider.script = lambda _replica, _revision: Life(ready_after=NEVER)
        await world.deploy("hello", 1, initial_delay=50.0)
        await asyncio.sleep(2)
        found = waits(world, "warming_up")
        assert found.until is not None
        assert 45 < found.until - world.clock.now() < 50

    watched(scenario)


def test_a_failed_probe_is_named_with_its_answer() -> None:
    """The replica, and what the probe said."""

    async def scenario(world: World) -> None:
        await first(world, 2)
        world.probe.fail(world.provider.started[0], "status 500")
        await world.until("hello", lambda view: view.deployment.reason_code == "probe")
        found = waits(world, "probe")
        assert found.blocked_by == f"replica {world.provider.started[0]}"
        assert "status 500" in found.reason

    watched(scenario)


def test_a_drain_says_when_its_grace_is_over() -> None:
    """Of a replica that has much to finish."""

    async def scenario(world: World) -> None:
        world.provider.script = lambda _replica, _revision: Life(stops_after=20.0)
        await first(world, 2)
        await world.controller.scale("hello", 1)
        await asyncio.sleep(3)
        found = waits(world, "drain")
        assert found.until is not None
        assert found.until > world.clock.now()

    watched(scenario)


def test_what_an_operator_did_is_named() -> None:
    """A cordon, held traffic, a side that is kept warm."""

    async def scenario(world: World) -> None:
        stable = await first(world, 2, strategy=BY_HAND)
        await world.controller.cordon("hello", world.provider.started[0])
        await world.controller.hold_traffic("hello")
        assert waits(world, "cordon").blocked_by == f"replica {world.provider.started[0]}"
        assert waits(world, "held").blocked_by == "a person"
        await world.controller.release_traffic("hello")
        target = await update(world, 2, 2, strategy=BY_HAND)
        await world.controller.promote_fully("hello")
        await world.until("hello", lambda view: view.stable == target)
        kept = waits(world, "kept")
        assert stable[:12] in kept.blocked_by
        assert kept.until is not None
        assert len(started(world, stable)) == 2

    watched(scenario)


def test_what_rests_waits_for_nothing() -> None:
    """No obstacle, no code, no reason."""

    async def scenario(world: World) -> None:
        await first(world, 2)
        view = world.view("hello")
        assert (obstacles(view, world.clock.now()), view.reason, view.deployment.reason_code) == ((), "", "")

    watched(scenario)


def test_a_state_that_cannot_be_written_is_said_and_forgotten_when_it_can() -> None:
    """Also though nothing of an endpoint changes: the lease cannot be renewed."""
    stores: list[UnreliableStore] = []

    def store(backend: StateBackend) -> StateBackend:
        stores.append(UnreliableStore(backend))
        return stores[0]

    async def scenario(world: World) -> None:
        await first(world, 1)
        stores[0].full = True
        world.provider.kill(world.provider.started[0])
        await asyncio.sleep(20)
        trouble = world.controller.state_trouble
        assert trouble == "there is no room"
        found = obstacles(world.view("hello"), world.clock.now(), trouble)
        assert (found[0].code, found[0].blocked_by) == ("state", "the store")
        stores[0].full = False
        await asyncio.sleep(40)
        assert world.controller.state_trouble is None
        assert world.view("hello").ready == 1

    simulate(scenario, store=store)


def test_a_failure_that_is_over_is_no_back_off() -> None:
    """It is remembered for the next one, and nothing is waited for."""

    async def scenario(world: World) -> None:
        await first(world, 1)
        world.provider.kill(world.provider.started[0])
        await world.until("hello", lambda view: view.ready == 0)
        await world.ready("hello")
        view = world.view("hello")
        assert view.deployment.backoff
        assert obstacles(view, world.clock.now()) == ()

    watched(scenario)


def test_a_chain_begins_with_what_was_asked_last() -> None:
    """A rollout that is over has no part in it; one that was under way when something else was asked has."""

    async def scenario(world: World) -> None:
        await first(world, 1)
        await world.controller.scale("hello", 2)
        await world.ready("hello")
        kinds = [one.event.kind for one in causes(await world.controller.last_events(1000))]
        assert kinds[0] == "deployment.goal"
        await update(world, 2, 2)
        await world.controller.scale("hello", 3)
        kinds = [one.event.kind for one in causes(await world.controller.last_events(1000))]
        assert kinds[0] == "rollout.started"
        assert "deployment.goal" in kinds
        assert not {"replica.created", "replica.starting"} & set(kinds)

    watched(scenario)


def test_a_replica_that_ends_by_itself_is_a_link_of_the_chain() -> None:
    """The first one that died was in no chain; those that were told to end are there as what they were told."""

    async def scenario(world: World) -> None:
        await first(world, 2)
        dies, *_ = started(world, world.view("hello").sides[0].revision)
        world.provider.kill(dies, "it ended with exit status 3")
        await world.until("hello", lambda view: view.ready < 2)
        await world.ready("hello")
        told = [(one.event.kind, one.event.message) for one in causes(await world.controller.last_events(1000))]
        assert ("replica.terminated", "it ended with exit status 3") in told

        await world.controller.scale("hello", 1)
        await world.until("hello", lambda view: len(view.sides[0].replicas) == 1)
        kinds = [one.event.kind for one in causes(await world.controller.last_events(1000))]
        assert kinds[0] == "deployment.goal"
        assert "replica.draining" in kinds
        assert "replica.terminated" not in kinds

    watched(scenario)
