"""Blue-green, gates and recreate through the same code as rolling."""

import asyncio

import pytest

from flashcore.control.refusals import NothingToPromote
from flashcore.hookspecs.gates import Fail, GateView, Hold, Pass, Verdict
from flashcore.model.deployment import DeploymentStatus, RolloutState
from flashcore.model.names import RevisionId
from flashcore.model.parts import PartRef
from flashcore.model.table import RoutingTable
from flashcore.testing.scenes import first, live, started, update, watched
from flashcore.testing.simulated_provider import NEVER, Life, by_revision
from flashcore.testing.simulation import World

BLUE_GREEN = PartRef("blue_green")
BY_HAND = PartRef("blue_green", options={"auto_promote": False})
RECREATE = PartRef("recreate")


def served(world: World) -> set[RevisionId]:
    """Revisions whose replicas some gateway may send ordinary calls to."""
    known = {one.id: one.revision for side in world.view("hello").sides for one in side.replicas}
    return {known[replica] for replica in world.dataplane.serving("hello") if replica in known}


async def waiting(world: World) -> None:
    """Wait until the rollout is at a checkpoint, and gateways know."""
    await world.until("hello", lambda view: view.status is DeploymentStatus.AWAITING_PROMOTION)
    await asyncio.sleep(0.1)


def test_e22_a_first_deployment_serves_at_once() -> None:
    """E22, M13: there is nobody to be careful about: strategies and gates are skipped."""

    async def scenario(world: World) -> None:
        gates = {"promotion": (PartRef("manual"),)}
        await world.deploy("hello", 1, replicas=2, strategy=BY_HAND, gates=gates)
        await world.ready("hello", 5)

    watched(scenario)


def test_with_automatic_promotion_all_traffic_moves_at_once() -> None:
    """Nothing is served by two revisions at any time."""

    async def scenario(world: World) -> None:
        old = await first(world, 3, strategy=BLUE_GREEN)
        seen: list[set[RevisionId]] = []
        told = world.dataplane.told

        def note(table: RoutingTable) -> None:
            seen.append(served(world))
            told(table)

        world.dataplane.told = note
        new = await update(world, 2, 3, strategy=BLUE_GREEN)
        await world.ready("hello")
        await asyncio.sleep(5)
        assert served(world) == {new}
        assert live(world) == {2: 3}
        assert all(len(one) <= 1 for one in seen)
        assert {old} in seen

    watched(scenario)


def test_e20_before_the_promotion_the_target_is_a_preview() -> None:
    """E20: reached by who asks for it, and by nobody else."""

    async def scenario(world: World) -> None:
        old = await first(world, 2, strategy=BY_HAND)
        new = await update(world, 2, 2, strategy=BY_HAND)
        await waiting(world)
        route = world.dataplane.route("hello")
        assert route is not None
        shown = [(side.revision, side.weight, side.preview, len(side.replicas)) for side in route.sides]
        assert shown == [(old, 100, False, 2), (new, 0, True, 2)]
        assert served(world) == {old}

    watched(scenario)


def test_q31_a_preview_that_starts_again_is_still_the_preview() -> None:
    """Q31: jobs for it wait, as they do for any replica; they would be given up for a preview that is gone."""

    async def scenario(world: World) -> None:
        await first(world, 1, strategy=BY_HAND)
        new = await update(world, 2, 1, strategy=BY_HAND)
        await waiting(world)
        world.provider.script = by_revision({new: Life(runs_after=NEVER)})
        for replica in started(world, new):
            world.provider.kill(replica)
        await asyncio.sleep(60)
        route = world.dataplane.route("hello")
        assert route is not None
        assert [(side.revision, len(side.replicas)) for side in route.sides if side.preview] == [(new, 0)]

    watched(scenario)


