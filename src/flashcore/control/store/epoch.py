"""Leadership: a lease that is renewed, and an epoch that changes only when leadership does.

The lease says when others may take over; it is a matter of time and can be wrong. The epoch cannot: every commit
of a leader checks that the epoch's key is still at the version that its own acquisition wrote, so a leader that was
frozen, or whose clock lied, finds out at its next write and has changed nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from itertools import count

from flashcore.control.store.keys import Keys
from flashcore.hookspecs.state import Check, Compacted, Put, StaleWrite, StateBackend, Transaction
from flashcore.model.codec import from_json, to_json
from flashcore.model.errors import Refused, StateError, StorageFull

RENEWALS_PER_LEASE = 3
"""A lease survives two lost renewals."""


class LostLeadership(Refused):
    """Another control plane leads now: stop acting at once. Nothing of the refused commit was written."""

    code = "lost_leadership"


@dataclass(frozen=True, slots=True)
class Lease:
    """Who leads, and the time by the store's clock after which others may take over."""

    holder: str
    until: float


@dataclass(frozen=True, slots=True)
class Epoch:
    """The number of a leadership; it only grows, so it serves as a fencing token outside the store too.

    It grows by one, and begins with the second at which the state was first led: greater than any of a state before it.
    """

    number: int
    holder: str
    since: float


@dataclass(frozen=True, slots=True)
class Held:
    """Somebody else leads until at least `lease.until`."""

    lease: Lease


@dataclass(frozen=True, slots=True)
class _Standing:
    """Lease and epoch as they were read, with the versions that an acquisition expects."""

    lease: Lease | None
    lease_version: int
    epoch: Epoch | None
    epoch_version: int


class Leadership:
    """The right to write. Made by `acquire`, `campaign` or `take_over`."""

    def __init__(
        self, backend: StateBackend, keys: Keys, epoch: Epoch, version: int, duration: float, *, contested: bool = True
    ) -> None:
        self.epoch = epoch
        self.until = epoch.since + duration
        """When the lease runs out, by the store's clock, unless it is renewed."""
        self.newest = version
        """The revision of the newest commit of this leader; what is older is not what is."""
        self._backend = backend
        self._keys = keys
        self._version = version
        self._duration = duration
        self._contested = contested
        self._events = count(1)

    @property
    def fence(self) -> Check:
        """The check that every commit of this leader carries."""
        return Check(self._keys.epoch, self._version)

    def next_cursor(self) -> str:
        """A cursor for one event, greater than all before it. Never given twice: a failed commit leaves a gap."""
        return f"{self.epoch.number:08d}-{next(self._events):010d}"

    async def commit(self, transaction: Transaction) -> int:
        """Commit under the fence. Raises LostLeadership, or StaleWrite when another key was not as expected."""
        fenced = Transaction((self.fence, *transaction.checks), transaction.puts, transaction.deletes)
        try:
            revision = await self._backend.commit(fenced)
        except StaleWrite:
            await self.confirm()
            raise
        self.newest = max(self.newest, revision)
        return revision

    async def confirm(self) -> None:
        """Ask the store whether this epoch still stands; raises LostLeadership. For just before an act outside."""
        try:
            await self._backend.commit(Transaction(checks=(self.fence,)))
        except StaleWrite:
            raise await self._lost() from None

    async def renew(self) -> None:
        """Move the lease's end to a full duration from now. Raises LostLeadership."""
        until = self._backend.now() + self._duration
        lease = Lease(self.epoch.holder, until)
        await self.commit(Transaction(puts=(Put(self._keys.lease, _encode(lease)),)))
        self.until = until

    async def keep(self, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep) -> None:
        """Renew for ever; returns only by LostLeadership or cancellation.

        A store that is away or full is asked again until the lease has run out: then others may lead, and this one
        stops. Where the open store is the lock, nobody else can, and it goes on.
        """
        while True:
            await sleep(self._duration / RENEWALS_PER_LEASE)
            try:
                await self.renew()
            except (StateError, StorageFull) as problem:
                if self._contested and self._backend.now() >= self.until:
                    raise self._expired() from problem

    async def release(self) -> None:
        """Give the lease up, so that a standby need not wait for its end. Does nothing when it was lost before."""
        with contextlib.suppress(LostLeadership):
            await self.commit(Transaction(deletes=(self._keys.lease,)))

    async def _lost(self) -> LostLeadership:
        standing = await _read_standing(self._backend, self._keys)
        leader = standing.epoch.holder if standing.epoch else "nobody"
        return LostLeadership(
            f"epoch {self.epoch.number} of {self.epoch.holder} is over: {leader} leads {self._keys.scope.prefix}",
            next_step="stop this control plane, or start it again as a standby",
            epoch=self.epoch.number,
            leader=leader,
        )

    def _expired(self) -> LostLeadership:
        return LostLeadership(
            f"the lease of epoch {self.epoch.number} ran out while the store was away",
            next_step="start this control plane again when the store answers",
            epoch=self.epoch.number,
            leader=None,
        )


