"""The control plane's records, leadership and event log, equal over every state backend.

    DEPLOYMENTS = Kind("deployments", Deployment, lambda d: d.endpoint)

    ledger = Ledger(backend, Scope("shop", "production"), (DEPLOYMENTS, REPLICAS))
    leadership = await ledger.take_over("host-1:4711", duration=10.0)    # sqlite, memory: the open store is the lock
    leadership = await ledger.campaign("host-1:4711", duration=10.0)     # shared stores: waits for its turn
    asyncio.create_task(leadership.keep())                               # renews; ends by LostLeadership

    snapshot = await ledger.load()                                       # every record, all at one revision
    snapshot.of(DEPLOYMENTS)["hello"]                                    # Stored(kind, id, value, version)
    async for changes in ledger.watch(snapshot.revision):                # one per commit: stored, removed, events
        ...

    work = ledger.workspace(leadership)                                  # one per pass
    work.create(REPLICAS, replica)                                       # must not exist
    work.replace(stored, dataclasses.replace(stored.value, ...))         # equal values write nothing
    work.remove(stored)
    work.require(stored)                                                 # only looked at, must not have changed
    work.emit(Event("replica.ready", at=now, endpoint="hello"))
    committed = await work.commit()                                      # None when nothing was staged

    await leadership.confirm()                                           # just before an act outside the store
    await ledger.journal.tail(20, endpoint="hello")

Errors: `StaleWrite` (look again, decide again), `LostLeadership` (stop acting), `Compacted` (load again),
`StateError` and `StorageFull` (the store is away or full; nothing was half-written).
"""

from __future__ import annotations

from flashcore.control.store.epoch import Epoch, Held, Leadership, Lease, LostLeadership
from flashcore.control.store.journal import Journal, Recorded
from flashcore.control.store.ledger import Changes, Ledger
from flashcore.control.store.records import Kind, Removed, Snapshot, Stored
from flashcore.control.store.workspace import Committed, Workspace
from flashcore.hookspecs.state import Compacted, StaleWrite

__all__ = [
    "Changes",
    "Committed",
    "Compacted",
    "Epoch",
    "Held",
    "Journal",
    "Kind",
    "Leadership",
    "Lease",
    "Ledger",
    "LostLeadership",
    "Recorded",
    "Removed",
    "Snapshot",
    "StaleWrite",
    "Stored",
    "Workspace",
]
