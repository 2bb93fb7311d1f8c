"""A replica from its making to its end: made once, ended surely, and routed to only in between."""

from __future__ import annotations

import asyncio
import dataclasses
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flashcore.canonical import digest
from flashcore.control.publishing import Publisher
from flashcore.control.refusals import BeingDestroyed
from flashcore.control.sightings import Orphan
from flashcore.control.sweep import GRACE, Sweeper
from flashcore.hookspecs.providers import Hints, Instance, Running
from flashcore.model.declaration import ProbePolicy, Template, Volume
from flashcore.model.deployment import DeploymentStatus
from flashcore.model.errors import InvalidName, Unavailable
from flashcore.model.names import (
    MAX_ENDPOINT_NAME,
    EndpointName,
    InstanceId,
    ReplicaId,
    RevisionId,
    endpoint_name,
    new_replica_id,
)
from flashcore.model.parts import PartRef
from flashcore.model.revision import Revision, content_of
from flashcore.model.table import RoutingTable
from flashcore.testing.dataplane import TwinDataPlane, TwinGateway
from flashcore.testing.scenes import first, live, started, update, watched
from flashcore.testing.simulated_provider import NEVER, Life, SimulatedProvider
from flashcore.testing.simulation import World, entry, simulate
from flashcore.testing.virtual_time import VirtualTime, run_virtual
from flashcore.wire.hello import Stage

DNS_LABEL = 63


def table_of(world: World) -> set[ReplicaId]:
    """The replicas of the newest table."""
    route = world.dataplane.route("hello")
    return {one.replica for side in route.sides for one in side.replicas} if route else set()


@given(st.integers(1, MAX_ENDPOINT_NAME))
def test_a_replicas_name_has_room_for_the_longest_endpoints(length: int) -> None:
    """E10: name and suffix fit a DNS label, so that no creation is refused where it can only be tried again."""
    name = endpoint_name("x" * length)

    assert len(new_replica_id(name, RevisionId("a" * 64))) <= DNS_LABEL


def test_a_name_that_is_too_long_is_refused_before_anything_happens() -> None:
    """E10: up front, with a name that would do."""

    async def scenario(world: World) -> None:
        with pytest.raises(InvalidName, match="41 characters, 40 are allowed"):
            await world.deploy("x" * (MAX_ENDPOINT_NAME + 1))
        assert world.controller.endpoints() == ()
        assert world.provider.started == []

    watched(scenario)


@pytest.mark.parametrize("moment", ["replica.created", "rollout.started", "revision.created"])
def test_a_controller_that_dies_in_between_makes_nothing_twice(moment: str) -> None:
    """E47, M68: what was written is what is started, under the name that was written, by whoever comes next."""

    async def scenario(world: World) -> None:
        await first(world, 3)
        dying = asyncio.Event()
        world.told = lambda event: dying.set() if event.kind == moment else None
        deploying = asyncio.ensure_future(world.deploy("hello", 2, replicas=3))
        await dying.wait()
        await world.restart()
        await asyncio.gather(deploying, return_exceptions=True)
        if world.view("hello").deployment.generation == 1:
            await world.deploy("hello", 2, replicas=3)
        view = await world.ready("hello")
        assert view.ready == 3
        assert len(world.provider.started) == len(set(world.provider.started)) == 6
        assert [revision.number for revision in view.revisions] == [2, 1]

    watched(scenario)


def test_the_same_wish_twice_starts_one_process() -> None:
    """E47: a wish that was sent, and not known to have arrived, is sent again."""

    async def run() -> None:
        provider = SimulatedProvider(VirtualTime())
        wanted = entry("hello")
        revision = Revision(RevisionId("a" * 64), content_of(wanted, "3.11", {}), 1, 0.0)
        for _ in range(3):
            await provider.apply(revision, frozenset({ReplicaId("hello-aaaaaa-0001")}), Hints())
        assert len(provider.started) == 1

    run_virtual(run())


@given(st.dictionaries(st.sampled_from(["A", "B", "C"]), st.text(max_size=3)), st.integers(1, 4))
def test_revisions_have_one_name_exactly_when_they_are_the_same(env: dict[str, str], concurrency: int) -> None:
    """M67: the name is made of the content, so equal ones are adopted, and others cannot be taken for them."""
    template = Template(env=env, max_concurrency=concurrency)
    other = Template(env={**env, "D": "x"}, max_concurrency=concurrency)

    assert digest(template) == digest(Template(env=dict(sorted(env.items())), max_concurrency=concurrency))
    assert digest(template) != digest(other)


