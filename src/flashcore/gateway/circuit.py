"""Whether a replica may be asked, by how it answered lately.

    CLOSED  --5 failures in a row, or half of 20 within 10 s-->  OPEN  --its time is over-->  HALF_OPEN
       ^                                                           ^                              |
       +------------------ k trials succeeded ---------------------|------------------------------+
                                                                   +------ one trial failed ------+

Each opening in a row lasts twice as long as the one before. What says nothing of the replica's health, a 4xx or a
client that left, is neutral: it neither opens a circuit nor closes one, and a trial that ends so is given back.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from math import inf


class CircuitState(Enum):
    """Of one life of one replica."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"


@dataclass(frozen=True, slots=True)
class CircuitRules:
    """When circuits open and close; times in seconds."""

    failures: int = 5
    """In a row."""
    rate: float = 0.5
    """Share of failures among the requests of one window, of which there are to be at least `least`."""
    least: int = 20
    window: float = 10.0
    """Begins with a failure."""
    seconds: float = 5.0
    """How long the first opening lasts."""
    longest: float = 60.0
    trials: int = 3
    """Requests let through while half open, all of which have to succeed."""


class Circuit:
    """One replica's. Times are those of one monotonic clock."""

    __slots__ = (
        "_bad",
        "_good",
        "_open_seconds",
        "_row",
        "_rules",
        "_since",
        "_trials",
        "_window_end",
        "state",
        "until",
    )

    def __init__(self, rules: CircuitRules) -> None:
        self._rules = rules
        self.state = CircuitState.CLOSED
        self.until = 0.0
        """When an open circuit becomes half open, and a half open one gets further trials."""
        self._row = 0
        self._good = 0
        self._bad = 0
        self._window_end = -inf
        self._open_seconds = rules.seconds
        self._since = 0.0
        self._trials = 0

    def admits(self, now: float) -> bool:
        """Whether a request may be sent; an open circuit whose time is over becomes half open here."""
        if self.state is CircuitState.OPEN and now >= self.until:
            self.state = CircuitState.HALF_OPEN
            self._since = now
            self._trials = self._rules.trials
            self._good = 0
            self.until = now + self._open_seconds
        elif self.state is CircuitState.HALF_OPEN and now >= self.until:
            # The trials take longer than that: a stream, or a slow call, must not keep the replica out for ever.
            self._trials = self._rules.trials
            self.until = now + self._open_seconds
        return self.state is CircuitState.CLOSED or (self.state is CircuitState.HALF_OPEN and self._trials > 0)

    def begin(self) -> None:
        """A request is sent."""
        if self.state is CircuitState.HALF_OPEN:
            self._trials -= 1

    def succeeded(self, begun: float) -> None:
        """A request that was sent at `begun` was answered well."""
        if self.state is CircuitState.CLOSED:
            self._row = 0
            self._good += 1
        elif self._is_trial(begun):
            self._good += 1
            if self._good >= self._rules.trials:
                self._close()

    def failed(self, begun: float, now: float) -> None:
        """A request that was sent at `begun` failed, and the replica is to blame."""
        if self.state is CircuitState.CLOSED:
            self._row += 1
            if self._row >= self._rules.failures or self._is_rate_reached(now):
                self._open(now)
        elif self._is_trial(begun):
            self._open(now)

    def ended_neutrally(self, begun: float) -> None:
        """A request ended in a way that says nothing: where it was a trial, another one may be made."""
        if self._is_trial(begun):
            self._trials = min(self._trials + 1, self._rules.trials)

    def _is_trial(self, begun: float) -> bool:
        """Requests from before the opening are still under way; what becomes of them is old news."""
        return self.state is CircuitState.HALF_OPEN and begun >= self._since

    def _is_rate_reached(self, now: float) -> bool:
        if now > self._window_end:
            self._window_end = now + self._rules.window
            self._good = self._bad = 0
        self._bad += 1
        total = self._good + self._bad
        return total >= self._rules.least and self._bad >= self._rules.rate * total

    def _open(self, now: float) -> None:
        self.state = CircuitState.OPEN
        self.until = now + self._open_seconds
        self._open_seconds = min(2 * self._open_seconds, self._rules.longest)

    def _close(self) -> None:
        self.state = CircuitState.CLOSED
        self._open_seconds = self._rules.seconds
        self._row = self._good = self._bad = 0
        self._window_end = -inf
