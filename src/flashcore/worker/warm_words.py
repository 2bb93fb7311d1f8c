"""What a warm parent and its provider say to each other: one JSON object in each packet of a socket pair.

The provider says Fork, with the descriptor that the replica answers on when it listens. The parent says Warm or Unfit
once, then Forked (with a descriptor of the new process) or Refused to each Fork, and Ended whenever a replica of its
own has ended. When either side closes, the other one ends or carries on alone: nothing needs to be said.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass

LONGEST = 128 * 1024
"""Bytes of one word: a replica's environment fits, and a socket's buffer holds it."""


@dataclass(frozen=True, slots=True)
class Fork:
    """Start a replica."""

    environment: Mapping[str, str]
    """What is its own; the rest is as the parent was given it."""
    work: str
    """Its working directory."""


@dataclass(frozen=True, slots=True)
class Warm:
    """The code is imported; replicas can be forked."""

    seconds: float
    """That the import took."""


@dataclass(frozen=True, slots=True)
class Unfit:
    """Replicas of this code cannot be forked from here."""

    reason: str


@dataclass(frozen=True, slots=True)
class Forked:
    """A replica's process runs."""

    pid: int


@dataclass(frozen=True, slots=True)
class Refused:
    """The machine gave no process."""

    reason: str


@dataclass(frozen=True, slots=True)
class Ended:
    """A replica's process has ended, and what was left of its group was killed."""

    pid: int
    status: int
    """Its exit status; a signal is its negative number."""


Word = Fork | Warm | Unfit | Forked | Refused | Ended

_KINDS: Mapping[str, type[Word]] = {kind.__name__: kind for kind in (Fork, Warm, Unfit, Forked, Refused, Ended)}


def encode(word: Word) -> bytes:
    """A packet. Written by hand: whatever a parent runs between two forks takes memory from what replicas share."""
    return json.dumps([type(word).__name__, *(getattr(word, name) for name in word.__slots__)]).encode("ascii")


def decode(packet: bytes) -> Word:
    """The word in a packet. Raises ValueError."""
    name, *fields = json.loads(packet)
    try:
        return _KINDS[name](*fields)
    except (KeyError, TypeError) as error:
        raise ValueError(f"{name} is no word between a warm parent and its provider: {error}") from error
