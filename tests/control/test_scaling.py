"""The scaler's number: up at once, down with patience, never against a rollout, never by nonsense."""

import asyncio
import math

import pytest

from flashcore.control.scaling import Autoscaler, Load, load_of
from flashcore.hookspecs.scalers import ScaleView
from flashcore.model.deployment import DeploymentStatus
from flashcore.model.names import EndpointName, RevisionId
from flashcore.model.parts import PartRef
from flashcore.model.table import EndpointSignals, SideSignals
from flashcore.testing.scenes import live, update, watched
from flashcore.testing.simulated_provider import Life
from flashcore.testing.simulation import World

DIALLED = PartRef("dialled")


class Dial:
    """A scaler that says what a test wants."""

    def __init__(self) -> None:
        self.wanted: object = 1
        self.views: list[ScaleView] = []

    def desired(self, view: ScaleView) -> int:
        """As told."""
        self.views.append(view)
        if isinstance(self.wanted, Exception):
            raise self.wanted
        return self.wanted  # type: ignore[return-value]  # nonsense is part of the test


async def dialled(world: World, bounds: tuple[int, int] = (1, 10), **policy: object) -> Dial:
    """An endpoint whose scaler is a dial, ready, with a gateway that sees nothing yet."""
    dial = Dial()
    dial.wanted = max(1, bounds[0])
    world.parts.scalers.made["dialled"] = lambda: dial
    await world.deploy("hello", 1, replicas=bounds, scaler=DIALLED, idle_timeout=60.0, **policy)
    world.dataplane.say("hello")
    await world.ready("hello")
    return dial


def busy(world: World, amount: int = 1) -> None:
    """Let the gateway see some work."""
    world.dataplane.say("hello", in_flight=amount, queued=amount)


def test_more_is_wanted_at_once() -> None:
    """No window holds it back."""

    async def scenario(world: World) -> None:
        dial = await dialled(world)
        dial.wanted = 4
        busy(world)
        view = await world.until("hello", lambda view: view.ready == 4, 5)
        assert (view.goal, view.goal_by) == (4, "scaler")
        assert (dial.views[-1].in_flight, dial.views[-1].queued) == (1, 1)

    watched(scenario)


def test_fewer_are_wanted_only_when_nothing_asked_for_more_for_a_while() -> None:
    """The idle timeout."""

    async def scenario(world: World) -> None:
        dial = await dialled(world)
        dial.wanted = 4
        busy(world)
        await world.until("hello", lambda view: view.ready == 4, 5)
        dial.wanted = 2
        busy(world, 2)
        await asyncio.sleep(50)
        assert world.view("hello").goal == 4
        await world.until("hello", lambda view: view.goal == 2, 30)
        await asyncio.sleep(10)
        assert live(world) == {1: 2}

    watched(scenario)


def test_the_bounds_hold_whatever_the_scaler_wants() -> None:
    """E70: neither below the least nor above the most."""

    async def scenario(world: World) -> None:
        dial = await dialled(world, (2, 5))
        dial.wanted = 50
        busy(world)
        await world.until("hello", lambda view: view.ready == 5, 5)
        dial.wanted = 0
        world.dataplane.say("hello")
        await world.until("hello", lambda view: view.goal == 2, 200)

    watched(scenario)


@pytest.mark.parametrize("nonsense", [-1, 2.5, math.nan, None, True, KeyError("load")])
def test_nonsense_is_skipped_with_a_reason_and_the_last_good_number_stays(nonsense: object) -> None:
    """The deployment says which scaler and why."""

    async def scenario(world: World) -> None:
        dial = await dialled(world)
        dial.wanted = 3
        busy(world)
        await world.until("hello", lambda view: view.ready == 3, 5)
        dial.wanted = nonsense
        busy(world, 2)
        view = await world.until("hello", lambda view: view.status is DeploymentStatus.DEGRADED, 30)
        assert "scaler 'dialled'" in view.reason
        assert (view.goal, view.ready) == (3, 3)
        dial.wanted = 3
        busy(world, 3)
        await world.ready("hello", 30)

    watched(scenario)


def test_e72_a_persons_number_is_not_the_scalers_business() -> None:
    """E72: until it is given back."""

    async def scenario(world: World) -> None:
        dial = await dialled(world)
        await world.controller.scale("hello", 5)
        dial.wanted = 1
        busy(world)
        await asyncio.sleep(300)
        assert world.view("hello").goal == 5
        await world.controller.scale_by_policy("hello")
        await world.until("hello", lambda view: view.goal == 1, 300)

    watched(scenario)


