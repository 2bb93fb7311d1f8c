"""Jobs that do not fit the function of a revision: kept for the revisions that they may fit, failed once there is none.

Two places could tell whether a call fits. The gateway, from signatures in the manifest: but it may not look into
sealed calls, and what the source shows is not what a decorator leaves of it. So it is the worker that tells, which has
the function: it binds the arguments before the function's own code runs, and says what it takes. RunPod's worker and
handlers of one's own say nothing of the kind: with them a job always fits.

What a worker says so costs nothing where nobody says it: no job is read or looked at for it. A job that does not fit is
given back uncharged and stands apart in the store, closed to that revision. Each time it is closed to one more, so it
goes from one to the next and never back; when it is closed to all that serve, it fails with what the last one said and
what each of them takes. A revision all of whose functions are known to take just the same is not waited for.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace

from flashcore.gateway.books import Worker, WorkerLink
from flashcore.gateway.recording import Ended, Returned
from flashcore.gateway.routes import JobsRouting, Routes, Swap
from flashcore.hookspecs.jobs import Finish, Return
from flashcore.model.codec import CodecError, from_json, to_json
from flashcore.model.job import Claimed
from flashcore.model.names import EndpointName, RevisionId
from flashcore.model.revision import short
from flashcore.wire.envelope import RemoteFailure
from flashcore.wire.messages import Result

_log = logging.getLogger(__name__)

REMEMBERED = 4
"""Revisions of an endpoint of which it is known what they take, those that serve no longer included."""

_NOWHERE = RemoteFailure("TypeError", "the job fits no revision that serves", "")


class Fitting:
    """What is known of revisions and what they take. One that left the table may be back within `patience` seconds."""

    def __init__(self, routes: Callable[[], Routes], now: Callable[[], float], patience: float) -> None:
        self._routes = routes
        self._now = now
        self._patience = patience
        self._takes: dict[EndpointName, dict[RevisionId, Mapping[str, str]]] = {}
        self._left: dict[EndpointName, dict[RevisionId, float]] = {}
        self._logged: dict[EndpointName, set[RevisionId]] = {}

    def routing(self, endpoint: EndpointName) -> JobsRouting | None:
        """The present table's word on the endpoint."""
        return self._routes().jobs.get(endpoint)

    def learn(self, worker: Worker, takes: Mapping[str, str]) -> None:
        """What the worker's revision takes, by name of the function."""
        known = self._takes.setdefault(worker.endpoint, {})
        known.pop(worker.revision, None)
        known[worker.revision] = takes
        while len(known) > REMEMBERED:
            del known[next(iter(known))]

    def table_swapped(self, swap: Swap) -> None:
        """Some revisions may have left; what is gone for good is forgotten."""
        for name in map(EndpointName, swap.touched):
            before, after = swap.old.jobs.get(name), swap.new.jobs.get(name)
            if after is None:
                self._takes.pop(name, None)
                self._left.pop(name, None)
                self._logged.pop(name, None)
            elif before is not None and (gone := before.serving - after.serving):
                self._left.setdefault(name, {}).update(dict.fromkeys(gone, self._now()))

    def serving(self, routing: JobsRouting) -> frozenset[RevisionId]:
        """The revisions that a job may wait for: those of the table, and those that left it a moment ago."""
        name = routing.route.name
        left = self._left.get(name)
        if not left:
            return routing.serving
        latest = self._now() - self._patience
        self._left[name] = {revision: at for revision, at in left.items() if at > latest}
        return routing.serving.union(self._left[name])

    def judge(self, worker: Worker, claimed: Claimed, result: Result, link: WorkerLink) -> Ended | Returned:
        """What becomes of an attempt that did not begin since its job does not fit."""
        takes = result.unfit or ""
        others = [*self._others(worker.endpoint, worker.revision, claimed, takes)]
        told = _told(result.error, [f"revision {short(worker.revision)} takes {takes}", *others])
        if self._may_wait(worker, claimed):
            self._log_once(worker, takes)
            end = Return(claimed.id, claimed.worker, _kept(result.error), charged=False, unfit=takes)
            return Returned(end, link)
        if others:
            return Ended(Finish(claimed.id, claimed.worker, error=told), link)
        return Ended(Finish(claimed.id, claimed.worker, result.output, result.error), link)

    def nowhere(self, worker: Worker, claimed: Claimed) -> Ended | None:
        """The end of a job that was handed out because it fits none that serves; None for one that may fit."""
        known = next((unfit for unfit in claimed.unfit if unfit.revision == worker.revision), None)
        if known is None:
            return None
        others = self._others(worker.endpoint, worker.revision, claimed, known.takes)
        told = _told(known.reason or None, [f"revision {short(worker.revision)} takes {known.takes}", *others])
        return Ended(Finish(claimed.id, claimed.worker, error=told))

    def _log_once(self, worker: Worker, takes: str) -> None:
        """Whoever wonders why jobs wait is told of the first one: there may be a hundred thousand."""
        logged = self._logged.setdefault(worker.endpoint, set())
        if worker.revision not in logged:
            logged.add(worker.revision)
            _log.warning(
                "jobs of %s that do not fit revision %s, which takes %s, wait for another revision",
                worker.endpoint,
                short(worker.revision),
                takes,
            )

    def _may_wait(self, worker: Worker, claimed: Claimed) -> bool:
        """Whether some revision is left that may take what this one does not; one with the same signatures may not."""
        routing = self.routing(worker.endpoint)
        if routing is None or worker.revision == routing.preview:
            return False
        left = self.serving(routing) - {unfit.revision for unfit in claimed.unfit} - {worker.revision}
        known = self._takes.get(worker.endpoint, {})
        mine = known.get(worker.revision)
        return any(not mine or known.get(revision) != mine for revision in left)

    def _others(self, endpoint: EndpointName, revision: RevisionId, claimed: Claimed, takes: str) -> Iterator[str]:
        """What other revisions take, as far as it is something else."""
        seen = {unfit.revision: unfit.takes for unfit in claimed.unfit if unfit.revision != revision}
        for other, text in seen.items():
            yield f"revision {short(other)} takes {text}"
        name = takes.partition("(")[0]
        for other, known in self._takes.get(endpoint, {}).items():
            text = known.get(name) or ", ".join(known.values())
            if other != revision and other not in seen and text not in (takes, ""):
                yield f"revision {short(other)} takes {text}"


def _told(error: str | None, lines: list[str]) -> str:
    """The failure with these lines below its message."""
    failure = _failure(error)
    message = "".join((failure.error_message, *(f"\n  {line}" for line in lines)))
    return json.dumps(to_json(replace(failure, error_message=message)))


def _kept(error: str | None) -> str:
    """The failure without its traceback, which shows nothing of anybody's code: many jobs may wait."""
    return json.dumps(to_json(replace(_failure(error), error_traceback="")))


def _failure(error: str | None) -> RemoteFailure:
    if error is None:
        return _NOWHERE
    try:
        return from_json(RemoteFailure, json.loads(error))
    except (ValueError, CodecError):
        return replace(_NOWHERE, error_message=error)
