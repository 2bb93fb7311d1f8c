"""Asking for parts by name, and making them."""

import dataclasses
import sys
import threading
from typing import Any

import pytest
from tests.registry.conftest import Site

from flashcore.hookspecs import EXTENSION_POINTS, HookKind
from flashcore.model.errors import InvalidOptions, PluginError, UnknownPart
from flashcore.model.parts import PartRef
from flashcore.registry.policy import Ban, Policy
from flashcore.registry.reports import State

HOOKS = """
from flashcore.plugin import Part, hookimpl

@hookimpl
def flashcore_strategies():
    return {
        "plain": Part("flashcore_acme.parts:Plain", "Without options"),
        "shaped": Part("flashcore_acme.parts:Shaped", "With options", options="flashcore_acme.parts:Options"),
        "absent": Part("flashcore_acme.parts:Absent", "Not there"),
        "nowhere": Part("flashcore_nowhere:Absent", "Not there either"),
        "leaving": Part("flashcore_acme.leaving:Part", "Ends the process on import"),
        "fragile": Part("flashcore_acme.parts:Fragile", "Cannot be made"),
        "number": Part("flashcore_acme.parts:NUMBER", "Cannot be called"),
        "unshaped": Part("flashcore_acme.parts:Plain", "No dataclass", options="flashcore_acme.parts:Plain"),
        "optionless": Part("flashcore_acme.parts:Plain", "Absent options", options="flashcore_acme.parts:Gone"),
        "half": Part("flashcore_acme.parts:Half", "Not a whole strategy"),
        "made": Part("flashcore_acme.parts:make", "By a function"),
    }
"""
PARTS = """
from __future__ import annotations
from dataclasses import dataclass
from flashcore.model.errors import InvalidOptions

NUMBER = 7

@dataclass(frozen=True, slots=True)
class Options:
    steps: tuple[int, ...] = (1,)
    label: str = "none"

    def __post_init__(self):
        if not self.steps:
            raise ValueError("steps cannot be empty")

class Plain:
    def budget(self, goal): ...
    def decide(self, view): ...

class Shaped(Plain):
    def __init__(self, options):
        self.options = options
        if options.label == "refused":
            raise InvalidOptions("label cannot be that")

class Fragile(Plain):
    def __init__(self):
        raise OSError("glass")

class Half:
    def budget(self, goal): ...

def make():
    return Plain()
"""


@pytest.fixture
def acme(site: Site) -> Site:
    """A plugin with parts of many kinds."""
    site.plugin("acme", HOOKS, version="0.3.1", files={"parts.py": PARTS, "leaving.py": "raise SystemExit(4)"})
    return site


def test_a_part_is_made_from_its_options(acme: Site) -> None:
    """Positional arguments fill the fields in order; lists are tuples where a tuple is wanted."""
    made: Any = acme.registry().strategies.make(PartRef("shaped", ([1, 2],), {"label": "x"}))

    assert dataclasses.asdict(made.options) == {"steps": (1, 2), "label": "x"}


def test_a_part_without_options_is_made_without_arguments(acme: Site) -> None:
    """Function or class."""
    strategies = acme.registry().strategies

    assert type(strategies.make(PartRef("plain"))).__name__ == "Plain"
    assert type(strategies.make(PartRef("made"))).__name__ == "Plain"


def test_a_part_without_options_refuses_arguments(acme: Site) -> None:
    """They would be lost otherwise."""
    with pytest.raises(InvalidOptions, match="strategy 'plain' takes no options"):
        acme.registry().strategies.make(PartRef("plain", (3,)))


def test_references_are_imported_when_a_part_is_used(acme: Site) -> None:
    """Listing and asking import nothing."""
    registry = acme.registry()

    registry.strategies.get("shaped")
    registry.strategies.names()
    before = "flashcore_acme.parts" in sys.modules
    registry.strategies.factory("shaped")

    assert not before
    assert "flashcore_acme.parts" in sys.modules


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("absent", "has no attribute 'Absent'"),
        ("nowhere", "No module named 'flashcore_nowhere'"),
        ("leaving", "SystemExit: 4"),
        ("number", "cannot be called"),
        ("fragile", "could not be made: OSError: glass"),
    ],
)
def test_a_part_that_cannot_be_made_names_its_plugin(acme: Site, name: str, reason: str) -> None:
    """A selected part that does not work is an error, and its plugin is broken from then on."""
    registry = acme.registry()

    with pytest.raises(PluginError) as caught:
        registry.strategies.make(PartRef(name))

    assert f"strategy {name!r} of acme (flashcore-acme 0.3.1)" in caught.value.message
    assert reason in caught.value.message
    assert caught.value.data["distribution"] == "flashcore-acme"
    assert caught.value.next_step
    (report,) = [one for one in registry.reports if one.origin.name == "acme"]
    assert report.state is State.BROKEN
    assert reason in report.reason


@pytest.mark.parametrize(("name", "reason"), [("unshaped", "is none"), ("optionless", "no attribute 'Gone'")])
def test_options_that_are_no_dataclass_are_the_plugins_fault(acme: Site, name: str, reason: str) -> None:
    """Not that of whoever wrote the arguments."""
    with pytest.raises(PluginError, match=reason):
        acme.registry().strategies.options(PartRef(name))