def test_a_revision_that_was_there_before_is_adopted() -> None:
    """M67: back to an earlier version is back to its revision, with its number."""

    async def scenario(world: World) -> None:
        old = await first(world, 1)
        await update(world, 2, 1)
        await world.ready("hello")
        assert await update(world, 1, 1) == old
        view = await world.ready("hello")
        assert sorted(revision.number for revision in view.revisions) == [1, 2]
        assert view.deployment.revisions_made == 2

    watched(scenario)


def test_a_cordoned_replica_exists_and_gets_no_calls() -> None:
    """E49: it is not made a second time, it goes first when there are to be fewer, and with the endpoint."""

    async def scenario(world: World) -> None:
        await first(world, 3)
        aside = sorted(world.provider.states())[1]
        await world.controller.cordon("hello", aside)
        await asyncio.sleep(60)
        assert aside not in table_of(world)
        assert live(world) == {1: 3}
        assert len(world.provider.started) == 3

        await world.controller.scale("hello", 2)
        await asyncio.sleep(5)
        assert aside not in world.provider.states()

        other = min(world.provider.states())
        await world.controller.cordon("hello", other)
        await world.controller.undeploy("hello")
        await world.controller.wait_gone("hello", 60)
        assert world.provider.states() == {}

    simulate(scenario)


def test_a_preview_exists_though_it_has_no_calls() -> None:
    """E49: a side without traffic is counted, kept, scaled and ended as any other."""

    async def scenario(world: World) -> None:
        by_hand = PartRef("blue_green", options={"auto_promote": False})
        await first(world, 3, strategy=by_hand)
        new = await update(world, 2, 3, strategy=by_hand)
        await world.until("hello", lambda view: view.status is DeploymentStatus.AWAITING_PROMOTION)
        await asyncio.sleep(60)
        assert len(started(world, new)) == 3
        await world.controller.scale("hello", 1)
        await asyncio.sleep(5)
        assert live(world) == {1: 1, 2: 1}
        await world.controller.undeploy("hello")
        await world.controller.wait_gone("hello", 60)
        assert world.provider.states() == {}

    watched(scenario)


@pytest.mark.parametrize("how", ["killed", "unwell", "cordoned"])
def test_when_the_last_replica_goes_the_table_is_empty_at_once(how: str) -> None:
    """E50, E78: the route is there, without a replica; no gateway is left with the name of one that is gone."""

    async def scenario(world: World) -> None:
        await first(world, 1, health=ProbePolicy(interval=1.0))
        await asyncio.sleep(1)
        (replica,) = table_of(world)
        world.provider.script = lambda _replica, _revision: Life(ready_after=NEVER)
        match how:
            case "killed":
                world.provider.kill(replica)
            case "unwell":
                world.probe.fail(replica)
                await world.until("hello", lambda view: view.ready == 0, 60)
            case _:
                await world.controller.cordon("hello", replica)
        await asyncio.sleep(0.05)
        assert world.dataplane.route("hello") is not None
        assert table_of(world) == set()
        assert world.dataplane.serving("hello") == frozenset()

    simulate(scenario)


def test_an_endpoint_is_known_to_gateways_before_its_replicas() -> None:
    """E74: a call that comes meanwhile is told to wait or to come back, not that there is no such endpoint."""

    async def scenario(world: World) -> None:
        world.provider.script = lambda _replica, _revision: Life(ready_after=30)
        await world.deploy("hello", 1, replicas=2)
        await asyncio.sleep(1)
        assert world.dataplane.route("hello") is not None
        assert table_of(world) == set()
        await world.ready("hello")
        await asyncio.sleep(0.1)
        with_replicas = [bool(table.endpoints and table.endpoints[0].sides) for table in world.dataplane.tables]
        assert with_replicas == sorted(with_replicas)

    watched(scenario)


def test_what_cannot_be_told_to_go_is_not_said_to_be_gone() -> None:
    """E69: its provider is away: the endpoint stays in its taking down, and that is tried until it is done."""

    async def scenario(world: World) -> None:
        await first(world, 2)
        world.provider.reach(away=True)
        await world.controller.undeploy("hello")
        await asyncio.sleep(3_600)
        assert world.view("hello").status is DeploymentStatus.DESTROYING
        world.provider.reach(away=False)
        await world.controller.wait_gone("hello", 60)
        assert world.provider.states() == {}

    watched(scenario)


