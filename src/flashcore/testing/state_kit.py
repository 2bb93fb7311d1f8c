"""What every state backend has to do, for pytest and without it.

A backend's whole test file:

    from flashcore.testing.state_kit import StateKit

    class TestAcmeState(StateKit):
        ref = "flashcore_acme.stores:AcmeStores"
        def url(self, folder): return f"acme://{folder}/state"

Each check gets a store of its own: `url` must give an address that nothing has used before. `STATE_CHECKS` are
coroutine functions of a `Subject` that need no test framework; they raise Nonconformance, or NotAsked when the
store does not claim what they are about.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any, ClassVar

from flashcore.testing.store_checks import state_entries, state_lives, state_watches
from flashcore.testing.store_checks.subject import NotAsked, Subject

__all__ = ["STATE_CHECKS", "NotAsked", "StateKit", "StoreKit", "Subject"]

StoreCheck = Callable[[Subject], Awaitable[None]]


def checks_of(*modules: Any) -> Mapping[str, StoreCheck]:
    """All functions of some modules whose names begin with `check_`, by the rest of their names."""
    return {
        name.removeprefix("check_"): function
        for module in modules
        for name, function in vars(module).items()
        if name.startswith("check_")
    }


STATE_CHECKS = checks_of(state_entries, state_watches, state_lives)


class StoreKit(ABC):
    """Hands each of `checks` to pytest as a test of its own."""

    checks: ClassVar[Mapping[str, StoreCheck]]
    ref: ClassVar[str]
    """`package.module:Attribute` of the part."""
    durable: ClassVar[bool] = True
    shared: ClassVar[bool] = False

    @abstractmethod
    def url(self, folder: Path) -> str:
        """An address of an empty store; `folder` is empty and the check's own."""

    def subject(self, folder: Path) -> Subject:
        """What is tested; override it to make the part with settings of the test's own."""
        return Subject(self.ref, self.url(folder), durable=self.durable, shared=self.shared)

    def pytest_generate_tests(self, metafunc: Any) -> None:
        """One test for each check, with its name."""
        if "check" in metafunc.fixturenames:
            metafunc.parametrize("check", list(self.checks.values()), ids=list(self.checks))

    def test_conforms(self, check: StoreCheck, tmp_path: Path) -> None:
        """The store does what its contract says."""
        try:
            asyncio.run(_run(check, self.subject(tmp_path)))
        except NotAsked as reason:
            _skip(str(reason))


class StateKit(StoreKit):
    """For state backends."""

    checks = STATE_CHECKS


async def _run(check: StoreCheck, subject: Subject) -> None:
    await check(subject)


def _skip(reason: str) -> None:
    import pytest

    pytest.skip(reason)
