"""The readiness state machine on the real controller. S is a successful probe, F a failed one."""

from __future__ import annotations

import asyncio
import dataclasses
import itertools

import pytest

from flashcore.control.draft import Draft
from flashcore.control.health import Judgement, step
from flashcore.control.keeping import replace_failed
from flashcore.control.lifecycle import judged, observe, reported, unprobed
from flashcore.control.probing import can_be_asked
from flashcore.control.snapshot import Snapshot
from flashcore.hookspecs.probes import Answer, Finding, ProbeTarget
from flashcore.hookspecs.providers import Gone, Running, Stopping
from flashcore.model.declaration import ProbePolicy
from flashcore.model.deployment import DeploymentStatus, Watch
from flashcore.model.names import EndpointName, InstanceId, ReplicaId, RevisionId
from flashcore.model.parts import PartRef
from flashcore.model.replica import HEALTH_MOVES, PHASE_MOVES, Health, Phase, Replica, move_phase
from flashcore.testing.scenes import first, update, watched
from flashcore.testing.simulated_provider import NEVER, Life
from flashcore.testing.simulation import World, entry, simulate
from flashcore.wire.hello import Stage

ONE, OTHER = InstanceId("one"), InstanceId("other")
NEW = Replica(ReplicaId("r"), EndpointName("e"), RevisionId("v"), created_at=0.0)
WATCH = Watch(PartRef("http"), ProbePolicy(), 600.0)
EAGER = ProbePolicy(interval=1.0)


def running(stage: Stage, instance: InstanceId = ONE) -> Running:
    """A process that says so much of itself."""
    return Running(instance, stage, since=5.0, address="unix:/r")


READY = reported(NEW, running(Stage.READY), 10.0)
DRAINING = move_phase(READY, Phase.DRAINING, 20.0, "replaced")


def table_of(world: World) -> set[ReplicaId]:
    """The replicas of the newest table, previews included."""
    route = world.dataplane.route("hello")
    return {one.replica for side in route.sides for one in side.replicas} if route else set()


def record(world: World, replica: ReplicaId) -> Replica:
    """A replica as the control plane keeps it."""
    return next(one for side in world.view("hello").sides for one in side.replicas if one.id == replica)


def test_the_numbers_that_hold_where_nothing_is_declared() -> None:
    """S3, S10, S11, S5: two successes, three failures, nine more, thirty attempts; every 10 s, for 5 s at most."""
    assert ProbePolicy() == ProbePolicy(
        interval=10.0,
        timeout=5.0,
        success_threshold=2,
        failure_threshold=3,
        liveness_factor=3,
        pending_factor=10,
        failed_terminal=False,
        disabled=False,
    )


def test_a_replica_that_is_not_proven_is_not_selectable() -> None:
    """S1: it is there, nobody checked it, and it is in no routing table."""

    async def scenario(world: World) -> None:
        world.provider.script = lambda _replica, _revision: Life(ready_after=30)
        await world.deploy("hello", 1)
        await asyncio.sleep(10)
        (replica,) = world.provider.states()
        assert record(world, replica).health is Health.NOT_CHECKED
        assert not record(world, replica).ready
        assert table_of(world) == set()

    watched(scenario)


def test_without_checks_a_replica_is_selectable_at_its_own_word() -> None:
    """S2, S23: no probe is made, ever; it never gets stuck unchecked."""

    async def scenario(world: World) -> None:
        await first(world, 2, health=ProbePolicy(disabled=True))
        await asyncio.sleep(0.1)
        assert len(table_of(world)) == 2
        await asyncio.sleep(600)
        assert world.probe.asked == []

    watched(scenario)


def test_a_probe_that_nobody_can_make_does_not_keep_a_replica_from_serving() -> None:
    """S23: its own word makes it ready, whoever is missing to ask it; and the status names the missing part."""

    async def scenario(world: World) -> None:
        await first(world, 1, probe=PartRef("scripted"))
        del world.parts.probes.made["scripted"]
        await world.restart()
        world.provider.kill(min(world.provider.states()))
        view = await world.until("hello", lambda view: view.ready == 1 and "probe" in view.reason, 60)
        assert view.status is DeploymentStatus.DEGRADED

    watched(scenario)


