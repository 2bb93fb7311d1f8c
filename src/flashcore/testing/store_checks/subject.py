"""What is tested: how a store is opened, and what may be asked of it."""

from __future__ import annotations

import asyncio
import importlib
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import cast

from flashcore.hookspecs.jobs import JobStore
from flashcore.hookspecs.state import StateBackend, Stores
from flashcore.model.errors import StateError
from flashcore.testing.conformance import Nonconformance

PATIENCE = 20.0
"""Seconds after which something that should have happened at once counts as never."""


class NotAsked(Exception):  # no error: the check does not apply to this store
    """The store does not claim what this check is about; the message says what."""


@dataclass(frozen=True, slots=True)
class Subject:
    """A part that makes stores, an address that nothing has used before, and what the part claims."""

    ref: str
    """`package.module:Attribute` of the part, as in its record: other processes of a check open it by this."""
    url: str
    durable: bool = True
    """What was written is there after the process died."""
    shared: bool = False
    """Several processes may have it open; otherwise a second one is refused."""
    history: int | None = None
    """Commits that the store keeps at least, from 50; some times as many must compact. None: not checked."""
    make: Callable[[], Stores] | None = None
    """Makes the part with settings of the test's own, such as a clock or a short history."""
    advance: Callable[[float], Awaitable[None]] = asyncio.sleep
    """Lets so many seconds pass by the store's clock: sleep, or move a virtual clock."""

    def stores(self) -> Stores:
        """The part."""
        if self.make is not None:
            return self.make()
        module, _, attribute = self.ref.partition(":")
        return cast(Stores, getattr(importlib.import_module(module), attribute)())

    @asynccontextmanager
    async def state(self) -> AsyncGenerator[StateBackend, None]:
        """The state, closed at the end."""
        backend = await self.stores().open_state(self.url)
        try:
            yield backend
        finally:
            await backend.close()

    @asynccontextmanager
    async def jobs(self) -> AsyncGenerator[JobStore, None]:
        """The job store, closed at the end."""
        store = await self.stores().open_jobs(self.url)
        try:
            yield store
        finally:
            await store.close()

    def ask(self, claim: str, *, given: bool) -> None:
        """Leave a check that is about something the store does not claim."""
        if not given:
            raise NotAsked(f"this store does not claim to be {claim}")


async def require_closed(*asked: Awaitable[object]) -> None:
    """Each of these was asked of a store that is closed, which says so."""
    for one in asked:
        try:
            await one
        except StateError:
            continue
        raise Nonconformance("a closed store raises StateError")
