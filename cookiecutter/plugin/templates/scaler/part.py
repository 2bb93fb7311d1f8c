"""How many replicas there should be, by the number of calls."""

import math

from flashcore.hookspecs.scalers import ScaleView

from {{ cookiecutter.__package }}.forms import {{ cookiecutter.__form }}


class {{ cookiecutter.__part }}:
    """Goes up at once, and down only when nothing came for the idle timeout. Bounds are kept by flashcore."""

    def __init__(self, options: {{ cookiecutter.__form }}) -> None:
        self._per_replica = options.per_replica

    def desired(self, view: ScaleView) -> int:
        """Enough for the calls that there are."""
        needed = math.ceil((view.queued + view.in_flight) / self._per_replica)
        return needed if view.idle_for >= view.idle_timeout else max(needed, view.goal)
