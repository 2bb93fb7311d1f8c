"""What a gateway counts of one revision of an endpoint."""

from __future__ import annotations

from bisect import bisect_left

from flashcore.model.names import RevisionId
from flashcore.model.table import SideSignals

BOUNDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0)
"""Upper bounds of the latency histogram in seconds; what is slower counts under `+Inf`."""

_NAMES = (*(f"{bound:g}" for bound in BOUNDS), "+Inf")


class SideCount:
    """In flight now, and requests, failures and latencies since the gateway started."""

    __slots__ = ("_buckets", "failures", "in_flight", "requests", "revision")

    def __init__(self, revision: RevisionId) -> None:
        self.revision = revision
        self.in_flight = 0
        self.requests = 0
        self.failures = 0
        self._buckets = [0] * len(_NAMES)

    def record(self, seconds: float, *, failed: bool) -> None:
        """Count one that ended after `seconds`."""
        self.requests += 1
        self.failures += failed
        self._buckets[bisect_left(BOUNDS, seconds)] += 1

    def signals(self) -> SideSignals:
        """The counts as the control plane is told them; the histogram is cumulative."""
        total = 0
        latency = {}
        for name, count in zip(_NAMES, self._buckets, strict=True):
            total += count
            latency[name] = total
        return SideSignals(self.revision, self.in_flight, self.requests, self.failures, latency)