@pytest.mark.parametrize(("answers", "health"), [("FFF", Health.UNHEALTHY), ("", Health.HEALTHY)])
def test_probes_that_are_switched_off_are_forgotten(answers: str, health: Health) -> None:
    """S21: what probes held against a replica no longer counts; it is ready at once, not stuck."""

    async def scenario(world: World) -> None:
        await first(world, 1, health=EAGER)
        (replica,) = world.provider.states()
        if answers:
            world.probe.fail(replica)
        await world.until("hello", lambda _view: record(world, replica).health is health, 60)

        await world.deploy("hello", 1, health=ProbePolicy(disabled=True))
        await world.ready("hello", 0.1)

        asked = len(world.probe.asked)
        await asyncio.sleep(60)
        assert world.view("hello").ready == 1
        assert len(world.probe.asked) == asked
        assert world.provider.started == [replica]

    watched(scenario)


def test_probes_that_are_switched_off_make_a_failed_replica_well() -> None:
    """S21: also one that had been given up; but not one that is still loading, or leaving."""
    failed = dataclasses.replace(READY, health=Health.FAILED)
    unchecked = reported(NEW, running(Stage.STARTING), 10.0)

    assert unprobed(failed, running(Stage.READY), 30.0).ready
    assert unprobed(unchecked, running(Stage.READY), 30.0).ready
    assert unprobed(unchecked, running(Stage.LOADING), 30.0) == unchecked


def test_switching_probes_off_does_not_bring_a_draining_replica_back() -> None:
    """S48: nor does anything that its worker says."""
    assert unprobed(DRAINING, running(Stage.READY), 30.0) == DRAINING
    assert reported(DRAINING, running(Stage.READY), 30.0) == DRAINING


def test_probes_that_are_switched_on_leave_a_ready_replica_ready() -> None:
    """S22: it is asked within one interval, and only what it answers counts."""

    async def scenario(world: World) -> None:
        await first(world, 3, health=ProbePolicy(disabled=True))
        await asyncio.sleep(100)
        switched = world.clock.now()
        await world.deploy("hello", 1, replicas=3, health=ProbePolicy(interval=10.0))
        assert world.view("hello").ready == 3
        await asyncio.sleep(10.1)
        assert set(world.probe.asked) == set(world.provider.states())
        assert world.clock.now() - switched < 11
        assert world.view("hello").ready == 3

    watched(scenario)


def test_what_was_said_before_is_no_news() -> None:
    """S25: a ready replica that says again that it is ready changes nothing."""
    assert reported(READY, running(Stage.READY), 99.0) is READY
    assert judged(READY, running(Stage.READY), Judgement(ONE, Health.HEALTHY), 99.0) is READY
    assert unprobed(READY, running(Stage.READY), 99.0) is READY


def test_a_ready_replica_that_speaks_again_is_not_written() -> None:
    """S25: no commit, no event."""

    async def scenario(world: World) -> None:
        await first(world, 2)
        await asyncio.sleep(60)
        before = len(world.events)
        for _ in range(20):
            world.provider.reach(away=False)
            await asyncio.sleep(1)
        assert len(world.events) == before

    watched(scenario)


def test_what_is_read_is_of_one_moment() -> None:
    """S26: the counts of a view are those of the replicas in the same view, at every commit."""
    seen: list[bool] = []

    async def scenario(world: World) -> None:
        def look(_event: object) -> None:
            for view in world.controller.views():
                counted = sum(one.ready for side in view.sides for one in side.replicas)
                seen.append(view.ready == counted == sum(side.ready for side in view.sides))

        world.told = look
        await first(world, 3, health=EAGER)
        world.probe.fail(min(world.provider.states()))
        await asyncio.sleep(60)
        await update(world, 2, 3, health=EAGER)
        await world.ready("hello")

    simulate(scenario)

    assert len(seen) > 20
    assert all(seen)


@pytest.mark.parametrize("phase", Phase)
@pytest.mark.parametrize("health", Health)
def test_ready_is_read_from_both_axes_at_once(phase: Phase, health: Health) -> None:
    """S26: a replica is ready exactly when it runs and is healthy; there is no third place that says so."""
    replica = dataclasses.replace(NEW, phase=phase, health=health)

    assert replica.ready == (phase is Phase.RUNNING and health is Health.HEALTHY)


def test_what_a_caller_declares_is_not_overridden_by_the_simulation() -> None:
    """S27: a test that wants checks has them."""
    strict = ProbePolicy(success_threshold=7)

    policy = entry("hello", probe=PartRef("http"), health=strict, scaler=PartRef("queue_delay")).policy

    assert (policy.probe, policy.health, policy.scaler) == (PartRef("http"), strict, PartRef("queue_delay"))


def test_it_was_ready_before_it_was_not() -> None:
    """S28: nothing healthy after failures means something only where something was healthy before them."""

    async def scenario(world: World) -> None:
        await first(world, 3, health=EAGER)
        assert world.view("hello").ready == 3

        for replica in world.provider.states():
            world.probe.fail(replica)

        await world.until("hello", lambda view: view.ready == 0, 30)

    watched(scenario)