def test_e21_it_waits_for_a_person_as_long_as_it_takes() -> None:
    """E21, M52: no deadline passes meanwhile."""

    async def scenario(world: World) -> None:
        await first(world, 2, strategy=BY_HAND, progress_deadline=60.0)
        new = await update(world, 2, 2, strategy=BY_HAND, progress_deadline=60.0)
        await waiting(world)
        await asyncio.sleep(3 * 3600)
        assert world.view("hello").status is DeploymentStatus.AWAITING_PROMOTION
        assert live(world) == {1: 2, 2: 2}
        await world.controller.promote("hello")
        view = await world.ready("hello", 60)
        assert view.stable == new

    watched(scenario)


def test_e26_promoted_twice_at_once_is_promoted_once() -> None:
    """E26: and too early or too late it is refused by type."""

    async def scenario(world: World) -> None:
        await first(world, 2, strategy=BY_HAND)
        await update(world, 2, 2, strategy=BY_HAND)
        with pytest.raises(NothingToPromote):
            await world.controller.promote("hello")
        await waiting(world)
        both = await asyncio.gather(
            world.controller.promote("hello"), world.controller.promote("hello"), return_exceptions=True
        )
        assert not any(isinstance(one, Exception) for one in both)
        assert world.kinds("rollout.promoted") == ["rollout.promoted"]
        await world.ready("hello")
        with pytest.raises(NothingToPromote):
            await world.controller.promote("hello")

    watched(scenario)


@pytest.mark.parametrize("delay", [300.0, 600.0])
def test_e19_e23_a_delay_is_waited_for_from_when_the_target_was_full(delay: float) -> None:
    """E19, E23: not from the beginning, and not at all a failure."""

    async def scenario(world: World) -> None:
        strategy = PartRef("blue_green", options={"promote_delay": delay})
        await first(world, 2, strategy=strategy, progress_deadline=60.0)
        await update(world, 2, 2, strategy=strategy, progress_deadline=60.0)
        await waiting(world)
        full = world.clock.now()
        await world.ready("hello")
        assert world.clock.now() - full == pytest.approx(delay, abs=1)

    watched(scenario)


def test_a_delay_survives_another_controller() -> None:
    """It does not begin anew, and it is not forgotten."""

    async def scenario(world: World) -> None:
        strategy = PartRef("blue_green", options={"promote_delay": 300.0})
        await first(world, 2, strategy=strategy)
        await update(world, 2, 2, strategy=strategy)
        await waiting(world)
        begun = world.clock.now()
        await asyncio.sleep(200)
        await world.restart()
        await world.ready("hello")
        assert world.clock.now() - begun == pytest.approx(300, abs=1)

    watched(scenario)


def test_the_old_side_is_kept_warm_for_as_long_as_was_asked() -> None:
    """Without traffic, and without being replaced when it dies."""

    async def scenario(world: World) -> None:
        strategy = PartRef("blue_green", options={"keep_old": 120.0})
        old = await first(world, 2, strategy=strategy)
        new = await update(world, 2, 2, strategy=strategy)
        await world.ready("hello")
        await asyncio.sleep(60)
        assert live(world) == {1: 2, 2: 2}
        assert served(world) == {new}
        world.provider.kill(next(one for one in sorted(world.provider.states()) if old[:6] in one))
        await asyncio.sleep(30)
        assert live(world) == {1: 1, 2: 2}
        await asyncio.sleep(60)
        assert live(world) == {2: 2}

    watched(scenario)


def test_m34_going_back_to_a_warm_side_is_immediate() -> None:
    """M34: no replica is started."""

    async def scenario(world: World) -> None:
        strategy = PartRef("blue_green", options={"keep_old": 120.0})
        old = await first(world, 2, strategy=strategy)
        await update(world, 2, 2, strategy=strategy)
        await world.ready("hello")
        await asyncio.sleep(10)
        before = len(world.provider.started)
        await world.deploy("hello", 1, replicas=2, strategy=strategy)
        view = await world.ready("hello", 1)
        assert view.stable == old
        assert len(world.provider.started) == before

    watched(scenario)


