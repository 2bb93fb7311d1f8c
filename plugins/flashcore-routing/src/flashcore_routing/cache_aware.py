"""cache_aware: a prompt goes to the replica that knows most of its beginning, for servers that cache prefixes."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

from flashcore.hookspecs.routing import BodyNeed, Candidate, RoutedRequest
from flashcore_routing.forms import CacheAware
from flashcore_routing.json_field import field_text
from flashcore_routing.load import lightest, occupancy, out_of_balance
from flashcore_routing.prefix_owners import PrefixOwners, block_keys


class CacheAwarePolicy:
    """Guesses what replicas have cached from what it sent them."""

    body_need = BodyNeed.START

    def __init__(self, options: CacheAware, random: Random | None = None) -> None:
        self.body_limit = options.body_limit
        self.options = options
        self._path = options.field.split(".")
        self._owners = PrefixOwners(options.blocks)
        self._random = random or Random()  # noqa: S311 - breaks ties, keeps no secret

    def choose(self, request: RoutedRequest, candidates: Sequence[Candidate]) -> Candidate:
        """The owner of the longest known beginning, or the least loaded, which then becomes an owner."""
        text = field_text(request.body_start, self._path) or ""
        # What does not fit into the memory would push its own beginning out of it.
        keys = block_keys(text, self.options.block)[: self.options.blocks]
        least = lightest(candidates, occupancy, self._random)
        owner = self._owner(keys, candidates)
        keep = owner is not None and not out_of_balance(owner, least, self.options.imbalance, self.options.slack)
        chosen = owner if keep and owner is not None else least
        self._owners.remember(keys, chosen.instance)
        return chosen

    def changed(self, candidates: Sequence[Candidate]) -> None:
        """Those who left are passed over when they are met, and forgotten by age."""

    def _owner(self, keys: Sequence[int], candidates: Sequence[Candidate]) -> Candidate | None:
        present = {candidate.instance: candidate for candidate in candidates}
        known, owners = self._owners.longest(keys, present)
        if not known or known < self.options.match * len(keys):
            return None
        return lightest([present[owner] for owner in owners], occupancy, self._random)
