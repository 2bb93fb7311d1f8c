"""Pass when a person promotes."""

from __future__ import annotations

from flashcore.hookspecs.gates import GateView, Hold, Pass, Verdict
from flashcore.model.parts import Manual


class ManualGate:
    """Holds for as long as nobody says to go on; a day is no reason to give up."""

    def __init__(self, options: Manual) -> None:
        """There is nothing to set."""

    def verdict(self, view: GateView) -> Verdict:
        """Whether a person has promoted."""
        return Pass() if view.promoted else Hold(f"{view.checkpoint} waits for a person: promote, or abort")
