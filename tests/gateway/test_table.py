"""Taking over routing tables: all or nothing, with reasons, and kept for the next start."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.gateway.conftest import LeastBusy, Policies, gateway_at, http_route, jobs_route, side

from flashcore.gateway.routes import Share, jobs_routing
from flashcore.gateway.settings import Settings
from flashcore.gateway.table import LiveTable, TableRefused
from flashcore.gateway.tablefile import TableFile, kept_table
from flashcore.hookspecs.jobs import ALL_LANES, lane_share, remaining_lanes
from flashcore.model.codec import to_json
from flashcore.model.layout import Layout
from flashcore.model.names import InstanceId, ReplicaId, RevisionId
from flashcore.model.parts import PartRef
from flashcore.model.table import EndpointRoute, ReplicaRoute, RoutingTable, SideRoute


def replica(name: str, address: str | None = "unix:/r.sock", instance: str = "i1") -> ReplicaRoute:
    """A replica's route."""
    return ReplicaRoute(ReplicaId(name), InstanceId(instance), address, 1)


@pytest.fixture
async def live() -> LiveTable:
    """Routes that nobody serves by yet."""
    return LiveTable(Policies(), asyncio.get_running_loop(), Settings(), lambda _: None)


def keep(layout: Layout, table: RoutingTable) -> None:
    """Write a table down for the next start."""
    TableFile(layout.table_file, layout.table_changes_file).keep(table)


def kept(layout: Layout) -> RoutingTable | None:
    """What the next start finds."""
    return kept_table(layout.table_file, layout.table_changes_file)


