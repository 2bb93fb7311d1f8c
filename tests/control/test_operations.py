"""What people ask of the control plane: idempotent, refused by type, all or nothing."""

import asyncio
import dataclasses
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from flashcore.control.refusals import BeingDestroyed, NoRollout, NothingToPromote, NothingToUndo
from flashcore.hookspecs.state import StateBackend
from flashcore.model.declaration import Policy, Template
from flashcore.model.deployment import DeploymentStatus, RolloutState
from flashcore.model.errors import (
    ConfigurationError,
    InvalidDeclaration,
    InvalidName,
    NotFound,
    PluginError,
    Refused,
    StorageFull,
    UnknownPart,
    UsageError,
)
from flashcore.model.manifest import EndpointEntry, Manifest
from flashcore.model.names import Digest, EndpointName
from flashcore.model.parts import PartRef
from flashcore.testing.scenes import first, live, started, update, watched
from flashcore.testing.simulated_provider import NEVER, Life, by_revision
from flashcore.testing.simulation import SCOPE, World, entry, simulate
from flashcore.testing.unreliable_store import UnreliableStore


def test_m66_the_same_again_makes_no_revision_and_no_rollout() -> None:
    """M66: nothing is written at all."""

    async def scenario(world: World) -> None:
        await first(world, 2)
        before = len(world.events)
        await world.deploy("hello", 1, replicas=2)
        await asyncio.sleep(5)
        assert len(world.events) == before
        assert len(world.view("hello").revisions) == 1

    watched(scenario)


def test_the_same_again_ends_the_wait_of_what_keeps_failing() -> None:
    """What was missing may be there now: an artifact, a package, a GPU."""

    async def scenario(world: World) -> None:
        await first(world, 2)
        world.provider.script = lambda _replica, _revision: Life(ends_after=0.1, permanent=True)
        world.provider.kill(min(world.provider.states()))
        await world.until("hello", lambda view: view.status is DeploymentStatus.DEGRADED)
        await asyncio.sleep(30)
        assert len(world.provider.started) == 3
        world.provider.script = lambda _replica, _revision: Life()
        await world.deploy("hello", 1, replicas=2)
        await world.until("hello", lambda view: view.status is DeploymentStatus.READY, 5)

    watched(scenario)


def test_the_same_again_in_mid_rollout_changes_nothing() -> None:
    """The rollout goes on with its generation."""

    async def scenario(world: World) -> None:
        await first(world, 3)
        await update(world, 2, 3)
        await update(world, 2, 3)
        view = await world.ready("hello")
        assert view.deployment.generation == 2

    watched(scenario)


def test_another_policy_is_applied_in_place() -> None:
    """M62, M63: no replica is touched, no revision made."""

    async def scenario(world: World) -> None:
        await first(world, 2)
        await world.deploy("hello", 1, replicas=2, termination_grace=7.0)
        view = world.view("hello")
        assert view.deployment.policy.termination_grace == 7.0
        assert len(view.revisions) == 1
        assert len(world.provider.started) == 2
        assert world.kinds("deployment.policy") == ["deployment.policy"]

    watched(scenario)


def test_other_bounds_are_another_goal() -> None:
    """E70: what is outside of them is corrected."""

    async def scenario(world: World) -> None:
        await first(world, 2)
        await world.deploy("hello", 1, replicas=4)
        view = await world.until("hello", lambda view: view.ready == 4)
        assert view.goal == 4

    watched(scenario)


def test_e72_a_persons_number_holds() -> None:
    """E72: over a deploy of another version, too."""

    async def scenario(world: World) -> None:
        await first(world, 2)
        await world.controller.scale("hello", 5)
        await update(world, 2, 2)
        view = await world.ready("hello")
        assert (view.goal, view.goal_by, view.ready) == (5, "person", 5)
        await world.controller.scale_by_policy("hello")
        view = await world.until("hello", lambda view: view.ready == 2)
        assert (view.goal, view.goal_by) == (2, "policy")

    watched(scenario)


def test_a_number_of_replicas_that_cannot_be_meant_is_refused() -> None:
    """And changes nothing."""

    async def scenario(world: World) -> None:
        await first(world, 1)
        for count in (-1, 10_001):
            with pytest.raises(UsageError):
                await world.controller.scale("hello", count)
        assert world.view("hello").goal == 1

    watched(scenario)


def test_what_is_not_there_is_not_found() -> None:
    """With the names of what is."""

    async def scenario(world: World) -> None:
        await first(world, 1)
        for operation in (world.controller.undeploy, world.controller.promote, world.controller.abort):
            with pytest.raises(NotFound, match="deployed: hello"):
                await operation("hallo")
        with pytest.raises(NotFound):
            world.controller.view("hallo")

    watched(scenario)


