"""Which ids and keys the tables cannot have: those beyond all that they may have and memory does not.

Ids and keys begin with the time, as flashcore makes them, so that nearly all new ones are. For those that are not, and
for whatever else a caller takes for a key, the tables are asked.
"""

from __future__ import annotations

from collections.abc import Iterable

_OTHERS = "\x80"
"""What those are of that do not begin with one of the 128 characters before it."""


def kind_of(text: str) -> str:
    """Its first character, as what stands before the time tells kinds apart; one for all that are seldom."""
    return min(text[:1], _OTHERS)


class Known:
    """The greatest of some texts of each kind."""

    __slots__ = ("_greatest",)

    def __init__(self, texts: Iterable[str] = ()) -> None:
        self._greatest: dict[str, str] = {}
        for text in texts:
            self.note(text)

    def note(self, text: str) -> None:
        """It may be there from now on."""
        kind = kind_of(text)
        if text > self._greatest.get(kind, ""):
            self._greatest[kind] = text

    def may_have(self, text: str) -> bool:
        """False for a text that is not there."""
        return text <= self._greatest.get(kind_of(text), "")
