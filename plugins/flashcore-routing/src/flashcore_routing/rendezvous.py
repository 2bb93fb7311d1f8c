"""Rendezvous hashing with bounded load: each key has its own order of replicas, the first with room serves it.

When a replica leaves, only its keys move; when one comes, it takes its share from all. No replica gets more than
`bound` times its fair share of what is in flight, so a popular key spills over to the next in its order.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence

from flashcore.hookspecs.routing import Candidate
from flashcore_routing.load import capacity


def preferred(key: bytes, candidates: Sequence[Candidate], bound: float) -> Candidate:
    """The first candidate with room in the order of `key`. `bound` is over 1, so one always has room."""
    share = bound * (sum(candidate.in_flight for candidate in candidates) + 1) / sum(map(capacity, candidates))
    room = [candidate for candidate in candidates if candidate.in_flight < math.ceil(share * capacity(candidate))]
    return max(room or candidates, key=lambda candidate: _score(key, candidate))


def _score(key: bytes, candidate: Candidate) -> float:
    digest = hashlib.blake2b(candidate.replica.encode(), key=key[:64], digest_size=8).digest()
    uniform = (int.from_bytes(digest, "big") + 0.5) / 2**64
    return capacity(candidate) / -math.log(uniform)
