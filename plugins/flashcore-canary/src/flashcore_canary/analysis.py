"""analysis: is the new revision worse than the old one, no worse, or is it too early to tell?"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from flashcore.hookspecs.gates import Fail, GateView, Hold, Pass, Verdict
from flashcore.model.table import SideSignals
from flashcore_canary.confidence import Interval, interval
from flashcore_canary.forms import Analysis

LOOK_AGAIN = 5.0
"""Seconds until counts are looked at again that were not enough, unless new ones come before."""

_SIDES = 2
_METRICS = 2


@dataclass(frozen=True, slots=True)
class Comparison:
    """One share of the calls, on both sides, as far as it is known."""

    what: str
    stable: Interval
    target: Interval
    tolerance: float

    @property
    def worse(self) -> bool:
        """Whatever the true shares are, the target's is higher by more than the tolerance."""
        return self.target.low > self.stable.high + self.tolerance

    @property
    def fine(self) -> bool:
        """Whatever the true shares are, the target's is not higher by more than the tolerance."""
        return self.target.high <= self.stable.low + self.tolerance

    @property
    def width(self) -> float:
        """How far the shares may still lie apart."""
        return self.target.high - self.stable.low

    def __str__(self) -> str:
        return f"{self.what}: {self.target} against {self.stable}"


class AnalysisGate:
    """Looks at the counts since the checkpoint, without those of replicas that were still cold.

    A person who promotes has seen enough.
    """

    def __init__(self, options: Analysis) -> None:
        self._options = options

    def verdict(self, view: GateView) -> Verdict:
        """Worse: Fail. No worse: Pass. Neither: Hold, until there is more to see or patience is over.

        One that only watches (`dry_run`) always gives Pass, with a note of what it would have said otherwise.
        """
        if view.promoted:
            return Pass()
        found = self._judge(view)
        if not self._options.dry_run or isinstance(found, Pass):
            return found
        return Pass(f"{'would have failed' if isinstance(found, Fail) else 'would have waited'}: {found.reason}")

    def _judge(self, view: GateView) -> Verdict:
        if view.warm is None:
            return self._unsure(view, "nothing is counted yet")
        stable, target = view.warm
        comparisons = list(self._comparisons(stable, target))
        if worst := next((one for one in comparisons if one.worse), None):
            return Fail(f"the new revision is worse: {worst}")
        if all(one.fine for one in comparisons):
            return Pass()
        openest = max((one for one in comparisons if not one.fine), key=lambda one: one.width - one.tolerance)
        counted = f"{target.requests} calls of warm replicas of the new revision and {stable.requests} of the old one"
        return self._unsure(view, f"{counted} are too few to tell; {openest}")

    def _comparisons(self, stable: SideSignals, target: SideSignals) -> Iterator[Comparison]:
        """Each share has a part of the risk, so that all of them together hold with the confidence asked for."""
        options = self._options
        risk = (1 - options.confidence) / _METRICS
        yield Comparison(
            "failed calls",
            interval(stable.failures, stable.requests, risk / _SIDES),
            interval(target.failures, target.requests, risk / _SIDES),
            options.errors,
        )
        bounds = sorted((float(bound), bound) for bound in {*stable.latency, *target.latency} if bound != "+Inf")
        for seconds, bound in bounds:
            yield Comparison(
                f"calls over {seconds:g} s",
                _slower(stable, bound, risk / _SIDES / len(bounds)),
                _slower(target, bound, risk / _SIDES / len(bounds)),
                options.slower,
            )

    def _unsure(self, view: GateView, reason: str) -> Verdict:
        patience, choice = self._options.patience, self._options.if_unsure
        if patience is None:
            return Hold(reason, until=view.now + LOOK_AGAIN)
        end = view.since + patience
        if view.now < end:
            return Hold(reason, until=end)
        if choice == "pass":
            return Pass()
        said = f"after {patience:g} s {reason}"
        return Fail(said) if choice == "fail" else Hold(f"{said}; a person has to decide")


def _slower(side: SideSignals, bound: str, risk: float) -> Interval:
    counted = side.latency.get("+Inf", side.requests)
    return interval(counted - side.latency.get(bound, 0), counted, risk)
