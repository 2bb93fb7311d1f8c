"""What makes tests of checks: a class whose subclasses pytest collects."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

Check = Callable[..., Any]
"""Raises Nonconformance; a coroutine function where the part is asynchronous."""


def checks_of(names: Mapping[str, Any]) -> Mapping[str, Check]:
    """The functions of a module (its `globals()`) whose names begin with `check_`, by the rest of their names."""
    return {name.removeprefix("check_"): value for name, value in names.items() if name.startswith("check_")}


class Kit(ABC):
    """Hands each of `checks` to pytest as a test of its own."""

    checks: ClassVar[Mapping[str, Check]]

    @abstractmethod
    def examine(self, check: Check) -> None:
        """Run one check on the part that is tested."""

    def pytest_generate_tests(self, metafunc: Any) -> None:
        """One test for each check, with its name."""
        if "check" in metafunc.fixturenames:
            metafunc.parametrize("check", list(self.checks.values()), ids=list(self.checks))

    def test_conforms(self, check: Check) -> None:
        """The part does what its contract says."""
        self.examine(check)


def skip(reason: str) -> None:
    """Leave a test that is about something the part does not claim."""
    import pytest

    pytest.skip(reason)
