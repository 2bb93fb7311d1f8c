"""prefix_hash: requests whose body field begins alike go to the same replica, with bounded load."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from random import Random

from flashcore.hookspecs.routing import BodyNeed, Candidate, RoutedRequest
from flashcore_routing.forms import PrefixHash
from flashcore_routing.json_field import field_text
from flashcore_routing.load import lightest, occupancy
from flashcore_routing.rendezvous import preferred


class PrefixHashPolicy:
    """Remembers nothing: all gateways send a prefix to the same replica, after a restart too."""

    body_need = BodyNeed.START

    def __init__(self, options: PrefixHash, random: Random | None = None) -> None:
        self.body_limit = options.body_limit
        self.options = options
        self._path = options.field.split(".")
        self._random = random or Random()  # noqa: S311 - breaks ties, keeps no secret

    def choose(self, request: RoutedRequest, candidates: Sequence[Candidate]) -> Candidate:
        """The first with room in the prefix's order; the least loaded where the body has no such field."""
        prefix = field_text(request.body_start, self._path, self.options.characters)
        if prefix is None:
            return lightest(candidates, occupancy, self._random)
        key = hashlib.blake2b(prefix.encode(), digest_size=16).digest()
        return preferred(key, candidates, self.options.bound)

    def changed(self, candidates: Sequence[Candidate]) -> None:
        """Nothing is remembered."""
