"""fixed: the least number of replicas that the endpoint may have, whatever the load."""

from __future__ import annotations

from flashcore.hookspecs.scalers import ScaleView
from flashcore.model.parts import Fixed


class FixedScaler:
    """Does not look at the load. A number that a person set stands above every scaler; the core sees to that."""

    def __init__(self, options: Fixed) -> None:
        self.options = options

    def desired(self, view: ScaleView) -> int:
        """The lower bound."""
        return view.bounds.minimum
