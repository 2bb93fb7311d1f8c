"""Which ids and keys the tables cannot have: those beyond all that they may have and memory does not.

Ids and keys begin with the time, as flashcore makes them, so that nearly all new ones are. For those that are not, and
for whatever else a caller takes for a key, the tables are asked.
"""

from __future__ import annotations

from collections.abc import Iterable


class Known:
    """The greatest of some texts with each first character: what stands before the time tells kinds apart."""

    __slots__ = ("_greatest",)

    def __init__(self, texts: Iterable[str] = ()) -> None:
        self._greatest: dict[str, str] = {}
        for text in texts:
            self.note(text)

    def note(self, text: str) -> None:
        """It may be there from now on."""
        if text > self._greatest.get(text[:1], ""):
            self._greatest[text[:1]] = text

    def may_have(self, text: str) -> bool:
        """False for a text that is not there."""
        return text <= self._greatest.get(text[:1], "")
