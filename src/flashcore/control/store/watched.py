"""A state backend that remembers whether it can be written: a control plane that cannot write decides nothing new."""

from __future__ import annotations

from collections.abc import AsyncGenerator

from flashcore.hookspecs.state import Batch, Compacted, Page, StateBackend, Transaction
from flashcore.model.errors import StateError, StorageFull


class WatchedState:
    """Passes everything on."""

    def __init__(self, backend: StateBackend) -> None:
        self._backend = backend
        self.trouble: str | None = None
        """What the last write failed with; None when it succeeded."""
        self.trouble_since: float | None = None

    async def commit(self, transaction: Transaction) -> int:
        """See StateBackend."""
        try:
            revision = await self._backend.commit(transaction)
        except (StateError, StorageFull) as problem:
            if not isinstance(problem, Compacted):
                self.trouble_since = self.trouble_since if self.trouble else self._backend.now()
                self.trouble = problem.message
            raise
        if transaction.writes:
            self.trouble = self.trouble_since = None
        return revision

    async def read(self, prefix: str, *, after: str = "", limit: int = 1000, at: int | None = None) -> Page:
        """See StateBackend."""
        return await self._backend.read(prefix, after=after, limit=limit, at=at)

    def watch(self, prefix: str, after: int) -> AsyncGenerator[Batch, None]:
        """See StateBackend."""
        return self._backend.watch(prefix, after)

    def now(self) -> float:
        """See StateBackend."""
        return self._backend.now()

    async def close(self) -> None:
        """See StateBackend."""
        await self._backend.close()
