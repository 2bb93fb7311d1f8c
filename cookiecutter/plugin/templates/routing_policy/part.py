"""Pick the replica for a request."""

import random
from collections.abc import Sequence

from flashcore.hookspecs.routing import BodyNeed, Candidate, RoutedRequest

from {{ cookiecutter.__package }}.forms import {{ cookiecutter.__form }}


class {{ cookiecutter.__part }}:
    """The least busy of the preferred group; of all, when none of the group is there."""

    body_need = BodyNeed.NONE
    body_limit = 0

    def __init__(self, options: {{ cookiecutter.__form }}) -> None:
        self._options = options

    def choose(self, request: RoutedRequest, candidates: Sequence[Candidate]) -> Candidate:
        """Of equally busy ones any: the first would get everything while all are idle."""
        group = [one for one in candidates if one.labels.get(self._options.label) == self._options.value]
        preferred = group or candidates
        least = min(one.in_flight for one in preferred)
        return random.choice([one for one in preferred if one.in_flight == least])

    def changed(self, candidates: Sequence[Candidate]) -> None:
        """Nothing is remembered."""
