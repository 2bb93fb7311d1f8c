"""The kit for handler generators sees each fault that it is there for, and passes one of somebody's own framework."""

from collections.abc import Callable
from dataclasses import replace

import pytest
from tests.testing import faulty_handlers as faulty

from flashcore.hookspecs.records import Part
from flashcore.testing import handler_kit as kit
from flashcore.testing.conformance import Nonconformance
from flashcore.testing.endpoint_examples import QUEUED
from flashcore.testing.handler_kit import HandlerGeneratorKit, Subject

EXAMPLE = replace(
    QUEUED,
    exercise="""
answers = [module.handler({"input": [name, [3, 4]]}) for name in ("add", "multiply")]
assert answers == [7, 12], f"add(3, 4) and multiply(3, 4) were {answers}"
""",
)


def part(generator: type[faulty.Sound]) -> Part:
    """As a plugin would offer it."""
    return Part(f"{generator.__module__}:{generator.__qualname__}", "Handlers of a framework of its own")


class TestSound(HandlerGeneratorKit):
    """A generator without a fault passes."""

    example = EXAMPLE

    def part(self) -> Part:
        """For a framework of its own."""
        return part(faulty.Sound)


FAULTS: list[tuple[type[faulty.Sound], Callable[[Subject], None], str]] = [
    (faulty.TakesAnyName, kit.check_files, "start with handler_"),
    (faulty.LeavesTheArtifact, kit.check_files, "has no `..`"),
    (faulty.WritesTwice, kit.check_files, "a path of its own"),
    (faulty.NamesAnotherEntry, kit.check_files, "one of the files"),
    (faulty.HasItsEntryInAFolder, kit.check_files, "in the root"),
    (faulty.ForgetsHyphens, kit.check_no_two_endpoints_share_a_file, "from the whole name"),
    (faulty.PastesIntoCode, kit.check_python_whatever_is_declared, "json.dumps"),
    (faulty.NeedsALaterPython, kit.check_python_whatever_is_declared, "Python 3.11"),
    (faulty.Counts, kit.check_the_same_again, "leave out counters"),
    (faulty.KeepsTheOrderOfASet, kit.check_the_same_elsewhere, "sort what comes from sets"),
    (faulty.SaysWhoBuilt, kit.check_the_same_elsewhere, "no folder, user or host"),
    (faulty.WritesThePolicyDown, kit.check_a_policy_changes_no_text, "take from the template"),
    (faulty.ImportsTheBuildSide, kit.check_imports_are_there, "of flashcore an artifact has"),
    (faulty.ImportsWhatItHappensToHave, kit.check_imports_are_there, r"requirements\(\)"),
    (faulty.RequiresNonsense, kit.check_requirements, "as for pip"),
    (faulty.TellsNobodyWhatItNeeds, kit.check_requirements, "install from there"),
    (faulty.OffersNothing, kit.check_serves, "no `handler` or `app`"),
    (faulty.StartsAThread, kit.check_serves, "started threads"),
    (faulty.HidesWhatWasBundled, kit.check_serves, "bundled_by_the_kit"),
    (faulty.HidesNeighbours, kit.check_serves, "No module named 'neighbour'"),
    (faulty.AnswersWrong, kit.check_serves, r"were \[0, 0\]"),
]


@pytest.mark.parametrize(("generator", "check", "said"), FAULTS, ids=lambda value: getattr(value, "__name__", ""))
def test_a_fault_is_seen(generator: type[faulty.Sound], check: Callable[[Subject], None], said: str) -> None:
    """The kit says which rule is broken, and what to do."""
    with pytest.raises(Nonconformance, match=said):
        check(Subject(part(generator), EXAMPLE))


def test_every_check_has_a_fault_that_it_sees() -> None:
    """A check that cannot fail is a defect."""
    assert set(HandlerGeneratorKit.checks.values()) == {check for _, check, _ in FAULTS}
