"""A provider that cannot be reached: for parts that must cope with that, or that have no business with a provider."""

# ruff: noqa: ARG002 - the signatures are the contract's, whatever is made of the arguments

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import NoReturn

from flashcore.hookspecs.providers import Hints, Instance
from flashcore.model.errors import Unavailable
from flashcore.model.names import ReplicaId
from flashcore.model.revision import Revision


class UnreachableProvider:
    """Every method raises Unavailable, as the contract has it for a provider that does not answer."""

    capabilities = frozenset[str]()

    async def start(self) -> None:
        """Raises Unavailable."""
        _unreachable()

    async def apply(self, revision: Revision, want: frozenset[ReplicaId], hints: Hints) -> None:
        """Raises Unavailable."""
        _unreachable()

    async def observe(self) -> tuple[Instance, ...]:
        """Raises Unavailable."""
        _unreachable()

    def changes(self) -> AsyncIterator[None]:
        """Raises Unavailable."""
        _unreachable()

    def logs(self, replica: ReplicaId, *, tail: int, follow: bool) -> AsyncIterator[str]:
        """Raises Unavailable."""
        _unreachable()

    async def execute(self, replica: ReplicaId, command: tuple[str, ...], timeout: float) -> tuple[int, str]:
        """Raises Unavailable."""
        _unreachable()

    async def close(self) -> None:
        """There is nothing to let go of."""


def _unreachable() -> NoReturn:
    raise Unavailable("the provider cannot be reached", next_step="this one never can: it is there for tests")
