"""Jobs that are addressed to a revision which is no longer there: nobody else may have them, so they fail.

A preview leaves when its rollout is taken back or superseded, and what was queued for it would wait for its ttl, keep
its callers waiting, and the endpoint awake. Which revisions jobs are addressed to is asked of the store, not remembered
from tables: so it holds for a gateway that has just begun, and for a job that comes back from a replica that drains.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable

from flashcore.gateway.recording import Ended, Recorder
from flashcore.gateway.routes import NO_LANES, JobsRouting
from flashcore.hookspecs.jobs import Claim, Finish, JobStore
from flashcore.model.names import EndpointName, InstanceId, ReplicaId, RevisionId, worker_id
from flashcore.model.revision import short

AT_ONCE = 1_000
"""Jobs of one claim."""


class Stranded:
    """Ends them. A revision that left the table may be back within `patience` seconds: it may have crashed."""

    def __init__(
        self, store: JobStore, recorder: Recorder, now: Callable[[], float], patience: float, lease: float
    ) -> None:
        self._store = store
        self._recorder = recorder
        self._now = now
        self._patience = patience
        self._lease = lease
        # One of this life's own: what an earlier one had claimed and not ended is refused to that one.
        self._name = worker_id(ReplicaId("gateway"), InstanceId(secrets.token_hex(8)))
        self._missed: dict[EndpointName, dict[RevisionId, float]] = {}
        """Since when revisions are not in the table that queued jobs are addressed to."""

    async def look(self, routing: JobsRouting, pinned_to: frozenset[RevisionId]) -> int:
        """End what waits in vain; returns how many jobs did."""
        now, name = self._now(), EndpointName(routing.route.name)
        before = self._missed.pop(name, {})
        missed = {revision: before.get(revision, now) for revision in pinned_to if revision not in routing.shares}
        if missed:
            self._missed[name] = missed
        return sum([await self._end(name, one) for one, since in missed.items() if now - since >= self._patience])

    async def _end(self, endpoint: EndpointName, revision: RevisionId) -> int:
        claim = Claim(
            endpoint, self._name, revision, AT_ONCE, self._lease, NO_LANES, pinned_only=True, serving=frozenset()
        )
        why = f"it was addressed to revision {short(revision)}, which waits for its promotion no longer"
        count = 0
        while claimed := await self._store.claim(claim):
            for job in claimed:
                self._recorder.add(Ended(Finish(job.id, self._name, error=why)))
            count += len(claimed)
        return count