def test_while_it_is_taken_down_an_endpoint_accepts_nothing() -> None:
    """By type, until it is gone; then the name is free again."""

    async def scenario(world: World) -> None:
        world.provider.script = lambda _replica, _revision: Life(stops_after=20)
        await first(world, 2)
        await world.controller.undeploy("hello")
        await world.controller.undeploy("hello")
        with pytest.raises(BeingDestroyed):
            await world.deploy("hello", 2, replicas=2)
        with pytest.raises(BeingDestroyed):
            await world.controller.scale("hello", 3)
        await world.controller.wait_gone("hello", 60)
        await world.deploy("hello", 2, replicas=2)
        assert (await world.ready("hello")).ready == 2

    watched(scenario)


def test_e55_an_endpoint_that_is_taken_down_in_mid_rollout_gets_no_replica_more() -> None:
    """E55: neither of the old side nor of the new one."""

    async def scenario(world: World) -> None:
        await first(world, 4)
        await update(world, 2, 4)
        await asyncio.sleep(0.8)
        before = len(world.provider.started)
        await world.controller.undeploy("hello")
        await world.controller.wait_gone("hello", 60)
        assert len(world.provider.started) == before
        assert world.provider.states() == {}

    watched(scenario)


def test_taking_down_all_leaves_nothing() -> None:
    """Of several endpoints, one of them broken."""

    async def scenario(world: World) -> None:
        for name in ("one", "two", "three"):
            await world.deploy(name, 1, replicas=2)
        world.provider.script = lambda _replica, _revision: Life(fails_after=0.1, ready_after=NEVER)
        await world.deploy("four", 1)
        await asyncio.sleep(10)
        await world.controller.undeploy_all()
        for name in ("one", "two", "three", "four"):
            await world.controller.wait_gone(name, 60)
        assert world.provider.states() == {}
        assert (await world.backend.read(f"{SCOPE.prefix}records/")).entries == ()

    watched(scenario)


def test_the_grace_of_taking_down_reaches_the_provider() -> None:
    """0 for those in a hurry."""

    async def scenario(world: World) -> None:
        world.provider.script = lambda _replica, _revision: Life(stops_after=3600)
        await first(world, 1)
        await world.controller.undeploy("hello", grace=0.0)
        await world.controller.wait_gone("hello", 10)

    watched(scenario)


def test_revisions_that_were_stable_are_kept_as_far_as_the_policy_says() -> None:
    """The oldest goes first, what runs never."""

    async def scenario(world: World) -> None:
        for version in range(1, 6):
            await world.deploy("hello", version, replicas=1, revision_history=2)
            await world.ready("hello")
        await asyncio.sleep(5)
        view = world.view("hello")
        assert [revision.number for revision in view.revisions] == [5, 4, 3]
        assert len(view.deployment.history) == 2

    watched(scenario)


def test_numbers_of_revisions_are_never_given_twice() -> None:
    """Also when the newest one failed and was forgotten."""

    async def scenario(world: World) -> None:
        old = await first(world, 1)
        world.provider.script = by_revision({old: Life()}, Life(ends_after=0.1, permanent=True))
        await update(world, 2, 1)
        await world.settled("hello")
        world.provider.script = lambda _replica, _revision: Life()
        await update(world, 3, 1)
        view = await world.ready("hello")
        assert [revision.number for revision in view.revisions] == [3, 1]

    watched(scenario)


def test_promoting_what_does_not_wait_is_refused_by_type() -> None:
    """E26: and so is aborting, pausing and resuming where there is no rollout."""

    async def scenario(world: World) -> None:
        await first(world, 1)
        with pytest.raises(NothingToPromote):
            await world.controller.promote("hello")
        for operation in (world.controller.abort, world.controller.pause, world.controller.resume):
            with pytest.raises(NoRollout):
                await operation("hello")

    watched(scenario)


def test_a_first_deployment_has_nothing_to_go_back_to() -> None:
    """Aborting and pausing it are refused, with what can be done instead."""

    async def scenario(world: World) -> None:
        world.provider.script = lambda _replica, _revision: Life(ready_after=60)
        await world.deploy("hello", 1)
        with pytest.raises(Refused, match="nothing to go back to"):
            await world.controller.abort("hello")
        with pytest.raises(Refused, match="cannot be paused"):
            await world.controller.pause("hello")

    watched(scenario)


def test_a_paused_rollout_stays_where_it_is_and_goes_on() -> None:
    """For hours, while users are served and what dies is replaced by what is known to work."""

    async def scenario(world: World) -> None:
        old = await first(world, 4, progress_deadline=300.0)
        await update(world, 2, 4, progress_deadline=300.0)
        await world.until("hello", lambda view: any(side.number == 2 and side.ready for side in view.sides))
        await world.controller.pause("hello")
        await asyncio.sleep(5)
        paused = live(world)
        await asyncio.sleep(3 * 3600)
        assert live(world) == paused
        assert world.view("hello").status is DeploymentStatus.PAUSED
        before = len(started(world, old))
        world.provider.kill(next(one for one in sorted(world.provider.states()) if old[:6] in one))
        await asyncio.sleep(5)
        assert world.view("hello").ready >= 3
        assert len(started(world, old)) <= before + 1
        await world.controller.resume("hello")
        view = await world.ready("hello", 600)
        assert view.ready == 4

    watched(scenario)