def test_a_status_that_is_given_is_the_status() -> None:
    """S29, S30: a record is what its maker says; defaults are only for what was not said."""
    given = Replica(NEW.id, NEW.endpoint, NEW.revision, 0.0, Phase.RUNNING, health=Health.UNHEALTHY)

    assert (given.phase, given.health) == (Phase.RUNNING, Health.UNHEALTHY)
    assert (NEW.phase, NEW.health) == (Phase.PENDING, Health.NOT_CHECKED)


def test_the_moves_that_answers_make_are_those_that_are_written_down() -> None:
    """S31: every way from state to state, found by trying, is in the table of legal moves, and the other way round."""
    policy = ProbePolicy(success_threshold=1, failure_threshold=1, liveness_factor=1, pending_factor=1)
    found: dict[Health, set[Health]] = {health: set() for health in Health}
    for health, answer in itertools.product(Health, Answer):
        after = step(Judgement(ONE, health), answer, "", policy, deadline=False).health
        if after is not health:
            found[health].add(after)

    assert found == {health: set(moves) - {Health.NOT_CHECKED} for health, moves in HEALTH_MOVES.items()}


@pytest.mark.parametrize("health", Health)
def test_only_failed_replicas_are_given_up(health: Health) -> None:
    """S16: unchecked and unhealthy ones stay, and may recover."""

    async def scenario(world: World) -> None:
        await first(world, 3)
        view = world.view("hello")
        records = {one.id: one for side in view.sides for one in side.replicas}
        sick = min(records)
        records[sick] = dataclasses.replace(records[sick], health=health)
        revisions = {revision.id: revision for revision in view.revisions}
        draft = Draft(Snapshot(view.deployment, revisions, records), 100.0, lambda *_: ReplicaId("x"))

        replace_failed(draft)

        given_up = [one.id for one in draft.replicas.values() if one.phase is Phase.DRAINING]
        assert given_up == ([sick] if health is Health.FAILED else [])

    watched(scenario)


def test_the_cap_is_reached_by_bad_answers_as_by_no_answers() -> None:
    """S17, S5: thirty answers that say unwell end a start; nothing asks whether the last one was an exception."""
    silent = reported(NEW, running(Stage.STARTING), 10.0)
    judgement = Judgement(ONE, Health.NOT_CHECKED)
    for _ in range(30):
        judgement = step(judgement, Answer.FAILING, "status 503", ProbePolicy(), deadline=False)

    given_up = judged(silent, running(Stage.STARTING), judgement, 30.0)

    assert (given_up.phase, given_up.failed) == (Phase.DRAINING, True)
    assert "status 503" in given_up.reason


def test_failed_replicas_that_are_kept_are_not_routed_to() -> None:
    """S18: all of them look failed and no heir has shown that it does better: they stay, without one call."""

    async def scenario(world: World) -> None:
        await first(world, 3, health=EAGER)
        world.provider.script = lambda _replica, _revision: Life(runs_after=NEVER)
        for replica in world.provider.states():
            world.probe.fail(replica)
        await asyncio.sleep(120)
        failed = [one for side in world.view("hello").sides for one in side.replicas if one.health is Health.FAILED]
        assert len([one for one in failed if one.live]) == 2
        assert table_of(world) == set()

    simulate(scenario)


def test_the_only_replica_stays_ready_through_an_update_of_its_policy() -> None:
    """S19: it is in every table that is published meanwhile."""

    async def scenario(world: World) -> None:
        await first(world, 1)
        await asyncio.sleep(1)
        before = len(world.dataplane.tables)
        await world.deploy("hello", 1, termination_grace=7.0, execution_timeout=9.0)
        await asyncio.sleep(5)
        routes = [table.endpoints[0] for table in world.dataplane.tables[before:]]
        assert routes
        assert all([len(side.replicas) for side in route.sides] == [1] for route in routes)
        assert world.view("hello").ready == 1

    watched(scenario)


def test_a_failed_replica_stays_failed_through_an_update_of_its_policy() -> None:
    """S20: only its own answers make it well again."""

    async def scenario(world: World) -> None:
        await first(world, 3, health=EAGER)
        world.provider.script = lambda _replica, _revision: Life(runs_after=NEVER)
        for replica in world.provider.states():
            world.probe.fail(replica)
        await asyncio.sleep(60)
        failed = {one.id for side in world.view("hello").sides for one in side.replicas if one.health is Health.FAILED}
        await world.deploy("hello", 1, replicas=3, health=EAGER, termination_grace=7.0)
        await asyncio.sleep(1)
        still = {one.id for side in world.view("hello").sides for one in side.replicas if one.health is Health.FAILED}
        assert failed
        assert still == failed

    simulate(scenario)


