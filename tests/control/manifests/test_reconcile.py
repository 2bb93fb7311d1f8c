"""Manifests made true by the real controller, in virtual time."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flashcore.control.kinds import KINDS
from flashcore.control.manifests.naming import PREFIX_VARIABLE, renamed
from flashcore.control.manifests.plan import Action, Step
from flashcore.control.manifests.reconcile import FIRST_RETRY, Keeper, Reconciler
from flashcore.control.store import Ledger, LostLeadership
from flashcore.model.deployment import DeploymentStatus
from flashcore.model.errors import InvalidName
from flashcore.model.manifest import EndpointEntry, Manifest
from flashcore.model.names import EndpointName
from flashcore.model.parts import PartRef
from flashcore.testing.simulated_provider import Life
from flashcore.testing.simulation import SCOPE, World, entry, simulate


def manifest(*entries: EndpointEntry) -> Manifest:
    """A manifest of these."""
    return Manifest("simulated", tuple(sorted(entries, key=lambda one: one.name)), "0", "3.11")


def reconciler(world: World, keeper: Keeper | None = None) -> Reconciler:
    """One that begins with what the store has."""
    return Reconciler(world.controller, world.ledger, world.leadership, keeper or Keeper())


def actions(steps: tuple[Step, ...]) -> dict[str, str]:
    """What was done, by name."""
    return {step.endpoint: step.action.value for step in steps}


def test_new_is_deployed_changed_rolled_removed_drained_and_same_left_alone() -> None:
    """B50: removal goes by what the store remembers, also after a restart; what others deployed stays."""

    async def scenario(world: World) -> None:
        await world.deploy("by-hand")
        one = reconciler(world)
        steps = await one.reconcile(manifest(entry("a"), entry("b"), entry("c")))
        assert actions(steps) == {"a": "new", "b": "new", "c": "new"}
        for name in "abc":
            await world.ready(name)
        await world.restart()
        again = reconciler(world)
        generation = world.view("b").deployment.generation

        steps = await again.reconcile(manifest(entry("a", 2), entry("b")))

        assert actions(steps) == {"a": "changed", "b": "unchanged", "c": "removed"}
        await world.ready("a")
        await world.controller.wait_gone("c", 600)
        assert actions(await again.reconcile(manifest(entry("a", 2), entry("b"))))["c"] == "gone"
        assert world.view("b").deployment.generation == generation
        assert world.controller.endpoints() == ("a", "b", "by-hand")
        assert set(again.records) == {"a", "b"}

    simulate(scenario)


def test_a_pass_that_finds_everything_as_it_should_be_writes_nothing() -> None:
    """B50: a fixed point."""

    async def scenario(world: World) -> None:
        one, wanted = reconciler(world), manifest(entry("a"), entry("b"))
        for _ in range(2):
            await one.reconcile(wanted)
            for name in "ab":
                await world.ready(name)
        before = (await world.backend.read("")).revision
        assert actions(await one.reconcile(wanted)) == {"a": "unchanged", "b": "unchanged"}
        assert (await world.backend.read("")).revision == before
        assert {record.good for record in one.records.values()} == {record.applied for record in one.records.values()}

    simulate(scenario)


def test_what_cannot_be_deployed_leaves_the_others_to_finish_and_is_tried_again() -> None:
    """B51: it is on record with its error, and the record of the last good one is not overwritten."""

    async def scenario(world: World) -> None:
        one = reconciler(world)
        await one.reconcile(manifest(entry("a"), entry("b")))
        await world.ready("a")
        await one.reconcile(manifest(entry("a"), entry("b")))
        good = one.records[EndpointName("a")].good
        bad = manifest(entry("a", 2, strategy=PartRef("missing")), entry("b", 2))

        await one.reconcile(bad)

        await world.ready("b")
        record = one.records[EndpointName("a")]
        assert record.failure is not None
        assert "missing" in record.failure.message
        assert (record.good, record.applied, record.failure.attempts) == (good, good, 1)
        assert actions(await one.reconcile(bad)) == {"a": "waiting", "b": "unchanged"}
        await asyncio.sleep(FIRST_RETRY)
        assert actions(await one.reconcile(bad))["a"] == "again"
        failure = one.records[EndpointName("a")].failure
        assert failure is not None
        assert failure.attempts == 2
        assert world.view("a").ready == 1

    simulate(scenario)


def test_a_rollout_that_fails_is_on_record_and_tried_again_until_it_comes_up() -> None:
    """B51: the old revision serves meanwhile."""

    async def scenario(world: World) -> None:
        one, name = reconciler(world), EndpointName("a")
        await one.reconcile(manifest(entry("a")))
        await world.ready("a")
        await one.reconcile(manifest(entry("a")))
        good = one.records[name].good
        old = world.view("a").stable
        world.provider.script = lambda _replica, revision: Life() if revision == old else Life(ends_after=0.1)
        wanted = manifest(entry("a", 2, progress_deadline=60.0))

        await one.reconcile(wanted)
        await world.settled("a")
        await one.reconcile(wanted)

        failure = one.records[name].failure
        assert failure is not None
        assert failure.code == "rollout_failed"
        assert one.records[name].good == good
        assert world.view("a").stable == old
        world.provider.script = lambda _replica, _revision: Life()
        await asyncio.sleep(FIRST_RETRY)
        assert actions(await one.reconcile(wanted)) == {"a": "again"}
        await world.ready("a")
        await one.reconcile(wanted)
        assert (one.records[name].good, one.records[name].failure) == (one.records[name].applied, None)
        assert one.records[name].good != good

    simulate(scenario)


def test_only_the_control_plane_that_leads_reconciles() -> None:
    """B52: the other one cannot write a record, and deploys nothing."""

    async def scenario(world: World) -> None:
        late = reconciler(world)
        await world.restart()
        await reconciler(world).reconcile(manifest(entry("a")))

        with pytest.raises(LostLeadership):
            await late.reconcile(manifest(entry("b")))

        assert world.controller.endpoints() == ("a",)

    simulate(scenario)


def test_whoever_boots_second_waits_until_it_leads() -> None:
    """B52: a lease decides between two control planes of one store."""

    async def scenario(world: World) -> None:
        other = Ledger(world.backend, SCOPE, KINDS)
        waiting = asyncio.create_task(other.campaign("second", 30.0))
        await asyncio.sleep(10)
        assert not waiting.done()
        await world.controller.close()
        await asyncio.sleep(120)
        assert waiting.done()

    simulate(scenario)


def test_the_reconciler_never_provisions_itself() -> None:
    """B53: neither deployed nor removed, whatever the manifest says."""

    async def scenario(world: World) -> None:
        await world.deploy("control")
        before = world.view("control").deployment
        one = reconciler(world, Keeper(spared=frozenset({EndpointName("control")})))
        await one.reconcile(manifest(entry("control", 2), entry("a")))
        await one.reconcile(manifest())
        assert world.view("control").deployment.policy == before.policy
        assert world.view("control").deployment.generation == before.generation
        assert EndpointName("control") not in one.records

    simulate(scenario)


def test_what_the_provider_does_not_confirm_stays_on_record() -> None:
    """B56: a removal whose answer is an error is not taken for done."""

    async def scenario(world: World) -> None:
        one = reconciler(world)
        await one.reconcile(manifest(entry("a")))
        await world.ready("a")
        world.provider.reach(away=True)
        await one.reconcile(manifest())
        await asyncio.sleep(300)
        assert actions(await one.reconcile(manifest())) == {"a": "waiting"}
        assert one.records[EndpointName("a")].leaving
        assert world.view("a").status is DeploymentStatus.DESTROYING
        world.provider.reach(away=False)
        await world.controller.wait_gone("a", 600)
        assert actions(await one.reconcile(manifest())) == {"a": "gone"}
        assert not one.records

    simulate(scenario)


def test_a_replica_that_is_ill_never_leads_to_a_second_deployment() -> None:
    """B57: how well something is plays no part in what is deployed."""

    async def scenario(world: World) -> None:
        one, wanted = reconciler(world), manifest(entry("a", replicas=2))
        await one.reconcile(wanted)
        await world.ready("a")
        generation, made = world.view("a").deployment.generation, len(world.view("a").revisions)
        world.probe.fail(min(world.provider.states()))
        for _ in range(20):
            await asyncio.sleep(3)
            assert set(actions(await one.reconcile(wanted)).values()) == {"unchanged"}
        assert (world.view("a").deployment.generation, len(world.view("a").revisions)) == (generation, made)
        assert world.controller.endpoints() == ("a",)

    simulate(scenario)


def test_what_was_taken_down_by_hand_is_put_back_and_what_was_changed_by_hand_is_told() -> None:
    """Drift: an undeployed endpoint comes back; a person's `undo` stands until the manifest changes."""

    async def scenario(world: World) -> None:
        one = reconciler(world)
        for version in (1, 2):
            await one.reconcile(manifest(entry("a", version), entry("b")))
            await world.ready("a")
        await world.ready("b")
        await world.controller.undo("a")
        await world.controller.undeploy("b")
        await world.ready("a")
        await world.controller.wait_gone("b", 600)

        assert actions(await one.reconcile(manifest(entry("a", 2), entry("b")))) == {"a": "unchanged", "b": "missing"}
        assert list(one.drifted()) == ["a"]
        await one.reconcile(manifest(entry("a", 3), entry("b")))
        assert list(one.drifted()) == []

    simulate(scenario)


