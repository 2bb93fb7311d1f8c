"""A clock that moves only when a test says so."""

from __future__ import annotations


class VirtualClock:
    """Seconds since 1970 that stand still until `advance`. Pass it where a part takes a clock.

    `wall` and `monotonic` are its two faces, for parts that look at both: `set_wall` moves only the first, as an
    operator or a time server does.
    """

    def __init__(self, start: float = 1_767_225_600.0) -> None:
        self._start = start
        self._elapsed = 0.0
        self._wall_offset = 0.0

    def __call__(self) -> float:
        """The time, which never goes back."""
        return self._start + self._elapsed

    def wall(self) -> float:
        """The time that a wall clock shows."""
        return self._start + self._elapsed + self._wall_offset

    def monotonic(self) -> float:
        """Seconds since some moment, untouched by `set_wall`."""
        return self._elapsed

    def advance(self, seconds: float) -> None:
        """Let time pass. Raises ValueError for a negative number of seconds."""
        if seconds < 0:
            raise ValueError(f"time does not go back, not even by {-seconds} s; see set_wall")
        self._elapsed += seconds

    async def advance_soon(self, seconds: float) -> None:
        """`advance` for those who wait for time to pass."""
        self.advance(seconds)

    def set_wall(self, time: float) -> None:
        """Set the wall clock, and nothing else."""
        self._wall_offset = time - self._start - self._elapsed