def test_answers_of_an_older_life_are_ignored_wherever_they_come_from() -> None:
    """S45: a hand-shake of the process that ran before says nothing of the one that runs now."""
    again = reported(READY, running(Stage.LOADING, OTHER), 30.0)

    assert judged(again, running(Stage.LOADING, OTHER), Judgement(ONE, Health.HEALTHY), 31.0) == again


@pytest.mark.parametrize("health", [Health.UNHEALTHY, Health.FAILED])
def test_a_workers_word_does_not_overrule_its_probes(health: Health) -> None:
    """S46: it says that it is ready, as it did before; what probes found stands."""
    unwell = dataclasses.replace(READY, health=health)

    assert reported(unwell, running(Stage.READY), 30.0) == unwell


def test_a_probes_word_does_not_bring_a_draining_replica_back() -> None:
    """S46: whoever says that it is well."""
    assert judged(DRAINING, running(Stage.READY), Judgement(ONE, Health.HEALTHY), 30.0) == DRAINING


@pytest.mark.parametrize(
    "state", [Stopping(1.0), running(Stage.DRAINING), running(Stage.FAILED), Gone("evicted", exit_code=-15)]
)
def test_a_replica_that_its_provider_stops_leaves_at_once(state: Stopping | Running | Gone) -> None:
    """S42: it drains from the start of its grace, not from the end of it."""
    assert not reported(READY, state, 30.0).live


def test_a_replica_that_is_not_ready_keeps_its_place() -> None:
    """S42: unwell is no reason to forget it; another life of it begins from nothing."""
    unwell = dataclasses.replace(READY, health=Health.UNHEALTHY)
    again = reported(unwell, running(Stage.LOADING, OTHER), 30.0)

    assert reported(unwell, running(Stage.READY), 30.0).live
    assert (again.id, again.instance, again.health) == (READY.id, OTHER, Health.NOT_CHECKED)


def test_what_was_lost_while_nobody_could_look_is_found_lost() -> None:
    """S43: its provider was away, and the replica was taken away meanwhile without a word."""

    async def scenario(world: World) -> None:
        await first(world, 2)
        lost = min(world.provider.states())
        world.provider.reach(away=True)
        await asyncio.sleep(60)
        world.provider.vanish(lost)
        await asyncio.sleep(60)
        world.provider.reach(away=False)
        view = await world.ready("hello", 60)
        assert view.ready == 2
        assert len(world.provider.running()) == 2

    watched(scenario)


def test_a_failed_replica_is_announced_once() -> None:
    """S41: another leader builds its schedule anew, asks on, and tells nobody again what was told."""

    async def scenario(world: World) -> None:
        await first(world, 3, health=EAGER)
        world.provider.script = lambda _replica, _revision: Life(runs_after=NEVER)
        for replica in world.provider.states():
            world.probe.fail(replica)
        await asyncio.sleep(60)
        assert world.kinds("replica.failed") == ["replica.failed"] * 3
        world.probe.asked.clear()
        await world.restart()
        await asyncio.sleep(60)
        assert world.kinds("replica.failed") == ["replica.failed"] * 3
        assert world.probe.asked

    simulate(scenario)


def test_a_replica_that_begins_anew_has_nothing_held_against_it() -> None:
    """S53: it had failed; its next process has all its attempts before it, and one failure more is nothing."""

    async def scenario(world: World) -> None:
        await first(world, 3, health=EAGER, initial_delay=0.0)
        world.provider.script = lambda _replica, _revision: Life(runs_after=NEVER)
        for replica in world.provider.states():
            world.probe.fail(replica)
        await asyncio.sleep(60)
        one = next(
            one
            for side in world.view("hello").sides
            for one in side.replicas
            if one.live and one.health is Health.FAILED
        )
        world.provider.script = lambda _replica, _revision: Life()
        world.provider.restart_in_place(one.id)
        await world.until("hello", lambda _view: record(world, one.id).ready, 5)
        assert step(Judgement(OTHER, Health.NOT_CHECKED), Answer.FAILING, "", EAGER, deadline=False) == Judgement(
            OTHER, Health.NOT_CHECKED, failures=1, attempts=1
        )

    simulate(scenario)


