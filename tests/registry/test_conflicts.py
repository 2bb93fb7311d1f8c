"""Two plugins, one name."""

import pytest
from tests.registry.conftest import PARTS, Site

import flashcore
from flashcore.model.errors import UnknownPart
from flashcore.registry.policy import Ban, Policy
from flashcore.registry.registry import Declared
from flashcore.registry.reports import State

OFFER = """
from flashcore.plugin import Part, hookimpl

@hookimpl
def flashcore_strategies():
    return {{"{name}": Part("{module}.parts:Strategy", "From {module}", replaces={replaces!r}, declares={declares!r})}}
"""


def offering(
    site: Site, distribution: str, name: str, *, replaces: str | None = None, declares: tuple[str, ...] = ()
) -> None:
    """Install a plugin that offers one strategy."""
    module = distribution.replace("-", "_")
    hooks = OFFER.format(name=name, module=module, replaces=replaces, declares=declares)
    entry = distribution.removeprefix("flashcore-")
    site.plugin(entry, hooks, distribution=distribution, files={"parts.py": PARTS})


def states(site: Site) -> dict[str, State]:
    """The state of each plugin but the built-in one, by distribution."""
    reports = site.loaded().reports
    return {str(one.origin.distribution): one.state for one in reports if not one.origin.built_in}


def test_two_distributions_with_one_entry_point_are_in_conflict(site: Site) -> None:
    """Nobody can say who `acme` is, so both are told of and neither is imported."""
    site.strategy("acme", distribution="flashcore-acme")
    site.strategy("acme", distribution="other-acme")

    one, other = (report for report in site.loaded().reports if report.origin.name == "acme")

    assert (one.state, other.state) == (State.CONFLICT, State.CONFLICT)
    assert "other-acme 1.0" in one.reason
    assert "flashcore-acme 1.0" in other.reason
    assert "--no-plugin other-acme" in one.next_step
    assert not one.takes_part


def test_switching_one_off_by_distribution_ends_the_conflict(site: Site) -> None:
    """The next step that the conflict proposes works."""
    site.strategy("acme", "canary", distribution="flashcore-acme")
    site.strategy("acme", "canary", distribution="other-acme")

    registry = site.under(Policy(bans=(Ban("other-acme", "--no-plugin"),))).registry()

    assert registry.strategies.get("canary").origin.distribution == "flashcore-acme"


def test_a_foreign_plugin_called_builtin_does_not_disturb_the_built_in_one(site: Site) -> None:
    """It is in conflict, the built-in parts are there."""
    site.strategy("builtin", distribution="flashcore-impostor")

    built_in, impostor = site.loaded().reports

    assert (built_in.state, impostor.state) == (State.ACTIVE, State.CONFLICT)


def test_a_part_that_two_plugins_offer_belongs_to_neither(site: Site) -> None:
    """Whoever asks for it hears both distributions, and how to choose."""
    offering(site, "flashcore-one", "canary")
    offering(site, "flashcore-two", "canary")

    registry = site.registry()

    with pytest.raises(UnknownPart) as caught:
        registry.strategies.get("canary")
    assert "one (flashcore-one 1.0) and by two (flashcore-two 1.0)" in caught.value.message
    assert "replaces='flashcore-one'" in str(caught.value.next_step)
    assert "canary" not in registry.strategies.names()
    assert states(site) == {"flashcore-one": State.CONFLICT, "flashcore-two": State.CONFLICT}


def test_what_is_not_contested_works_all_the_same(site: Site) -> None:
    """A conflict costs the one name, not the plugin."""
    offering(site, "flashcore-one", "canary")
    site.plugin(
        "two",
        OFFER.format(name="canary", module="flashcore_two", replaces=None, declares=())
        + '\n@hookimpl\ndef flashcore_gates():\n    return {"quiet": Part("flashcore_two.parts:Strategy", "x")}\n',
        files={"parts.py": PARTS},
    )

    assert "quiet" in site.registry().gates.names()


def test_replaces_gives_the_name_to_the_one_who_says_so(site: Site) -> None:
    """The other plugin stays active, with a note."""
    offering(site, "flashcore-one", "canary")
    offering(site, "flashcore-two", "canary", replaces="flashcore_one")

    registry = site.registry()

    assert registry.strategies.get("canary").origin.distribution == "flashcore-two"
    assert states(site) == {"flashcore-one": State.ACTIVE, "flashcore-two": State.ACTIVE}
    (one,) = [report for report in registry.reports if report.origin.name == "one"]
    assert one.notes == ("strategy 'canary' is replaced by two (flashcore-two 1.0)",)


