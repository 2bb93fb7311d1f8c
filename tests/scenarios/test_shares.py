"""Shares of a queue by percent: whose job it is depends on its key, and moves in one direction only."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from flashcore.gateway.routes import jobs_routing
from flashcore.gateway.submission import lane_of
from flashcore.hookspecs.jobs import ALL_LANES
from flashcore.model.names import EndpointName, RevisionId
from flashcore.model.parts import PartRef
from flashcore.model.table import EndpointRoute, SideRoute

OLD, NEW = RevisionId("old"), RevisionId("new")


def side_of(key: str, percent: int) -> RevisionId:
    """The revision that a key's job goes to while that share goes to the new one."""
    sides = (SideRoute(OLD, 100 - percent, ()), SideRoute(NEW, percent, ()))
    route = EndpointRoute(EndpointName("mail"), "jobs", sides, PartRef("p2c"), 60.0, 60.0, 60.0, 1)
    (owner,) = [revision for revision, share in jobs_routing(route).shares.items() if lane_of(key) in share.lanes]
    return owner


@given(st.text(max_size=20), st.integers(0, 100), st.integers(0, 100))
def test_raising_the_share_moves_nobody_back(key: str, percent: int, other: int) -> None:
    """M59: who is on the new side at a share is there at every larger one; and the same key is always on one side."""
    less, more = sorted((percent, other))

    assert side_of(key, less) == side_of(key, less)
    if side_of(key, less) == NEW:
        assert side_of(key, more) == NEW


def test_a_share_is_as_large_as_it_says() -> None:
    """M59: of ten thousand keys about as many in a hundred as were asked for; none at 0, all at 100."""
    keys = [f"customer-{number}" for number in range(10_000)]
    for percent in (0, 1, 10, 50, 100):
        there = sum(side_of(key, percent) == NEW for key in keys)
        assert abs(there - 100 * percent) <= 150 * (0 < percent < 100)
    assert len(ALL_LANES) == 100