def test_going_back_to_what_was_good_in_the_middle_of_a_rollout_is_no_drift() -> None:
    """The rollout is taken back, and what is on record is what is meant."""

    async def scenario(world: World) -> None:
        one, name = reconciler(world), EndpointName("a")
        await one.reconcile(manifest(entry("a", replicas=3)))
        await world.ready("a")
        good = world.view("a").stable
        await one.reconcile(manifest(entry("a", 2, replicas=3)))
        await asyncio.sleep(0.5)
        await one.reconcile(manifest(entry("a", replicas=3)))
        assert one.records[name].revision == good
        assert list(one.drifted()) == []
        await world.ready("a")
        await one.reconcile(manifest(entry("a", replicas=3)))
        assert world.view("a").stable == good
        assert one.records[name].good == one.records[name].applied

    simulate(scenario)


def test_a_test_uses_names_of_its_own_and_touches_nothing_that_is_real() -> None:
    """B58: the real endpoints stay as they are, and nothing of the test is left when it ends."""

    async def scenario(world: World) -> None:
        real, test = reconciler(world), reconciler(world, Keeper(temporary=True))
        await real.reconcile(manifest(entry("a"), entry("b")))
        for name in "ab":
            await world.ready(name)
        before = {name: world.view(name).deployment.generation for name in "ab"}
        trial = renamed(manifest(entry("a", 2), entry("c")), "test-")

        await test.reconcile(trial)

        await world.ready("test-a")
        assert world.view("test-a").revisions[0].content.env[PREFIX_VARIABLE] == "test-"
        await real.reconcile(manifest(entry("a"), entry("b")))
        assert set(world.controller.endpoints()) == {"a", "b", "test-a", "test-c"}
        await test.remove_all()
        for name in ("test-a", "test-c"):
            await world.controller.wait_gone(name, 600)
        await test.remove_all()
        assert not test.records
        assert {name: world.view(name).deployment.generation for name in "ab"} == before

    simulate(scenario)


