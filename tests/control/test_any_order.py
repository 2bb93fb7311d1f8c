"""Whatever happens in whatever order, the invariants hold and it comes to rest; for every built-in strategy."""

import pytest

from flashcore.model.parts import PartRef
from flashcore.testing.rollout_machine import check_any_order

STRATEGIES = {
    "rolling": PartRef("rolling"),
    "by_surge": PartRef("rolling", options={"max_surge": 1, "max_unavailable": 0}),
    "in_place": PartRef("rolling", options={"max_surge": 0, "max_unavailable": 1}),
    "blue_green": PartRef("blue_green"),
    "by_hand": PartRef("blue_green", options={"auto_promote": False, "keep_old": 30.0}),
    "recreate": PartRef("recreate"),
}


@pytest.mark.parametrize("name", STRATEGIES)
def test_the_invariants_hold_in_any_order_of_events(name: str) -> None:
    """A short look; the slow one is longer."""
    check_any_order(STRATEGIES[name], examples=25)


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("name", STRATEGIES)
def test_the_invariants_hold_in_many_orders_of_events(name: str) -> None:
    """I1 to I6, over restarts, lost replicas and absent providers."""
    check_any_order(STRATEGIES[name], examples=1000)


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_the_invariants_hold_without_automatic_rollback() -> None:
    """What failed is left as it is, and stays in its bounds."""
    check_any_order(PartRef("rolling"), examples=500, policy={"auto_rollback": False})