def test_two_parts_that_replace_each_other_are_a_conflict(site: Site) -> None:
    """A circle has no winner."""
    offering(site, "flashcore-one", "canary", replaces="flashcore-two")
    offering(site, "flashcore-two", "canary", replaces="flashcore-one")

    assert states(site) == {"flashcore-one": State.CONFLICT, "flashcore-two": State.CONFLICT}


def test_two_parts_that_replace_a_third_are_a_conflict(site: Site) -> None:
    """The third gives way, and the two contend for its place."""
    offering(site, "flashcore-one", "canary")
    offering(site, "flashcore-two", "canary", replaces="flashcore-one")
    offering(site, "flashcore-three", "canary", replaces="flashcore-one")

    assert states(site) == {
        "flashcore-one": State.ACTIVE,
        "flashcore-two": State.CONFLICT,
        "flashcore-three": State.CONFLICT,
    }


def test_a_built_in_part_keeps_its_name(site: Site) -> None:
    """Installing a package must not change what `rolling` means."""
    offering(site, "flashcore-one", "rolling")

    registry = site.registry()

    assert registry.strategies.get("rolling").origin.built_in
    assert states(site) == {"flashcore-one": State.CONFLICT}
    built_in, one = registry.reports
    assert built_in.state is State.ACTIVE
    assert one.reason == f"strategy 'rolling' is offered by builtin (flashcore-framework {flashcore.__version__}) too"
    assert "replaces='flashcore-framework'" in one.next_step


def test_a_built_in_part_can_be_replaced_on_purpose(site: Site) -> None:
    """Saying so in the record is on purpose."""
    offering(site, "flashcore-one", "rolling", replaces="flashcore-framework")

    assert site.registry().strategies.get("rolling").origin.distribution == "flashcore-one"


def test_an_import_path_declares_one_part(site: Site) -> None:
    """The scanner turns `Canary(5)` into a part's name by it."""
    offering(site, "flashcore-one", "canary", declares=("flashcore_one:Canary",))

    registry = site.registry()

    assert registry.declared("flashcore_one:Canary") == Declared("strategies", "canary")
    assert registry.declared("flashcore:Rolling") == ("strategies", "rolling")
    assert registry.declarations["flashcore_one:Canary"].name == "canary"


def test_a_declaration_that_two_plugins_claim_is_a_conflict(site: Site) -> None:
    """Their parts work by name, the path does not."""
    offering(site, "flashcore-one", "canary", declares=("flashcore_shared:Canary",))
    offering(site, "flashcore-two", "finch", declares=("flashcore_shared:Canary",))

    registry = site.registry()

    assert {"canary", "finch"} <= set(registry.strategies.names())
    assert states(site) == {"flashcore-one": State.CONFLICT, "flashcore-two": State.CONFLICT}
    with pytest.raises(UnknownPart, match="both declare it"):
        registry.declared("flashcore_shared:Canary")


def test_the_declaration_of_a_replaced_part_goes_with_it(site: Site) -> None:
    """Two parts of one name may both say `flashcore_one:Canary`; the one that is used counts."""
    offering(site, "flashcore-one", "canary", declares=("flashcore_one:Canary",))
    offering(site, "flashcore-two", "canary", replaces="flashcore-one", declares=("flashcore_one:Canary",))

    assert site.registry().declared("flashcore_one:Canary") == ("strategies", "canary")
    assert set(states(site).values()) == {State.ACTIVE}


@pytest.mark.parametrize(
    ("path", "step"),
    [
        ("flashcore:Roling", "did you mean 'flashcore:Rolling'?"),
        ("flashcore_canary:Canary", "pip install flashcore-canary"),
        ("somewhere.quite:Else", "install the plugin that has it"),
    ],
)
def test_an_unknown_declaration_says_what_to_do(site: Site, path: str, step: str) -> None:
    """A near match, the package that is not installed, or how to go on."""
    with pytest.raises(UnknownPart) as caught:
        site.registry().declared(path)

    assert step in str(caught.value.next_step)
