"""Who was let in, and who was not, as lines of the log: what was asked, by whose token, from where.

Whatever anybody does, it is a line now and then: an attack must not fill a disk, and neither must a busy client.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass

_log = logging.getLogger("flashcore.audit")

QUIET = 10.0
"""Seconds between two lines on those who were refused."""

USES_QUIET = 60.0
"""Seconds between two lines on the same use of the same token."""

_LONGEST = 160
"""Characters of what was asked that are shown."""


class Refusals:
    """How often somebody was refused, and a line about it now and then."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self.counts: dict[str, int] = {}
        self._now = now
        self._unsaid = 0
        self._said_at = -QUIET

    def note(self, reason: str, what: str, peer: str, token: str) -> None:
        """Count one. `token` is the name or the public part of what was shown, or nothing."""
        self.counts[reason] = self.counts.get(reason, 0) + 1
        self._unsaid += 1
        now = self._now()
        if now - self._said_at >= QUIET:
            _log.warning("refused: %s, %s, from %s, token %s (%d requests since the last such line)",
                         reason, shown(what), peer or "a socket", token or "-", self._unsaid)  # fmt: skip
            self._said_at, self._unsaid = now, 0


class CutOffs:
    """Who was let in and may not go on: of one look at all that is under way, a line for each token."""

    def __init__(self) -> None:
        self._found: dict[tuple[str, str], tuple[str, int]] = {}

    def note(self, token: str, reason: str, what: str, peer: str) -> None:
        """One more, of that token."""
        first, count = self._found.get((token, reason), (f"{shown(what)}, from {peer or 'a socket'}", 0))
        self._found[token, reason] = first, count + 1

    def tell(self) -> None:
        """Write the lines."""
        for (token, reason), (first, count) in self._found.items():
            _log.warning("cut off: token %s, %s, %s (%d under way)", token or "-", reason, first, count)


@dataclass(slots=True, eq=False)
class Use:
    """Of one token for one scope."""

    token: str
    scope: str
    said_at: float
    unsaid: int = 0
    """How often since the last line, the present time included."""


class Uses:
    """What tokens were used for. There are as many of them as there are tokens and scopes."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._uses: dict[tuple[str, str], Use] = {}

    def of(self, token: str, scope: str) -> Use:
        """How that token was used for that scope so far."""
        use = self._uses.get((token, scope))
        if use is None:
            use = self._uses[token, scope] = Use(token, scope, self._now() - USES_QUIET)
        return use

    def note(self, use: Use) -> bool:
        """Its holder was let in; whether a line is due. On the path of every request."""
        use.unsaid += 1
        return self._now() - use.said_at >= USES_QUIET

    def tell(self, use: Use, what: str, peer: str) -> None:
        """Write the line that is due."""
        _log.info("used: token %s, for %s, %s, from %s (%d requests since the last such line)",
                  use.token, use.scope, shown(what), peer or "a socket", use.unsaid)  # fmt: skip
        use.said_at, use.unsaid = self._now(), 0


def shown(what: str) -> str:
    """What was asked, on one line and not longer than anybody reads."""
    text = what if len(what) <= _LONGEST else f"{what[:_LONGEST]}..."
    return text if text.isprintable() else repr(text)
