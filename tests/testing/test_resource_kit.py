"""The kit for resource types sees each fault that it is there for, and passes one for another framework."""

from collections.abc import Callable
from dataclasses import replace

import pytest
from tests.testing import faulty_resources as faulty

from flashcore.hookspecs.records import Part
from flashcore.registry.registry import Registry
from flashcore.testing import resource_kit as kit
from flashcore.testing.conformance import Nonconformance
from flashcore.testing.endpoint_examples import QUEUED, ROUTED, Example
from flashcore.testing.resource_kit import NOTHING, ResourceTypeKit, Subject

ONE = replace(ROUTED, functions=ROUTED.functions[:1])


def part(resource: type[faulty.Sound], declared_by: str = "SiteEndpoint") -> Part:
    """As a plugin would offer it."""
    module = faulty.Sound.__module__
    return Part(f"{module}:{resource.__qualname__}", "One application", declares=(f"{module}:{declared_by}",))


class TestSound(ResourceTypeKit):
    """A type without a fault passes."""

    name = "site"

    def sound(self) -> tuple[Example, ...]:
        """What it is for."""
        return (ONE,)

    def refused(self) -> tuple[Example, ...]:
        """What it could not serve."""
        return (NOTHING, QUEUED)

    def part(self) -> Part:
        """For applications of another framework."""
        return part(faulty.Sound)


@pytest.fixture(scope="module")
def registry() -> Registry:
    """What is installed."""
    return kit.installed()


FAULTS: list[tuple[type[faulty.Sound], Callable[[Subject], None], str]] = [
    (faulty.CannotDecide, kit.check_its_word_stays, "is constant"),
    (faulty.SaysIngressInWords, kit.check_its_word_stays, "one of Ingress"),
    (faulty.NamesNoHandler, kit.check_defaults_can_be_had, "the handler generator is one of load_balanced, queue"),
    (faulty.ProbesWithAnOptionThatIsNone, kit.check_defaults_can_be_had, "default of probes .* pathh"),
    (faulty.KeepsAnObject, kit.check_defaults_can_be_stored, "JSON values"),
    (faulty.RefusesItsOwnScaler, kit.check_scalers_fit, "take it off unfit_scalers"),
    (faulty.ListsUnfitScalers, kit.check_scalers_fit, "is a frozenset"),
    (faulty.FindsFaultWithAll, kit.check_what_is_sound_has_no_problems, "has no problems"),
    (faulty.TakesAnything, kit.check_what_serves_nothing_is_refused, "a word on what to write instead"),
    (faulty.Raises, kit.check_what_serves_nothing_is_refused, "raises nothing; seen: IndexError"),
    (faulty.NeverEnds, kit.check_what_serves_nothing_is_refused, "comes to an end"),
    (faulty.EndsSentences, kit.check_problems_are_sentences, "without a full stop"),
    (faulty.SaysNothing, kit.check_problems_are_sentences, "a problem is text"),
    (faulty.RemembersWhatItSaw, kit.check_problems_are_the_same_again, "whatever was asked before"),
    (faulty.KnowsOnlyWhatThisObjectSaw, kit.check_problems_are_the_same_again, "another object of the type"),
    (faulty.RepeatsTheCore, kit.check_problems_are_its_own, "leaves out"),
]


@pytest.mark.parametrize(("resource", "check", "said"), FAULTS, ids=lambda value: getattr(value, "__name__", ""))
def test_a_fault_is_seen(
    resource: type[faulty.Sound], check: Callable[[Subject], None], said: str, registry: Registry
) -> None:
    """The kit says which rule is broken, and what to do."""
    with pytest.raises(Nonconformance, match=said):
        check(Subject("site", part(resource), (ONE,), (NOTHING,), registry))


DECLARED: list[tuple[str, str]] = [
    ("OfAnotherType", "is the type's name, 'site'; seen: 'load_balanced'"),
    ("WithSettings", "adds no settings"),
    ("WithAConstructor", "takes a name and settings, no more"),
    ("Unrelated", "is a class of endpoints"),
    ("NotThere", "a replica imports what user code names"),
]


@pytest.mark.parametrize(("declared_by", "said"), DECLARED)
def test_a_fault_of_what_user_code_writes_is_seen(declared_by: str, said: str, registry: Registry) -> None:
    """Reading it and running it would give two declarations, or none."""
    with pytest.raises(Nonconformance, match=said):
        kit.check_read_is_as_run(Subject("site", part(faulty.Sound, declared_by), registry=registry))


def test_a_type_that_nobody_can_declare_is_seen(registry: Registry) -> None:
    """Its record names no import path."""
    with pytest.raises(Nonconformance, match="in `declares`"):
        kit.check_read_is_as_run(Subject("site", replace(part(faulty.Sound), declares=()), registry=registry))


def test_every_check_has_a_fault_that_it_sees() -> None:
    """A check that cannot fail is a defect."""
    assert set(ResourceTypeKit.checks.values()) == {kit.check_read_is_as_run, *(check for _, check, _ in FAULTS)}