def test_a_gateway_that_did_not_hear_of_the_end_hears_of_it_later() -> None:
    """E69: its replicas are not waited for longer than the cap; the table without them is there when it is back."""

    async def scenario(world: World) -> None:
        await first(world, 2)
        await asyncio.sleep(1)
        gateway = world.dataplane.twins["gateway-1"]
        gateway.delay = math.inf
        await world.controller.undeploy("hello")
        await world.controller.wait_gone("hello", 60)
        assert world.dataplane.table.endpoints == ()
        gateway.delay = 0.01
        world.dataplane.connect(gateway)
        assert gateway.table.endpoints == ()

    watched(scenario)


class Stubborn:
    """Refuses to let go of anything a few times."""

    def __init__(self, world: World, times: int) -> None:
        self.left = times
        self._apply = world.provider.apply
        world.provider.apply = self.apply  # type: ignore[method-assign]  # it stands before the world's own

    async def apply(self, revision: Revision, want: frozenset[ReplicaId], hints: Hints) -> None:
        """Fail while it is stubborn."""
        if self.left and len(want) < 3:
            self.left -= 1
            raise Unavailable("not now")
        await self._apply(revision, want, hints)


def test_letting_go_is_tried_until_it_is_done() -> None:
    """S49: a provider that fails to remove is asked again, ever more patiently."""

    async def scenario(world: World) -> None:
        await first(world, 3)
        stubborn = Stubborn(world, times=4)
        await world.controller.scale("hello", 1)
        await asyncio.sleep(120)
        assert stubborn.left == 0
        assert len(world.provider.states()) == 1

    simulate(scenario)


def test_a_ready_replica_leaves_the_traffic_first_and_then_has_its_grace() -> None:
    """S36: unselectable at once, gone five seconds after it was told."""

    async def scenario(world: World) -> None:
        world.provider.script = lambda _replica, _revision: Life(stops_after=NEVER)
        await first(world, 2, termination_grace=5.0)
        await asyncio.sleep(1)
        begun = world.clock.now()
        await world.controller.scale("hello", 1)
        await asyncio.sleep(0.05)
        assert len(world.dataplane.serving("hello")) == 1
        assert len(world.provider.states()) == 2
        await world.until("hello", lambda view: sum(side.exists for side in view.sides) == 1, 20)
        assert world.clock.now() - begun == pytest.approx(5, abs=0.5)

    watched(scenario)


@pytest.mark.parametrize("grace", [0.0, 30.0])
def test_what_serves_nobody_is_not_waited_for(grace: float) -> None:
    """S37: it failed, or has no grace; several are ended together, not one after the other."""

    async def scenario(world: World) -> None:
        world.provider.script = lambda _replica, _revision: Life(stops_after=NEVER if grace == 0 else 0.05)
        await first(world, 5, termination_grace=grace)
        await asyncio.sleep(1)
        begun = world.clock.now()
        await world.controller.scale("hello", 1)
        await world.until("hello", lambda view: sum(side.exists for side in view.sides) == 1, 20)
        assert world.clock.now() - begun < 1

    watched(scenario)


def test_a_replica_that_gets_ready_as_it_is_let_go_is_drained_all_the_same() -> None:
    """S38: the choice fell on it while it was warming up; gateways that may have heard of it are waited for."""

    async def scenario(world: World) -> None:
        world.provider.script = lambda _replica, _revision: Life(ready_after=2.0)
        world.dataplane.twins["gateway-1"].delay = 1.0
        await first(world, 1)
        await world.controller.scale("hello", 3)
        await asyncio.sleep(2.09)
        await world.controller.scale("hello", 1)
        await asyncio.sleep(10)
        assert live(world) == {1: 1}
        assert len(world.provider.states()) == 1

    watched(scenario)


def test_what_becomes_known_again_is_not_swept() -> None:
    """S33: it was marked to go while no record knew it; the record was there before its time was over."""

    async def run() -> None:
        clock = VirtualTime()
        sweeper = Sweeper(clock)
        running = Running(InstanceId("i"), Stage.READY, 0.0)
        stranger = Orphan("simulated", Instance(EndpointName("hello"), ReplicaId("r"), RevisionId("v"), running))
        assert sweeper.note("simulated", [stranger]) == clock.now() + GRACE
        await asyncio.sleep(GRACE - 1)
        assert sweeper.note("simulated", []) is None
        await asyncio.sleep(60)
        assert await sweeper.sweep({}) == []

    run_virtual(run())