def test_a_replica_that_warms_up_is_asked() -> None:
    """E42: unless it says that it is loading; one that waits, drains, or has finished is not."""
    warming = dataclasses.replace(reported(NEW, running(Stage.STARTING), 10.0), phase=Phase.WARMING_UP)

    assert can_be_asked(warming, running(Stage.STARTING), WATCH)
    assert not can_be_asked(warming, running(Stage.LOADING), WATCH)
    assert not can_be_asked(NEW, running(Stage.STARTING), WATCH)
    assert not can_be_asked(DRAINING, running(Stage.READY), WATCH)


def test_a_terminally_failed_replica_is_never_asked_again() -> None:
    """S13, S14: no network, no counting; where failure is terminal by choice."""

    async def scenario(world: World) -> None:
        await first(world, 3, health=dataclasses.replace(EAGER, failed_terminal=True))
        world.provider.script = lambda _replica, _revision: Life(runs_after=NEVER)
        for replica in world.provider.states():
            world.probe.fail(replica)
        await asyncio.sleep(60)
        world.probe.asked.clear()
        world.probe.answers.clear()
        await asyncio.sleep(600)
        assert world.probe.asked == []
        assert world.view("hello").ready == 0

    simulate(scenario)


def test_a_failed_replica_that_is_kept_recovers() -> None:
    """S15: after as many successes as anybody needs, on the same address, without being made again."""

    async def scenario(world: World) -> None:
        await first(world, 3, health=EAGER)
        world.provider.script = lambda _replica, _revision: Life(runs_after=NEVER)
        for replica in world.provider.states():
            world.probe.fail(replica)
        await asyncio.sleep(60)
        world.probe.answers.clear()
        view = await world.until("hello", lambda view: view.ready > 0, 60)
        assert {one.id for side in view.sides for one in side.replicas if one.ready} <= set(world.provider.started[:3])

    simulate(scenario)


def test_a_question_to_a_replica_that_is_gone_is_dropped() -> None:
    """S65: the answer comes when nobody is there any more; nothing is made of it."""

    class Slow:
        async def probe(self, target: ProbeTarget, timeout: float) -> Finding:
            await asyncio.sleep(3)
            return Finding(Answer.FAILING, f"{target.replica} answered after {timeout:g} s")

    async def scenario(world: World) -> None:
        world.parts.probes.made["slow"] = Slow
        await first(world, 2, probe=PartRef("slow"), health=EAGER)
        await asyncio.sleep(2)
        world.provider.kill(min(world.provider.states()))
        await world.controller.scale("hello", 1)
        await asyncio.sleep(2)
        await world.controller.undeploy("hello")
        await world.controller.wait_gone("hello", 60)
        await asyncio.sleep(10)
        assert world.controller.endpoints() == ()

    simulate(scenario)


def test_news_of_what_is_not_there_is_no_news() -> None:
    """S65: signals of an endpoint that was never deployed make nothing."""

    async def scenario(world: World) -> None:
        await first(world, 1)
        before = len(world.events)
        world.dataplane.say("stranger", in_flight=5)
        await asyncio.sleep(5)
        assert world.controller.endpoints() == ("hello",)
        assert len(world.events) == before

    watched(scenario)


def test_every_phase_has_a_way_to_its_end() -> None:
    """S40: from draining there is no way back into service."""
    assert PHASE_MOVES[Phase.DRAINING] == {Phase.TERMINATED, Phase.FAILED_TO_START}


@pytest.mark.parametrize("heard_of", [ONE, OTHER])
def test_what_was_not_ready_in_time_is_told_with_what_its_probes_found(heard_of: InstanceId) -> None:
    """S8, E44: whoever reads why the rollout failed need not ask the replica; answers of another life are not told."""

    async def scenario(world: World) -> None:
        await first(world, 1, initial_delay=30.0)
        view = world.view("hello")
        (replica,) = view.sides[0].replicas
        silent = dataclasses.replace(
            replica, phase=Phase.STARTING, health=Health.NOT_CHECKED, instance=ONE, running_since=100.0
        )
        judgement = Judgement(heard_of, Health.NOT_CHECKED, failures=4, detail="status 503")
        snapshot = Snapshot(
            view.deployment,
            {revision.id: revision for revision in view.revisions},
            {silent.id: silent},
            sightings={silent.id: running(Stage.STARTING)},
            judgements={silent.id: judgement},
        )
        early, late = (Draft(snapshot, now, lambda *_: ReplicaId("x")) for now in (129.0, 130.0))

        observe(early)
        observe(late)

        assert early.replicas[silent.id].live
        assert early.wake_at == 130.0
        assert late.replicas[silent.id].failed
        found = "; its probes found: status 503" if heard_of == ONE else ""
        assert late.replicas[silent.id].reason == f"it was not ready within 30 s of its start{found}"

    watched(scenario)