REFUSED: dict[str, tuple[Callable[[], tuple[EndpointRoute, ...]], str]] = {
    "a name twice": (lambda: (http_route("a"), jobs_route("a")), "endpoint a stands in it 2 times"),
    "weights that are no 100": (
        lambda: (http_route("a", side(revision="x", weight=60), side(revision="y", weight=60)),),
        "the weights [60, 60] are neither all left out nor a sum of 100",
    ),
    "a weight left out": (
        lambda: (http_route("a", side(revision="x", weight=100), side(revision="y")),),
        "the weights [100, None] are neither",
    ),
    "a replica twice": (
        lambda: (jobs_route("a", side(replica("r", None), revision="x"), side(replica("r", None), revision="y")),),
        "replica r stands in it 2 times",
    ),
    "no address": (lambda: (http_route("a", side(replica("r", None))),), "replica r: '' is no address"),
    "a strange address": (lambda: (http_route("a", side(replica("r", "tcp:h:0"))),), "'tcp:h:0' is no address"),
    "an unknown policy": (
        lambda: (http_route("a", routing=PartRef("nothing")),),
        "endpoint a: there is no routing policy 'nothing'",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
async def test_a_table_that_cannot_be_served_is_refused_with_its_reason(live: LiveTable, case: str) -> None:
    """Nothing of it is taken over, and what was served goes on."""
    live.apply(RoutingTable(1, (http_route("good", side(replica("r"))),)))
    before = live.routes
    routes, reason = REFUSED[case]

    with pytest.raises(TableRefused) as refused:
        live.apply(RoutingTable(2, (http_route("better"), *routes())))

    assert reason in refused.value.message
    assert live.routes is before


async def test_every_reason_is_told_at_once(live: LiveTable) -> None:
    """Who mends a table need not find its faults one by one."""
    unknown = PartRef("nothing")

    with pytest.raises(TableRefused, match=r"endpoint a: .*endpoint b: "):
        live.apply(RoutingTable(1, (http_route("a", routing=unknown), http_route("b", routing=unknown))))


async def test_an_older_table_is_refused(live: LiveTable) -> None:
    """The newest version wins, whoever brings the other."""
    live.apply(RoutingTable(5))

    with pytest.raises(TableRefused, match="table 4 is older than table 5"):
        live.apply(RoutingTable(4))


async def test_a_policy_outlasts_tables_that_name_it_alike(live: LiveTable) -> None:
    """What it remembers is not lost by a replica more or less; another name makes another policy."""
    live.apply(RoutingTable(1, (http_route("a", side(replica("r"))),)))
    first = live.routes.http["a"].routing
    live.apply(RoutingTable(2, (http_route("a", side(replica("r"), replica("s"))),)))
    second = live.routes.http["a"].routing
    live.apply(RoutingTable(3, (http_route("a", routing=PartRef("failing")),)))
    third = live.routes.http["a"].routing

    assert first is not None
    assert second is not None
    assert third is not None
    assert first.policy is second.policy
    assert third.policy is not first.policy
    assert isinstance(first.policy, LeastBusy)
    assert [[one.replica for one in told] for told in first.policy.sets] == [["r"], ["r", "s"]]


async def test_a_candidate_outlasts_tables_that_list_the_same_life(live: LiveTable) -> None:
    """The same object, with its count; a new limit applies at once."""
    live.apply(RoutingTable(1, (http_route("a", side(replica("r"), replica("s"))),)))
    before = {target.candidate.replica: target for target in _targets(live)}
    raised = ReplicaRoute(ReplicaId("r"), InstanceId("i1"), "unix:/r.sock", 7)
    live.apply(RoutingTable(2, (http_route("a", side(raised, replica("s", instance="i2"))),)))
    after = {target.candidate.replica: target for target in _targets(live)}

    assert after[ReplicaId("r")] is before[ReplicaId("r")]
    assert after[ReplicaId("r")].candidate.max_concurrency == 7
    assert after[ReplicaId("s")] is not before[ReplicaId("s")]


async def test_all_replicas_of_a_revision_are_counted_together(live: LiveTable) -> None:
    """Signals are told per revision."""
    live.apply(RoutingTable(1, (http_route("a", side(replica("r"), replica("s"), revision="x")),)))

    assert len({id(target.count) for target in _targets(live)}) == 1
    assert _targets(live)[0].count is live.routes.http["a"].counts[RevisionId("x")]


async def test_a_gateway_begins_with_the_table_that_was_kept(layout: Layout) -> None:
    """It serves before any control plane has spoken to it."""
    async with gateway_at(layout) as running:
        keep(layout, RoutingTable(7, (jobs_route("hello"),)))
        assert running.gateway.live.routes.version == 0
    async with gateway_at(layout) as running:
        answer = await running.get("/v2/hello/health")

    assert answer.status == 200


async def test_a_kept_table_that_cannot_be_served_stops_nobody(layout: Layout) -> None:
    """A part that is gone since then leaves a gateway that waits for a better table."""
    layout.home.mkdir(parents=True)
    keep(layout, RoutingTable(7, (http_route("a", routing=PartRef("nothing")),)))

    async with gateway_at(layout) as running:
        assert running.gateway.live.routes.version == 0


@pytest.mark.parametrize("text", ["", "{", "[]", '{"version": "x"}', '{"version": 1, "unheard_of": 2}'])
def test_a_broken_table_file_counts_as_none(layout: Layout, text: str) -> None:
    """Cut off by a power failure, or written by another version."""
    layout.home.mkdir(parents=True)
    layout.table_file.write_text(text)

    assert kept(layout) is None


def test_a_kept_table_comes_back_as_it_was(layout: Layout) -> None:
    """Every field survives, and nobody else may read it."""
    layout.home.mkdir(parents=True)
    table = RoutingTable(
        3,
        (
            http_route(
                "a", side(replica("r"), revision="x", weight=100), routing=PartRef("least_busy", (1,), {"k": "v"})
            ),
        ),
    )

    keep(layout, table)

    assert json.dumps(_plain(kept(layout))) == json.dumps(_plain(table))
    assert layout.table_file.stat().st_mode & 0o777 == 0o600
    assert [path.name for path in layout.home.iterdir()] == ["table.json"]


def test_a_table_that_cannot_be_kept_is_served_all_the_same(layout: Layout) -> None:
    """A full or missing disk is logged."""
    keep(layout, RoutingTable(3))

    assert kept(layout) is None


def shares(*sides: SideRoute) -> dict[str, Share]:
    """Which lanes each revision may claim."""
    return {str(revision): share for revision, share in jobs_routing(jobs_route("q", *sides)).shares.items()}


@given(st.integers(0, 100))
def test_the_target_has_the_low_lanes_and_the_stable_side_the_rest(percent: int) -> None:
    """Q30: the lanes of the job store's contract, so that raising a weight moves no job back."""
    found = shares(side(revision="old", weight=100 - percent), side(revision="new", weight=percent))

    assert found["new"].lanes == lane_share(percent)
    assert found["old"].lanes == remaining_lanes(percent)


@given(st.lists(st.integers(0, 50), min_size=1, max_size=3).filter(lambda weights: sum(weights) <= 100))
def test_every_lane_belongs_to_exactly_one_side(weights: list[int]) -> None:
    """Superseded sides that still serve have their part too."""
    all_weights = [100 - sum(weights), *weights]
    found = shares(*(side(revision=str(number), weight=weight) for number, weight in enumerate(all_weights)))

    assert sorted(lane for share in found.values() for lane in share.lanes) == list(ALL_LANES)


def test_by_capacity_any_worker_takes_any_lane() -> None:
    """No worker idles while a job waits."""
    found = shares(side(revision="old"), side(revision="new"))

    assert {share.lanes for share in found.values()} == {ALL_LANES}


def test_a_preview_takes_only_what_is_addressed_to_it() -> None:
    """Q31."""
    found = shares(side(revision="old"), side(revision="new", preview=True))

    assert found["new"].pinned_only
    assert len(found["new"].lanes) == 0
    assert not found["old"].pinned_only


def _targets(live: LiveTable) -> list[Any]:
    routing = live.routes.http["a"].routing
    assert routing is not None
    return sorted(routing.targets, key=lambda target: str(target.candidate.replica))


def _plain(table: RoutingTable | None) -> Any:
    return to_json(table)
