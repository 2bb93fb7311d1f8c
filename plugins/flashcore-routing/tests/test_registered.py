"""The package as it is installed: the registry finds it and makes its policies from what a declaration says."""

from collections.abc import Iterator

import pytest

from flashcore.model.errors import InvalidOptions
from flashcore.model.parts import PartRef
from flashcore.registry.index import setting_of_process
from flashcore.registry.opening import open_registry
from flashcore.registry.registry import Registry
from flashcore.registry.reports import State
from flashcore.testing.routing_kit import make_candidates, make_request
from flashcore_routing.hooks import flashcore_routing_policies


@pytest.fixture(scope="module")
def registry() -> Iterator[Registry]:
    """All that is installed, without a kept survey."""
    opened = open_registry(setting_of_process([], {"FLASHCORE_NO_CACHE": "1"}, None))
    yield opened
    opened.close()


def test_the_plugin_is_active_and_light(registry: Registry) -> None:
    """Nothing is wrong with it, however thoroughly it is looked at."""
    (report,) = [report for report in registry.examine() if report.origin.distribution == "flashcore-routing"]

    assert (report.state, report.reason) == (State.ACTIVE, "")
    assert report.heavy == ()


@pytest.mark.parametrize("name", sorted(flashcore_routing_policies()))
def test_a_policy_is_made_by_name_alone(registry: Registry, name: str) -> None:
    """`routing="least_loaded"` is enough."""
    policy, candidates = registry.routing_policies.make(PartRef(name)), make_candidates(3)
    policy.changed(candidates)

    assert policy.choose(make_request(0), candidates) in candidates


def test_options_arrive_as_they_were_written(registry: Registry) -> None:
    """`PrefixHash("input.prompt", bound=2)` in a declaration."""
    policy = registry.routing_policies.make(PartRef("prefix_hash", ("input.prompt",), {"bound": 2}))

    assert policy.body_limit == 16_384
    assert registry.routing_policies.options(PartRef("prefix_hash", ("input.prompt",), {"bound": 2})).bound == 2


@pytest.mark.parametrize(
    ("ref", "message"),
    [
        (PartRef("prefix_hash", options={"bound": 1.0}), "bound must be over 1, not 1.0"),
        (PartRef("prefix_hash", options={"chars": 3}), "chars: there is no such option"),
        (PartRef("bucket", options={"classes": "4"}), "classes"),
        (PartRef("random", (1,)), "0 arguments are possible"),
    ],
)
def test_options_that_do_not_fit_are_refused_by_name(registry: Registry, ref: PartRef, message: str) -> None:
    """Before anything is deployed."""
    with pytest.raises(InvalidOptions, match=message):
        registry.routing_policies.make(ref)
