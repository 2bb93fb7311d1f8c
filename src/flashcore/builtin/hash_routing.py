"""hash: requests with one value of a header go to one replica, with bounded load.

Rendezvous hashing: each key has its own order of all replicas. When a replica leaves, only its keys move; when one
comes, it takes a share from all. A replica with more than `bound` times its fair share of what is in flight is passed
over, so a popular key spills over to the next in its order and to no other (Mirrokni, Thorup, Zadimoghaddam,
"Consistent hashing with bounded loads", 2016).
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from random import Random

from flashcore.builtin.p2c import PowerOfTwoChoices
from flashcore.hookspecs.routing import BodyNeed, Candidate, RoutedRequest
from flashcore.model.errors import InvalidOptions
from flashcore.model.names import ReplicaId
from flashcore.model.parts import HashRouting

_MASK = (1 << 64) - 1


class HashPolicy:
    """Remembers no keys: all gateways send a key to the same replica, after a restart too.

    A request without the header goes to the lighter of two replicas. Raises InvalidOptions for a bound of 1 or less.
    """

    body_need = BodyNeed.NONE
    body_limit = 0

    def __init__(self, options: HashRouting, random: Random | None = None) -> None:
        if not options.bound > 1:
            raise InvalidOptions(
                f"routing policy 'hash', option bound: must be greater than 1, not {options.bound}",
                next_step="1.25 lets a replica have a quarter more than its fair share",
                path="bound",
            )
        self._header = options.header.lower()
        self._bound = options.bound
        self._keyless = PowerOfTwoChoices(random)
        self._seeds: Mapping[ReplicaId, int] = {}

    def choose(self, request: RoutedRequest, candidates: Sequence[Candidate]) -> Candidate:
        """The first with room in the order of the key."""
        key = request.headers.get(self._header)
        if not key:
            return self._keyless.choose(request, candidates)
        hashed = _hash(key)
        room = _with_room(candidates, self._bound)
        return max(room, key=lambda candidate: self._score(hashed, candidate))

    def changed(self, candidates: Sequence[Candidate]) -> None:
        """Replicas are hashed once, not for every request."""
        self._seeds = {candidate.replica: _hash(candidate.replica) for candidate in candidates}

    def _score(self, key: int, candidate: Candidate) -> float:
        seed = self._seeds.get(candidate.replica)
        uniform = (_mixed(key ^ (_hash(candidate.replica) if seed is None else seed)) + 0.5) / (_MASK + 1)
        # Scaled so that a replica of twice the capacity comes first for twice as many keys.
        return _capacity(candidate) / -math.log(uniform)


def _with_room(candidates: Sequence[Candidate], bound: float) -> Sequence[Candidate]:
    total = sum(candidate.in_flight for candidate in candidates) + 1
    share = bound * total / sum(map(_capacity, candidates))
    room = [one for one in candidates if one.in_flight < math.ceil(share * _capacity(one))]
    return room or candidates


def _capacity(candidate: Candidate) -> float:
    return max(candidate.max_concurrency * candidate.weight, 1e-9)


def _hash(text: str) -> int:
    # Not hash(): that differs from process to process.
    digest = hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest, "big")


def _mixed(value: int) -> int:
    """Every bit of the value in every bit of the result; the finalizer of splitmix64."""
    value = ((value ^ (value >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
    value = ((value ^ (value >> 27)) * 0x94D049BB133111EB) & _MASK
    return value ^ (value >> 31)