def test_what_a_test_left_in_a_crash_is_removed_by_the_next_control_plane() -> None:
    """B58: by the record alone; the manifest of the test is not needed."""

    async def scenario(world: World) -> None:
        await reconciler(world).reconcile(manifest(entry("a")))
        await reconciler(world, Keeper(temporary=True)).reconcile(renamed(manifest(entry("a")), "test-"))
        await world.restart()

        await reconciler(world, Keeper(temporary=True)).remove_all()

        await world.controller.wait_gone("test-a", 600)
        await world.ready("a")

    simulate(scenario)


def test_a_test_takes_over_nothing_that_is_deployed_already() -> None:
    """B58: whose name is taken is refused; a name that gets too long, too."""

    async def scenario(world: World) -> None:
        await world.deploy("test-a")
        generation = world.view("test-a").deployment.generation
        test = reconciler(world, Keeper(temporary=True))
        await test.reconcile(renamed(manifest(entry("a", 2)), "test-"))
        await test.remove_all()
        assert world.view("test-a").deployment.generation == generation
        assert world.view("test-a").status is not DeploymentStatus.DESTROYING

    simulate(scenario)
    with pytest.raises(InvalidName):
        renamed(manifest(entry("a" * 38)), "test-")


versions = st.dictionaries(st.sampled_from("abc"), st.integers(1, 2))


@settings(max_examples=25)
@given(versions, versions)
def test_any_two_manifests_come_true_one_after_the_other(before: Mapping[str, int], after: Mapping[str, int]) -> None:
    """B50: what is the same in both is not touched, and in the end nothing else is deployed."""

    async def scenario(world: World) -> None:
        one = reconciler(world)
        for wanted in (before, after):
            made = manifest(*(entry(name, version) for name, version in wanted.items()))
            generations = {str(view.endpoint): view.deployment.generation for view in world.controller.views()}
            steps = actions(await one.reconcile(made))
            for name in wanted:
                await world.ready(name)
            for name in set(world.controller.endpoints()) - wanted.keys():
                await world.controller.wait_gone(name, 600)
            await one.reconcile(made)
            assert set(actions(await one.reconcile(made)).values()) <= {Action.LEAVE.value}
            assert set(world.controller.endpoints()) == set(wanted)
            for name, version in wanted.items():
                if before.get(name) == after.get(name) and name in generations:
                    assert (steps[name], world.view(name).deployment.generation) == ("unchanged", generations[name])
                assert world.view(name).revisions[0].content.env["VERSION"] == str(version)

    simulate(scenario)
