"""Where a fork's new objects lie: beside each other, not in the gaps between what it shares.

CPython's allocator has pools, each of places of one size, and gives out the free places of old pools first. In a fork
each such place costs the page around it, which was shared until then.
"""

from __future__ import annotations

from collections.abc import Callable

POOL = 16 * 1024
"""Bytes of a pool, whose header is followed by its first place."""
HEADER = 48

_SMALLEST = 16
_LARGEST = 512
_STEP = 16
_EMPTY = 33
"""Bytes of an empty `bytes`."""

_ROW = 8
"""New objects beside each other at a pool's beginning: only a new pool has so much room there."""

_SLACK = 3
"""Places that go to what this code makes for itself meanwhile."""

_ENOUGH = 20_000
"""Objects of one size; whoever has not come to a new pool by then has another allocator."""


def fill_gaps() -> tuple[object, ...]:
    """Objects in the free places of all pools; nothing with another allocator.

    Keep them for as long as nothing new is to come to lie there.
    """
    filling: list[object] = []
    for size in range(_SMALLEST, _LARGEST + 1, _STEP):
        pieces = _until_new_pool(size)
        if pieces is None:
            return ()
        filling += pieces
    return tuple(filling)


def _until_new_pool(size: int) -> list[object] | None:
    make = _maker(size)
    pieces: list[object] = []
    for _ in range(_ENOUGH):
        pieces.append(make())
        if _begin_a_pool(pieces[-_ROW:], size):
            return pieces
    return None


def _begin_a_pool(pieces: list[object], size: int) -> bool:
    """Whether all of them lie at one pool's beginning."""
    limit = HEADER + (_ROW + _SLACK) * size
    return (
        len(pieces) == _ROW
        and all(id(piece) % POOL < limit for piece in pieces)
        and len({id(piece) // POOL for piece in pieces}) == 1
    )


def _maker(size: int) -> Callable[[], object]:
    """Makes objects of so many bytes, each time a new one."""
    if size == _SMALLEST:
        return object
    if size == 2 * _SMALLEST:
        return lambda: int.from_bytes(b"\xff\xff\xff")
    return lambda: bytes(size - _EMPTY)