def test_i3_when_the_new_side_dies_the_warm_old_one_answers() -> None:
    """Traffic never rests on nobody while somebody could answer; and it is not let go meanwhile."""

    async def scenario(world: World) -> None:
        strategy = PartRef("blue_green", options={"keep_old": 30.0})
        old = await first(world, 2, strategy=strategy)
        new = await update(world, 2, 2, strategy=strategy)
        await world.ready("hello")
        await asyncio.sleep(5)
        world.provider.script = by_revision({new: Life(runs_after=NEVER)})
        for replica in started(world, new):
            world.provider.kill(replica)
        await asyncio.sleep(1)
        assert served(world) == {old}
        await asyncio.sleep(300)
        assert served(world) == {old}

    watched(scenario)


def test_e33_m17_another_version_replaces_the_preview() -> None:
    """E33, M17: the first stays active; the superseded one, which served nobody, goes at once."""

    async def scenario(world: World) -> None:
        old = await first(world, 2, strategy=BY_HAND)
        await update(world, 2, 2, strategy=BY_HAND)
        await waiting(world)
        new = await update(world, 3, 2, strategy=BY_HAND)
        await asyncio.sleep(5)
        assert live(world) == {1: 2, 3: 2}
        assert served(world) == {old}
        await waiting(world)
        await world.controller.promote("hello")
        view = await world.ready("hello")
        await asyncio.sleep(5)
        assert (view.stable, live(world)) == (new, {3: 2})

    watched(scenario)


def test_m27_a_goal_that_changes_before_the_promotion_is_followed_on_both_sides() -> None:
    """M27: active first."""

    async def scenario(world: World) -> None:
        await first(world, 2, strategy=BY_HAND)
        await update(world, 2, 2, strategy=BY_HAND)
        await waiting(world)
        for count in (5, 1, 3):
            await world.controller.scale("hello", count)
            await asyncio.sleep(10)
            assert live(world) == {1: count, 2: count}
        await world.controller.promote("hello")
        await world.ready("hello")

    watched(scenario)


def test_aborting_a_preview_leaves_the_active_side_alone() -> None:
    """E25: all traffic is where it was."""

    async def scenario(world: World) -> None:
        old = await first(world, 2, strategy=BY_HAND)
        await update(world, 2, 2, strategy=BY_HAND)
        await waiting(world)
        await world.controller.abort("hello")
        view = await world.settled("hello")
        await asyncio.sleep(5)
        assert (view.stable, live(world), served(world)) == (old, {1: 2}, {old})
        assert view.status is DeploymentStatus.READY

    watched(scenario)


def test_e16_one_green_replica_that_fails_is_replaced() -> None:
    """E16: up to a budget, and never in silence."""

    async def scenario(world: World) -> None:
        await first(world, 3, strategy=BLUE_GREEN)
        count = len(world.provider.started)
        world.provider.script = lambda _replica, _revision: (
            Life(fails_after=0.2, ready_after=NEVER) if len(world.provider.started) == count else Life()
        )
        await update(world, 2, 3, strategy=BLUE_GREEN)
        view = await world.ready("hello")
        assert view.ready == 3
        assert "replica.failed_to_start" in world.kinds()

    watched(scenario)


def test_e17_when_all_green_replicas_fail_it_is_taken_back() -> None:
    """E17: not one new set after the other."""

    async def scenario(world: World) -> None:
        old = await first(world, 3, strategy=BLUE_GREEN)
        world.provider.script = by_revision({old: Life()}, Life(fails_after=0.2, ready_after=NEVER))
        new = await update(world, 2, 3, strategy=BLUE_GREEN)
        view = await world.settled("hello")
        await asyncio.sleep(60)
        assert view.status is DeploymentStatus.DEGRADED
        assert len(started(world, new)) <= 6
        assert served(world) == {old}

    watched(scenario)