def test_an_end_that_was_meant_for_an_earlier_life_spares_the_next() -> None:
    """S33, S66: another version came while the replicas of the first still end; only what was there before goes."""

    async def scenario(world: World) -> None:
        world.provider.script = lambda _replica, _revision: Life(stops_after=20)
        await first(world, 2)
        before = set(world.provider.states())
        await update(world, 2, 2)
        await world.ready("hello")
        await asyncio.sleep(0.5)
        assert before <= set(world.provider.states())
        await asyncio.sleep(60)
        view = world.view("hello")
        assert (view.ready, live(world)) == (2, {2: 2})
        assert not before & set(world.provider.states())

    watched(scenario)


def test_an_endpoint_that_comes_back_is_not_ended_with_what_went() -> None:
    """S33: deployed again as it was: refused while the first ones end, and afterwards nobody comes for the new ones."""

    async def scenario(world: World) -> None:
        world.provider.script = lambda _replica, _revision: Life(stops_after=20)
        await first(world, 2)
        await world.controller.undeploy("hello")
        await asyncio.sleep(1)
        with pytest.raises(BeingDestroyed):
            await world.deploy("hello", 1, replicas=2)
        await world.controller.wait_gone("hello", 60)
        await world.deploy("hello", 1, replicas=2)
        await world.ready("hello")
        await asyncio.sleep(600)
        assert world.view("hello").ready == len(world.provider.running()) == 2
        assert len(world.provider.started) == 4

    watched(scenario)


def test_an_undone_rollout_does_not_end_what_came_back() -> None:
    """S66: replicas of both revisions drain at the same time; each only for what it was drained for."""

    async def scenario(world: World) -> None:
        world.provider.script = lambda _replica, _revision: Life(stops_after=20)
        old = await first(world, 3)
        await update(world, 2, 3)
        await world.until("hello", lambda view: any(side.number == 2 and side.ready for side in view.sides))
        await asyncio.sleep(1)
        await world.controller.undo("hello")
        view = await world.settled("hello")
        await asyncio.sleep(60)
        assert view.stable == old
        assert live(world) == {1: 3}
        assert len(world.provider.running()) == 3

    watched(scenario)


def test_a_route_names_the_life_that_is_meant() -> None:
    """E56: an address that another process has now is not enough; a process started again is another instance."""

    async def scenario(world: World) -> None:
        await first(world, 1)
        await asyncio.sleep(1)
        (before,) = [one for side in world.dataplane.table.endpoints[0].sides for one in side.replicas]
        world.provider.restart_in_place(before.replica)
        await world.until("hello", lambda view: view.ready == 0, 5)
        await world.ready("hello")
        await asyncio.sleep(1)
        (after,) = [one for side in world.dataplane.table.endpoints[0].sides for one in side.replicas]
        assert (after.replica, after.address) == (before.replica, before.address)
        assert after.instance != before.instance

    watched(scenario)


def test_the_tables_of_an_older_leader_are_older() -> None:
    """E56, E68: whatever a frozen leader still publishes, gateways that heard of the next one keep that one's."""

    async def run() -> None:
        clock = VirtualTime()
        gateway = TwinGateway("gateway-1")
        dataplane = TwinDataPlane([gateway])
        older, newer = Publisher(dataplane, clock, epoch=1), Publisher(dataplane, clock, epoch=2)
        await dataplane.publish(newer.table)
        for _ in range(1000):
            older.put(EndpointName("hello"), None)
        await dataplane.publish(RoutingTable(older.table.version + 10_000))
        await asyncio.sleep(1)
        assert gateway.table == newer.table

    run_virtual(run())


def test_what_a_replica_mounts_comes_back_with_its_revision() -> None:
    """E41: volumes and whatever a newer version declared are kept whole, through the store and an undo."""
    volumes = (Volume("/data/models", "/models", read_only=True), Volume("vol-1", "/models/cache"))

    async def scenario(world: World) -> None:
        wanted = entry("hello", 1)
        template = dataclasses.replace(wanted.template, volumes=volumes, extra={"subpath": "a/b"})
        await world.deploy_entry(dataclasses.replace(wanted, template=template))
        await world.ready("hello")
        old = world.view("hello").stable
        await update(world, 2, 1)
        await world.ready("hello")
        await world.restart()
        await world.controller.undo("hello")
        view = await world.ready("hello")
        (kept,) = [revision for revision in view.revisions if revision.id == view.stable]
        assert view.stable == old
        assert kept.content.template.volumes == volumes
        assert kept.content.template.extra == {"subpath": "a/b"}

    watched(scenario)