def test_the_scalers_scale_down_waits_for_a_rollout() -> None:
    """Its capacity is needed; a person's number applies at once."""

    async def scenario(world: World) -> None:
        dial = await dialled(world)
        dial.wanted = 4
        busy(world)
        await world.until("hello", lambda view: view.ready == 4, 5)
        world.provider.script = lambda _replica, _revision: Life(ready_after=100)
        await world.deploy("hello", 2, replicas=(1, 10), scaler=DIALLED, idle_timeout=60.0)
        dial.wanted = 3
        busy(world, 2)
        await asyncio.sleep(90)
        assert world.view("hello").goal == 4
        await world.ready("hello")
        await world.until("hello", lambda view: view.goal == 3, 300)

    watched(scenario)


def test_scaled_to_zero_a_call_wakes_it_and_is_held_meanwhile() -> None:
    """The gateway keeps the call until a replica is ready."""

    async def scenario(world: World) -> None:
        dial = await dialled(world, (0, 4))
        dial.wanted = 0
        world.dataplane.say("hello")
        await world.until("hello", lambda view: view.status is DeploymentStatus.IDLE, 300)
        await asyncio.sleep(5)
        route = world.dataplane.route("hello")
        assert route is not None
        assert route.held
        assert world.provider.states() == {}
        dial.wanted = 1
        world.dataplane.say("hello", queued=1)
        await asyncio.sleep(0.3)
        route = world.dataplane.route("hello")
        assert route is not None
        assert route.held
        await world.until("hello", lambda view: view.ready == 1, 5)
        await asyncio.sleep(0.1)
        route = world.dataplane.route("hello")
        assert route is not None
        assert not route.held

    watched(scenario)


def test_an_endpoint_that_a_person_set_to_zero_is_not_held() -> None:
    """A call is refused: nobody will wake it."""

    async def scenario(world: World) -> None:
        await dialled(world, (0, 4))
        await world.controller.scale("hello", 0)
        await asyncio.sleep(10)
        route = world.dataplane.route("hello")
        assert route is not None
        assert not route.held

    watched(scenario)


def test_a_provider_hears_that_a_call_may_wake_an_endpoint_at_zero() -> None:
    """It keeps what makes a start quick: not for a superseded revision, a person's zero, or an endpoint that goes."""

    async def scenario(world: World) -> None:
        dial = await dialled(world, (0, 4))
        dial.wanted = 0
        old = await at_zero(world)
        assert world.provider.hints[old].standby
        await world.deploy("hello", 2, replicas=(0, 4), scaler=DIALLED, idle_timeout=60.0)
        await world.until("hello", lambda view: view.stable != old, 300)
        new = await at_zero(world)
        assert [world.provider.hints[one].standby for one in (old, new)] == [False, True]
        await world.controller.scale("hello", 0)
        await asyncio.sleep(5)
        assert not world.provider.hints[new].standby
        await world.controller.scale_by_policy("hello")
        await asyncio.sleep(5)
        assert world.provider.hints[new].standby
        await world.controller.undeploy("hello")
        await world.controller.wait_gone("hello", 60)
        assert not world.provider.hints[new].standby

    watched(scenario)


async def at_zero(world: World) -> RevisionId:
    """The stable revision, once nothing of it runs."""
    view = await world.until("hello", lambda view: view.status is DeploymentStatus.IDLE, 300)
    await asyncio.sleep(5)
    assert world.provider.states() == {}
    assert view.stable is not None
    return view.stable


def test_a_rollout_of_an_endpoint_at_zero_proves_one_replica_and_returns_to_zero() -> None:
    """A revision is not called stable that nobody has seen run."""

    async def scenario(world: World) -> None:
        dial = await dialled(world, (0, 4))
        dial.wanted = 0
        world.dataplane.say("hello")
        await world.until("hello", lambda view: view.status is DeploymentStatus.IDLE, 300)
        await asyncio.sleep(5)
        before = len(world.provider.started)
        new = (await world.deploy("hello", 2, replicas=(0, 4), scaler=DIALLED, idle_timeout=60.0)).rollout
        view = await world.until("hello", lambda view: view.status is DeploymentStatus.IDLE, 300)
        await asyncio.sleep(5)
        assert new is not None
        assert view.stable == new.target
        assert len(world.provider.started) == before + 1
        assert world.provider.states() == {}

    watched(scenario)


def test_a_new_leader_does_not_begin_with_a_scale_down() -> None:
    """It knows nothing of the last minutes: it waits for as long as anybody."""

    async def scenario(world: World) -> None:
        dial = await dialled(world)
        dial.wanted = 4
        busy(world)
        await world.until("hello", lambda view: view.ready == 4, 5)
        dial.wanted = 1
        await world.restart()
        busy(world, 2)
        await asyncio.sleep(50)
        assert world.view("hello").goal == 4
        await world.until("hello", lambda view: view.goal == 1, 60)

    watched(scenario)