async def acquire(backend: StateBackend, keys: Keys, holder: str, duration: float) -> Leadership | Held:
    """Lead if nobody does or the last lease has run out; otherwise say who holds it. `duration` is in seconds."""
    while True:
        standing = await _read_standing(backend, keys)
        if standing.lease is not None and standing.lease.until > backend.now():
            return Held(standing.lease)
        with contextlib.suppress(StaleWrite):
            epoch, version = await _begin_epoch(backend, keys, standing, holder, duration)
            return Leadership(backend, keys, epoch, version, duration)


async def take_over(backend: StateBackend, keys: Keys, holder: str, duration: float) -> Leadership:
    """Lead whatever the lease says. Right for a store that only one process can have open: its lock is the lease."""
    while True:
        standing = await _read_standing(backend, keys)
        with contextlib.suppress(StaleWrite):
            epoch, version = await _begin_epoch(backend, keys, standing, holder, duration)
            return Leadership(backend, keys, epoch, version, duration, contested=False)


async def campaign(backend: StateBackend, keys: Keys, holder: str, duration: float) -> Leadership:
    """Wait until leadership can be had, and take it: at the end of the lease, or as soon as it is released."""
    while True:
        won = await acquire(backend, keys, holder, duration)
        if isinstance(won, Leadership):
            return won
        await _lease_end(backend, keys, won.lease)


async def _begin_epoch(
    backend: StateBackend, keys: Keys, standing: _Standing, holder: str, duration: float
) -> tuple[Epoch, int]:
    now = backend.now()
    # A state that is new because the old one was lost still meets gateways that remember the old one's numbers.
    number = standing.epoch.number + 1 if standing.epoch else max(1, int(now))
    epoch = Epoch(number, holder, now)
    version = await backend.commit(
        Transaction(
            checks=(Check(keys.lease, standing.lease_version), Check(keys.epoch, standing.epoch_version)),
            puts=(Put(keys.lease, _encode(Lease(holder, now + duration))), Put(keys.epoch, _encode(epoch))),
        )
    )
    return epoch, version


async def _read_standing(backend: StateBackend, keys: Keys) -> _Standing:
    page = await backend.read(keys.lease, limit=1)
    held = page.entries[0] if page.entries and page.entries[0].key == keys.lease else None
    page = await backend.read(keys.epoch, limit=1)
    fenced = page.entries[0] if page.entries and page.entries[0].key == keys.epoch else None
    return _Standing(
        from_json(Lease, json.loads(held.value)) if held else None,
        held.version if held else 0,
        from_json(Epoch, json.loads(fenced.value)) if fenced else None,
        fenced.version if fenced else 0,
    )


async def _lease_end(backend: StateBackend, keys: Keys, lease: Lease) -> None:
    """Return when the lease is released, or when it has run out unless it was renewed."""
    page = await backend.read(keys.lease, limit=1)
    if not page.entries:
        return
    remaining = max(0.0, lease.until - backend.now())
    with contextlib.suppress(TimeoutError, Compacted):
        async with asyncio.timeout(remaining), contextlib.aclosing(backend.watch(keys.lease, page.revision)) as changes:
            async for batch in changes:
                if any(change.value is None for change in batch.changes):
                    return


def _encode(value: Lease | Epoch) -> bytes:
    return json.dumps(to_json(value), sort_keys=True).encode()
