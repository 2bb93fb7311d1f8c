"""bucket: size classes with replicas of their own, so that short requests do not wait behind long ones."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

from flashcore.hookspecs.routing import BodyNeed, Candidate, RoutedRequest
from flashcore.model.names import ReplicaId
from flashcore_routing.forms import Bucket
from flashcore_routing.length_classes import LengthClasses
from flashcore_routing.load import lightest, occupancy, out_of_balance


class BucketPolicy:
    """Replicas are dealt out to the classes in the order of their ids, as evenly as it goes."""

    body_need = BodyNeed.LENGTH
    body_limit = 0

    def __init__(self, options: Bucket, random: Random | None = None) -> None:
        self.options = options
        self._lengths = LengthClasses(options.window)
        self._class_of: dict[ReplicaId, int] = {}
        self._random = random or Random()  # noqa: S311 - breaks ties, keeps no secret

    def choose(self, request: RoutedRequest, candidates: Sequence[Candidate]) -> Candidate:
        """The least loaded of the request's class; of all, while the class is out of balance or has none left."""
        least = lightest(candidates, occupancy, self._random)
        if request.body_length is None:
            return least
        classes = self._lengths.of(request.body_length)
        self._lengths.observe(request.body_length)
        own = [candidate for candidate in candidates if self._class_of.get(candidate.replica) in classes]
        if not own:
            return least
        chosen = lightest(own, occupancy, self._random)
        overfull = out_of_balance(chosen, least, self.options.imbalance, self.options.slack)
        return least if overfull else chosen

    def changed(self, candidates: Sequence[Candidate]) -> None:
        """Deal the replicas out anew."""
        replicas = sorted(candidate.replica for candidate in candidates)
        classes = min(self.options.classes, len(replicas)) or 1
        self._lengths.divide(classes)
        self._class_of = {replica: rank * classes // len(replicas) for rank, replica in enumerate(replicas)}