def test_a_scaler_that_waited_long_enough_with_nothing_to_do_is_taken_at_its_word() -> None:
    """Its patience and the core's are not added up."""
    scaler = Autoscaler(goal=3, now=0.0)

    assert scaler.idle_for(Load(), 60.0) == 60.0
    assert scaler.heed(0, 60.0, window=60.0) == 0


def test_the_most_that_was_needed_within_the_window_counts() -> None:
    """A short dip is no reason to let go of anything."""
    scaler = Autoscaler(goal=1, now=0.0)
    heard = []
    for second, wanted in enumerate([1, 5, 2, 4, 1, 1, 1]):
        scaler.idle_for(Load(in_flight=1), float(second))
        heard.append(scaler.heed(wanted, float(second), window=3.0))

    assert heard == [1, 5, 5, 5, 5, 4, 4]
    assert scaler.heed(1, 7.1, window=3.0) == 1


def test_update_keeps_the_scalers_number() -> None:
    """Another version of a scaled endpoint comes up at the size that is needed."""

    async def scenario(world: World) -> None:
        dial = await dialled(world)
        dial.wanted = 5
        busy(world)
        await world.until("hello", lambda view: view.ready == 5, 5)
        await update(world, 2, (1, 10), scaler=DIALLED, idle_timeout=60.0)  # type: ignore[arg-type]  # the bounds are sent on as they are
        view = await world.ready("hello")
        assert (view.goal, view.ready) == (5, 5)

    watched(scenario)


def test_the_load_is_that_of_all_gateways_together() -> None:
    """Work adds up; the oldest of all waits the longest."""
    sides = SideSignals(RevisionId("a"), in_flight=2), SideSignals(RevisionId("b"), in_flight=3)
    one = EndpointSignals(sides, queued=4, oldest_queued=7.0, gateway="one")
    other = EndpointSignals(sides[:1], queued=1, oldest_queued=2.0, gateway="other")

    assert load_of((one, other)) == Load(in_flight=7, queued=5, oldest_queued=7.0)
    assert load_of(()) == Load()
    assert load_of(()).idle


def test_the_next_look_is_when_something_counts_no_more() -> None:
    """The end of what was needed lately, or of the time with nothing to do; none while nothing can change by itself."""
    scaler = Autoscaler(goal=3, now=0.0)
    assert scaler.next_look(Load(in_flight=1), 0.0, 60.0) is None
    assert scaler.next_look(Load(), 10.0, 60.0) == 60.0
    assert scaler.next_look(Load(), 60.0, 60.0) is None

    scaler.heed(1, 5.0, 60.0)
    assert scaler.next_look(Load(in_flight=1), 10.0, 60.0) == 65.0


def test_what_a_preview_is_asked_is_no_load_of_the_endpoint() -> None:
    """A hundred jobs for it had the stable side grown; nor do its replicas count as the stable side's."""

    async def scenario(world: World) -> None:
        manual = PartRef("blue_green", options={"auto_promote": False})
        dial = await dialled(world, strategy=manual)
        stable = world.view("hello").stable
        deployed = await world.deploy("hello", 2, replicas=(1, 10), scaler=DIALLED, idle_timeout=60.0, strategy=manual)
        assert deployed.rollout is not None
        target = deployed.rollout.target
        await world.until("hello", lambda view: view.status is DeploymentStatus.AWAITING_PROMOTION, 60)
        assert stable is not None
        sides = (SideSignals(stable, in_flight=1), SideSignals(target, in_flight=5, queued=95))
        said = EndpointSignals(sides, queued=2, oldest_queued=3.0, gateway="g")
        world.dataplane.report({EndpointName("hello"): (said,)})
        await asyncio.sleep(5)

        seen = dial.views[-1]
        assert (seen.in_flight, seen.queued, seen.oldest_queued, seen.ready) == (1, 2, 3.0, 1)

    watched(scenario)


def test_nobody_is_idle_while_a_preview_is_asked_something() -> None:
    """Its jobs wait for it alone, and the endpoint's clock of idling stands still."""
    target = RevisionId("b" * 64)
    waits = load_of((EndpointSignals((SideSignals(target, queued=3),)),), target)
    works = load_of((EndpointSignals((SideSignals(target, in_flight=1),)),), target)

    assert waits == works == Load(previewed=True)
    assert not waits.idle
    assert load_of((EndpointSignals((SideSignals(target, in_flight=1),)),)) == Load(in_flight=1)