def test_m24_a_paused_rollout_follows_another_goal() -> None:
    """M24: at the same step."""

    async def scenario(world: World) -> None:
        await first(world, 4)
        await update(world, 2, 4)
        await world.until("hello", lambda view: any(side.number == 2 and side.ready for side in view.sides))
        await world.controller.pause("hello")
        await asyncio.sleep(2)
        for count in (8, 2, 4):
            await world.controller.scale("hello", count)
            await asyncio.sleep(10)
            view = world.view("hello")
            assert view.rollout is not None
            assert view.rollout.state is RolloutState.PAUSED
            assert view.ready >= count
            assert view.ready <= count + max(1, count // 4) + 1
        await world.controller.resume("hello")
        await world.ready("hello")

    watched(scenario)


def test_undo_goes_back_to_the_revision_before() -> None:
    """And forward again; or to any that is kept, by the start of its name."""

    async def scenario(world: World) -> None:
        one = await first(world, 2)
        two = await update(world, 2, 2)
        await world.ready("hello")
        await world.controller.undo("hello")
        assert (await world.ready("hello")).stable == one
        await world.controller.undo("hello")
        assert (await world.ready("hello")).stable == two
        await world.controller.undo("hello", one[:8])
        assert (await world.ready("hello")).stable == one
        await world.controller.undo("hello", one)
        assert world.view("hello").settled
        for unknown in ("ffffff", ""):
            with pytest.raises(NotFound, match="kept: "):
                await world.controller.undo("hello", unknown)

    watched(scenario)


def test_undo_of_a_rollout_under_way_takes_it_back() -> None:
    """It is an abort."""

    async def scenario(world: World) -> None:
        one = await first(world, 3)
        with pytest.raises(NothingToUndo):
            await world.controller.undo("hello")
        await update(world, 2, 3)
        await asyncio.sleep(0.8)
        await world.controller.undo("hello")
        view = await world.settled("hello")
        assert view.stable == one
        assert view.rollout is not None
        assert view.rollout.state is RolloutState.ABORTED

    watched(scenario)


def test_held_traffic_waits_at_the_gateways() -> None:
    """Until it is released; asking twice is asking once."""

    async def scenario(world: World) -> None:
        await first(world, 1)

        async def held() -> bool:
            await asyncio.sleep(0.1)
            route = world.dataplane.route("hello")
            return route is not None and route.held

        await world.controller.hold_traffic("hello")
        await world.controller.hold_traffic("hello")
        assert await held()
        await world.controller.release_traffic("hello")
        assert not await held()
        assert world.kinds("deployment.held") == ["deployment.held"]

    watched(scenario)


BAD: dict[str, tuple[Callable[[World], Awaitable[None]], type[Exception]]] = {
    "name": (lambda world: deploy(world, name=EndpointName("api")), InvalidName),
    "bounds": (lambda world: deploy(world, policy={"termination_grace": -1.0}), InvalidDeclaration),
    "strategy": (lambda world: deploy(world, policy={"strategy": PartRef("teleport")}), UnknownPart),
    "gate": (lambda world: deploy(world, policy={"gates": {"promotion": (PartRef("oracle"),)}}), UnknownPart),
    "probe": (lambda world: deploy(world, policy={"probe": PartRef("sonar")}), UnknownPart),
    "scaler": (lambda world: deploy(world, policy={"scaler": PartRef("moon")}), UnknownPart),
    "resource": (lambda world: deploy(world, resource="teapot"), UnknownPart),
    "provider": (lambda world: deploy(world, provider=PartRef("moon")), ConfigurationError),
}


async def deploy(
    world: World,
    name: EndpointName | None = None,
    policy: dict[str, Any] | None = None,
    resource: str = "queue",
    provider: PartRef | None = None,
) -> None:
    """Two endpoints, the second with something wrong."""
    good, bad = entry("good"), entry("bad", **(policy or {}))
    bad = dataclasses.replace(
        bad,
        name=name or bad.name,
        resource=resource,
        template=dataclasses.replace(bad.template, provider=provider),
    )
    await world.controller.deploy(Manifest("simulated", (good, bad), "0", "3.11"))


@pytest.mark.parametrize("what", BAD)
def test_a_manifest_with_one_bad_endpoint_is_refused_whole(what: str) -> None:
    """E40, S64: nothing of it is deployed, nothing is written."""
    attempt, error = BAD[what]

    async def scenario(world: World) -> None:
        with pytest.raises(error):
            await attempt(world)
        assert world.controller.endpoints() == ()
        assert world.events == []

    simulate(scenario)


def test_an_artifact_that_is_not_there_is_refused() -> None:
    """Rather than failing in every replica."""

    async def scenario(world: World) -> None:
        async def nothing(digest: Digest) -> bool:
            return False

        world.controller._deployer.artifacts.has = nothing  # type: ignore[method-assign]  # noqa: SLF001  # a store that has lost everything
        with pytest.raises(NotFound, match="is not in the artifact store"):
            await world.deploy("hello")

    simulate(scenario)


def test_a_plugin_that_amends_the_environment_makes_another_revision() -> None:
    """Its result is part of what runs; what it raises stops the deploy."""

    async def scenario(world: World) -> None:
        await first(world, 1)
        object.__setattr__(world.controller._deployer, "amend_env", lambda _content, env: {**env, "ADDED": "1"})  # noqa: SLF001  # a plugin that was installed meanwhile
        await update(world, 1, 1)
        view = await world.ready("hello")
        assert [revision.content.env for revision in view.revisions] == [
            {"VERSION": "1", "ADDED": "1"},
            {"VERSION": "1"},
        ]

    simulate(scenario)


def test_a_full_disk_refuses_a_deploy_and_keeps_what_runs() -> None:
    """And everything goes on when there is room again."""
    disks: list[UnreliableStore] = []

    def store(backend: StateBackend) -> StateBackend:
        disks.append(UnreliableStore(backend))
        return disks[0]

    async def scenario(world: World) -> None:
        await first(world, 2)
        disks[0].full = True
        with pytest.raises(StorageFull):
            await update(world, 2, 2)
        await asyncio.sleep(60)
        assert live(world) == {1: 2}
        assert world.view("hello").status is DeploymentStatus.READY
        world.provider.kill(min(world.provider.states()))
        await asyncio.sleep(60)
        disks[0].full = False
        await world.until("hello", lambda view: view.ready == 2 and len(world.provider.started) == 3, 120)
        assert not world.controller.lost.done()

    simulate(scenario, store=store)


def test_defaults_of_a_policy_are_sound() -> None:
    """A policy that nobody touched deploys."""
    assert Policy().replicas.minimum == 1
    assert issubclass(PluginError, Exception)


def test_more_replicas_than_there_is_room_for_are_refused_to_who_does_not_insist() -> None:
    """The provider knows its machine, and says so with numbers; fewer than are wanted now are no question."""

    async def scenario(world: World) -> None:
        await world.deploy("hello", replicas=5)
        await world.settled("hello")
        world.provider.places = 3

        world.controller.require_room("hello", 4)
        with pytest.raises(Refused, match="hello: 9 replicas need 9 places, and there are 3") as refused:
            world.controller.require_room("hello", 9)

        assert "--force" in (refused.value.next_step or "")

    simulate(scenario)


def manifest(*entries: EndpointEntry) -> Manifest:
    """A manifest of these."""
    return Manifest("simulated", entries, "0", "3.11")


def test_what_can_never_be_placed_is_refused_at_its_deploy() -> None:
    """With all that there is no room for; also an endpoint that begins with no replica is to have one some time."""

    async def scenario(world: World) -> None:
        world.provider.places = 3
        world.controller.require_room_for(manifest(entry("fits", replicas=3), entry("also", replicas=2)))
        many = manifest(entry("fits", replicas=3), entry("huge", replicas=4), entry("vast", replicas=9))
        with pytest.raises(Refused) as refused:
            world.controller.require_room_for(many)
        world.controller.require_room_for(many, ["fits"])

        assert refused.value.message == (
            "endpoint 'huge': 4 replicas need 4 places, and there are 3; "
            "endpoint 'vast': 9 replicas need 9 places, and there are 3"
        )
        assert "--force" in (refused.value.next_step or "")
        world.provider.places = 0
        with pytest.raises(Refused, match="1 replicas need 1 places"):
            world.controller.require_room_for(manifest(entry("sleeping", replicas=0)))

    simulate(scenario)


def test_what_somebody_insisted_on_can_be_deployed_again() -> None:
    """It wants no more than before; one that needs more is asked about again."""

    async def scenario(world: World) -> None:
        await world.deploy("hello", replicas=5)
        await world.settled("hello")
        world.provider.places = 3
        world.controller.require_room_for(manifest(entry("hello", replicas=5)))
        larger = dataclasses.replace(entry("hello", replicas=5), template=Template(cpu=2.0))
        for more in (entry("hello", replicas=6), larger):
            with pytest.raises(Refused):
                world.controller.require_room_for(manifest(more))

    simulate(scenario)