def test_an_error_of_ours_that_a_part_raises_passes_as_it_is(acme: Site) -> None:
    """A strategy may refuse options that contradict each other."""
    registry = acme.registry()

    with pytest.raises(InvalidOptions, match="label cannot be that"):
        registry.strategies.make(PartRef("shaped", options={"label": "refused"}))
    assert all(report.state is State.ACTIVE for report in registry.reports)


def test_examining_finds_everything_that_is_wrong(acme: Site) -> None:
    """Every reference is resolved; all findings are told, the first as the reason."""
    (report,) = [one for one in acme.registry().examine() if one.origin.name == "acme"]

    told = [report.reason, *report.notes]
    assert report.state is State.BROKEN
    for name in ("absent", "half", "leaving", "nowhere", "number", "optionless", "unshaped"):
        assert any(f"strategy {name!r}: " in one for one in told), name
    assert any("flashcore_acme.parts:Half has no method decide" in one for one in told)
    assert not any("'plain'" in one or "'made'" in one or "'shaped'" in one for one in told)


@pytest.mark.parametrize(
    ("point", "name", "why", "step"),
    [
        ("strategies", "roling", "no plugin offers it; installed: blue_green", "did you mean 'rolling'?"),
        ("strategies", "canary", "it is in flashcore-canary, which is not installed", "pip install flashcore-canary"),
        ("providers", "ray", "flashcore-ray", "pip install flashcore-ray"),
        ("providers", "runpod", "flashcore-runpod", "pip install flashcore-runpod"),
        ("state_backends", "postgres", "flashcore-postgres", "pip install flashcore-postgres"),
        ("state_backends", "redis", "flashcore-redis", "pip install flashcore-redis"),
        ("routing_policies", "random", "flashcore-routing", "pip install flashcore-routing"),
        ("strategies", "manual", "there is a gate 'manual', which is something else", "where a part of 'gates'"),
        ("routing_policies", "zigzag", "no plugin offers it", "install the plugin that has it"),
    ],
)
def test_an_unknown_name_says_what_is_there_and_what_to_do(
    site: Site, point: str, name: str, why: str, step: str
) -> None:
    """Near matches, what is installed, and the package that has it."""
    with pytest.raises(UnknownPart) as caught:
        site.registry().point(point).get(name)

    assert why in caught.value.message
    assert step in str(caught.value.next_step)


def test_a_name_of_a_package_that_does_not_work_says_so(site: Site) -> None:
    """Installing it again would not help."""
    site.plugin("redis", "import nowhere_at_all")

    with pytest.raises(UnknownPart) as caught:
        site.registry().state_backends.get("redis")

    assert "it is in redis (flashcore-redis 1.0), which is broken" in caught.value.message
    assert "No module named 'nowhere_at_all'" in caught.value.message


def test_an_unknown_name_tells_of_plugins_that_are_not_loaded(site: Site) -> None:
    """One of them may have it."""
    site.strategy("acme", "sideways")

    with pytest.raises(UnknownPart) as caught:
        site.under(Policy(bans=(Ban("acme", "--no-plugin"),))).registry().strategies.get("sideways")

    assert "not loaded: acme (flashcore-acme 1.0) is disabled: switched off by --no-plugin" in caught.value.message


def test_every_registry_hook_has_its_typed_registry(site: Site) -> None:
    """A new extension point is not forgotten here."""
    registry = site.registry()

    for name, point in EXTENSION_POINTS.items():
        if point.kind is HookKind.REGISTRY:
            assert registry.point(name) is getattr(registry, name)
        else:
            with pytest.raises(KeyError):
                registry.point(name)


def test_parts_can_be_asked_for_from_several_threads(acme: Site) -> None:
    """The gateway and the controller share a registry; the first use of a part imports it."""
    registry = acme.registry()
    found: list[object] = []
    threads = [threading.Thread(target=lambda: found.append(registry.strategies.factory("shaped"))) for _ in range(8)]

    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(found) == 8
    assert len(set(map(id, found))) == 1


def test_two_registries_share_nothing(site: Site) -> None:
    """Two platforms in one process, one of them without the plugin."""
    site.plugin(
        "acme",
        """
        from flashcore.plugin import Part, hookimpl
        @hookimpl
        def flashcore_strategies():
            return {"acme": Part("flashcore_acme.nowhere:X", "x")}
        @hookimpl
        def flashcore_event(event):
            return "heard"
        """,
    )
    one, other = site.registry(), site.registry()
    without = site.under(Policy(allowed=(), allowed_by="--no-plugins")).registry()

    with pytest.raises(PluginError):
        one.strategies.factory("acme")

    assert [report.state for report in one.reports] == [State.ACTIVE, State.BROKEN]
    assert [report.state for report in other.reports] == [State.ACTIVE, State.ACTIVE]
    assert [called.value for called in other.call_each("flashcore_event", event=None)] == ["heard"]
    assert list(without.call_each("flashcore_event", event=None)) == []
    assert "acme" not in without.strategies.names()
