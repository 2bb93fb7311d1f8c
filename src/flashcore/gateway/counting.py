"""What a gateway counts of one revision of an endpoint."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Container, Iterable

from flashcore.model.names import RevisionId
from flashcore.model.table import SideSignals

BOUNDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0)
"""Upper bounds of the latency histogram in seconds; what is slower counts under `+Inf`."""

REMEMBERED = 4
"""How many revisions of an endpoint are told of after they have left."""

_NAMES = (*(f"{bound:g}" for bound in BOUNDS), "+Inf")


class Tally:
    """What a gateway counts of an endpoint beside its requests, since it started."""

    __slots__ = ("openings", "refusals", "retries", "unpaid_retries")

    def __init__(self) -> None:
        self.openings = 0
        """Circuits that opened."""
        self.refusals: dict[str, int] = {}
        """Requests that no replica was found for, by the code that they were told."""
        self.retries: dict[str, int] = {}
        """Replicas asked in place of another, by how that one had failed."""
        self.unpaid_retries = 0
        """Retries that were not made because the budget was spent."""

    def refuse(self, code: str) -> None:
        """Count a request that is told so."""
        self.refusals[code] = self.refusals.get(code, 0) + 1

    def retry(self, cause: str) -> None:
        """Count a replica that is asked in place of another."""
        self.retries[cause] = self.retries.get(cause, 0) + 1


class SideCount:
    """In flight now, and requests, failures and latencies since the gateway started."""

    __slots__ = ("_buckets", "classes", "failures", "in_flight", "requests", "revision", "seconds")

    def __init__(self, revision: RevisionId) -> None:
        self.revision = revision
        self.in_flight = 0
        self.requests = 0
        self.failures = 0
        self.seconds = 0.0
        """All latencies together."""
        self.classes = [0] * 6
        """HTTP answers by the first digit of their status; 0 for no answer."""
        self._buckets = [0] * len(_NAMES)

    def record(self, seconds: float, *, failed: bool) -> None:
        """Count one that ended after `seconds`."""
        self.requests += 1
        self.failures += failed
        self.seconds += seconds
        self._buckets[bisect_left(BOUNDS, seconds)] += 1

    def signals(self) -> SideSignals:
        """The counts as the control plane is told them."""
        return SideSignals(self.revision, self.in_flight, self.requests, self.failures, self.histogram())

    def histogram(self) -> dict[str, int]:
        """Requests by latency, cumulative, by upper bound in seconds."""
        total = 0
        latency = {}
        for name, count in zip(_NAMES, self._buckets, strict=True):
            total += count
            latency[name] = total
        return latency


def remembered(
    past: Iterable[SideCount], left: Iterable[SideCount], present: Container[RevisionId]
) -> tuple[SideCount, ...]:
    """The last counts of those that left, the newest last.

    Numbers are read now and then: without these nobody would read how a canary failed that was gone after a moment.
    """
    latest = {count.revision: count for count in left if count.revision not in present}
    earlier = (count for count in past if count.revision not in latest and count.revision not in present)
    return (*earlier, *latest.values())[-REMEMBERED:]