def test_e30_the_policy_at_hand_applies_not_the_one_of_the_first_deployment() -> None:
    """E30: first blue-green, then rolling, then recreate."""

    async def scenario(world: World) -> None:
        await first(world, 3, strategy=BLUE_GREEN)
        await update(world, 2, 3, strategy=PartRef("rolling"))
        await world.ready("hello")
        assert len(world.provider.started) == 6
        await update(world, 3, 3, strategy=RECREATE)
        await world.ready("hello")
        await asyncio.sleep(5)
        assert live(world) == {3: 3}

    watched(scenario)


class Judge:
    """A gate that says what a test wants."""

    def __init__(self) -> None:
        self.word: Verdict = Hold("thinking")
        self.views: list[GateView] = []

    def verdict(self, view: GateView) -> Verdict:
        """As told."""
        self.views.append(view)
        return self.word


def test_all_gates_must_pass() -> None:
    """A person alone is not enough where the endpoint binds a gate of its own."""

    async def scenario(world: World) -> None:
        judge = Judge()
        world.parts.gates.made["judge"] = lambda: judge
        gates = {"promotion": (PartRef("judge"),)}
        await first(world, 2, strategy=BY_HAND, gates=gates)
        await update(world, 2, 2, strategy=BY_HAND, gates=gates)
        await waiting(world)
        await world.controller.promote("hello")
        await asyncio.sleep(10)
        assert world.view("hello").status is DeploymentStatus.AWAITING_PROMOTION
        assert "thinking" in world.view("hello").reason
        judge.word = Pass()
        world.dataplane.say("hello", queued=1)
        await world.ready("hello", 60)
        assert {view.checkpoint for view in judge.views} == {"promotion"}
        assert judge.views[-1].promoted

    watched(scenario)


def test_a_gate_that_fails_takes_the_rollout_back() -> None:
    """With its reason."""

    async def scenario(world: World) -> None:
        judge = Judge()
        judge.word = Fail("errors went up")
        world.parts.gates.made["judge"] = lambda: judge
        gates = {"promotion": (PartRef("judge"),)}
        old = await first(world, 2, strategy=BLUE_GREEN, gates=gates)
        await update(world, 2, 2, strategy=BLUE_GREEN, gates=gates)
        view = await world.settled("hello")
        assert view.stable == old
        assert "promotion was refused: errors went up" in view.reason
        assert view.rollout is not None
        assert view.rollout.state is RolloutState.FAILED

    watched(scenario)


@pytest.mark.parametrize("goal", [1, 3])
def test_recreate_never_runs_two_revisions_side_by_side(goal: int) -> None:
    """Not even while the old one drains."""

    async def scenario(world: World) -> None:
        world.provider.script = lambda _replica, _revision: Life(stops_after=20)
        await first(world, goal, strategy=RECREATE)
        await update(world, 2, goal, strategy=RECREATE)
        worst = 0
        while not world.view("hello").settled:
            revisions = {replica.split("-")[1] for replica in world.provider.running()}
            worst = max(worst, len(revisions))
            await asyncio.sleep(0.5)
        assert worst == 1
        assert live(world) == {2: goal}

    watched(scenario)


def test_recreate_taken_back_does_not_run_two_revisions_either() -> None:
    """The stable one comes back when nothing of the other is left."""

    async def scenario(world: World) -> None:
        old = await first(world, 2, strategy=RECREATE)
        world.provider.script = by_revision({old: Life()}, Life(ready_after=3600, stops_after=20))
        await update(world, 2, 2, strategy=RECREATE)
        await asyncio.sleep(5)
        await world.controller.abort("hello")
        worst = 0
        while not world.view("hello").settled:
            worst = max(worst, len({replica.split("-")[1] for replica in world.provider.running()}))
            await asyncio.sleep(0.5)
        assert worst == 1
        assert world.view("hello").ready == 2
        assert world.view("hello").stable == old

    watched(scenario)
