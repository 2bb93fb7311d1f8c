"""What the scaler wants, steadied: up at once, down only when nothing has asked for more for the idle timeout."""

from __future__ import annotations

import math
from dataclasses import dataclass

from flashcore.control.consult import PartFailed, Problem
from flashcore.hookspecs.scalers import Scaler, ScaleView
from flashcore.model.names import RevisionId
from flashcore.model.table import EndpointSignals


@dataclass(frozen=True, slots=True)
class Load:
    """What all gateways together see of an endpoint."""

    in_flight: int = 0
    queued: int = 0
    oldest_queued: float = 0.0
    previewed: bool = False
    """The preview has something to do: that is no load of the endpoint, but nobody sleeps meanwhile."""

    @property
    def idle(self) -> bool:
        """Whether there is nothing to do."""
        return not (self.in_flight or self.queued or self.previewed)


def load_of(signals: tuple[EndpointSignals, ...], preview: RevisionId | None = None) -> Load:
    """The sum over gateways."""
    sides = [side for one in signals for side in one.sides]
    return Load(
        in_flight=sum(side.in_flight for side in sides if side.revision != preview),
        queued=sum(one.queued for one in signals),
        oldest_queued=max((one.oldest_queued for one in signals), default=0.0),
        previewed=any(side.queued or (side.in_flight and side.revision == preview) for side in sides),
    )


class Autoscaler:
    """One deployment's memory of its load. It lives as long as the leader; a new one begins with what is wanted now."""

    def __init__(self, goal: int, now: float) -> None:
        self._busy_at = now
        self._needs: list[tuple[float, int]] = [(math.inf, goal)]
        """How many were needed, and until when that counts."""
        self.problem: Problem | None = None
        """Why the scaler's word was not taken last time."""

    def idle_for(self, load: Load, now: float) -> float:
        """Seconds since there was anything to do."""
        if not load.idle:
            self._busy_at = now
        return now - self._busy_at

    def heed(self, wanted: int, now: float, window: float) -> int:
        """The number to go for after the scaler's latest word: the most that was needed within the window.

        A scaler that waited for as long with nothing to do is taken at its word.
        """
        if now - self._busy_at >= window:
            self._needs.clear()
            self._needs.append((math.inf, wanted))
        latest = self._needs[-1]
        if wanted != latest[1]:
            self._needs[-1] = (now + window, latest[1])
            self._needs.append((math.inf, wanted))
        self._needs = [need for need in self._needs if need[0] > now]
        return max(count for _, count in self._needs)

    def next_look(self, load: Load, now: float, window: float) -> float | None:
        """When the number may change though no load does."""
        times = [until for until, _ in self._needs if until < math.inf]
        if load.idle and now < self._busy_at + window:
            times.append(self._busy_at + window)
        return min(times, default=None)


def ask(scaler: Scaler, name: str, view: ScaleView) -> int:
    """The scaler's word. Raises PartFailed for one that is none."""
    who = f"scaler {name!r}"
    try:
        wanted = scaler.desired(view)
    except (Exception, SystemExit) as error:  # whatever a plugin raises is its own problem, and named
        raise PartFailed(Problem(who, f"it raised {type(error).__name__}: {error}")) from error
    if not isinstance(wanted, int) or isinstance(wanted, bool) or wanted < 0:
        raise PartFailed(Problem(who, f"it wants {wanted!r} replicas, which is no number of replicas"))
    return wanted
