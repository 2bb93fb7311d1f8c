"""Which replicas have lately seen which beginnings of prompts. Bounded: what was used longest ago is forgotten."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Container, Sequence

from flashcore.model.names import InstanceId

MOST_OWNERS = 8
"""Replicas remembered per block; a beginning that is known everywhere says nothing about where to go."""


def block_keys(text: str, block: int) -> list[int]:
    """One key per whole block of the text, each standing for the text from its start to that block's end.

    The keys mean nothing in another process.
    """
    keys: list[int] = []
    key = 0
    for start in range(0, len(text) - block + 1, block):
        key = hash((key, text[start : start + block]))
        keys.append(key)
    return keys


class PrefixOwners:
    """Owners are lives of replicas, not replicas: a process that was started again has an empty cache."""

    def __init__(self, blocks: int) -> None:
        self._blocks = blocks
        self._owners: OrderedDict[int, tuple[InstanceId, ...]] = OrderedDict()

    def __len__(self) -> int:
        """Blocks that are remembered."""
        return len(self._owners)

    def longest(self, keys: Sequence[int], present: Container[InstanceId]) -> tuple[int, list[InstanceId]]:
        """How many of the keys are known to somebody present, and to whom all of these are."""
        known, owners = 0, list[InstanceId]()
        for key in keys:
            here = [owner for owner in self._owners.get(key, ()) if owner in present]
            if not here:
                break
            known, owners = known + 1, here
        return known, owners

    def remember(self, keys: Sequence[int], owner: InstanceId) -> None:
        """`owner` has seen these now."""
        # From the longest to the shortest: of one prompt, the beginning is worth most and is forgotten last.
        for key in reversed(keys):
            others = (other for other in self._owners.pop(key, ()) if other != owner)
            self._owners[key] = (owner, *others)[:MOST_OWNERS]
        while len(self._owners) > self._blocks:
            self._owners.popitem(last=False)
