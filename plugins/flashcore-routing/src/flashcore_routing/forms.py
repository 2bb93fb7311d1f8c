"""What a declaration says of a policy: its options, as plain values. User code imports them, so they need nothing."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Random:
    """Any replica; one of twice the weight twice as often."""


@dataclass(frozen=True, slots=True)
class LeastLoaded:
    """The replica with the smallest expected wait."""


@dataclass(frozen=True, slots=True)
class First:
    """Fill the oldest replica before the next one is used, so that a scaler can take the others away."""


@dataclass(frozen=True, slots=True)
class PrefixHash:
    """Send requests whose body field begins alike to the same replica, unless it has too much to do."""

    field: str = "prompt"
    """Where the text is in a JSON body; inner fields and positions in lists behind dots, as in `input.messages.0`."""
    characters: int = 256
    """How much of the text counts."""
    bound: float = 1.25
    """Most load that a replica may have, as a multiple of its fair share; over 1."""
    body_limit: int = 16_384
    """Bytes of the body within which the text is looked for."""

    def __post_init__(self) -> None:
        """Refuse numbers that mean nothing."""
        _require(bool(self.field), "field must name a field of the body")
        _require(self.characters >= 1, f"characters must be at least 1, not {self.characters}")
        _require(self.bound > 1, f"bound must be over 1, not {self.bound}")
        _require(self.body_limit >= 1, f"body_limit must be at least 1 byte, not {self.body_limit}")


@dataclass(frozen=True, slots=True)
class CacheAware:
    """Send a prompt to the replica that has seen most of its beginning, unless loads are out of balance."""

    field: str = "prompt"
    """Where the prompt is in a JSON body; inner fields and positions in lists behind dots, as in `input.messages`."""
    block: int = 64
    """Characters that are remembered as one; shorter prompts go to the least loaded replica."""
    blocks: int = 65_536
    """How many blocks are remembered; the one that was used longest ago is forgotten first."""
    match: float = 0.25
    """Share of a prompt that has to be known. A beginning that all prompts have in common should not be enough."""
    imbalance: float = 1.5
    """Loads are out of balance when the owner has more than this many times the load of the least loaded replica ..."""
    slack: int = 4
    """... and more than this many calls more."""
    body_limit: int = 16_384
    """Bytes of the body within which the prompt is looked for."""

    def __post_init__(self) -> None:
        """Refuse numbers that mean nothing."""
        _require(bool(self.field), "field must name a field of the body")
        _require(self.block >= 1, f"block must be at least 1 character, not {self.block}")
        _require(self.blocks >= 1, f"blocks must be at least 1, not {self.blocks}")
        _require(0 <= self.match <= 1, f"match must be a share from 0 to 1, not {self.match}")
        _require_balance(self.imbalance, self.slack)
        _require(self.body_limit >= 1, f"body_limit must be at least 1 byte, not {self.body_limit}")


@dataclass(frozen=True, slots=True)
class Bucket:
    """Keep short requests clear of long ones: replicas are shared out among classes of body length.

    The boundaries between the classes follow the lengths that were seen, so that each class has equal bytes to do.
    """

    classes: int = 4
    """How many classes there are, where there are as many replicas."""
    window: int = 1_024
    """How many of the last lengths decide the boundaries."""
    imbalance: float = 1.5
    """A request leaves its class when that has more than this many times the load of the least loaded replica ..."""
    slack: int = 4
    """... and more than this many calls more."""

    def __post_init__(self) -> None:
        """Refuse numbers that mean nothing."""
        _require(self.classes >= 1, f"classes must be at least 1, not {self.classes}")
        _require(self.window >= self.classes, f"window must be at least {self.classes}, not {self.window}")
        _require_balance(self.imbalance, self.slack)


def _require_balance(imbalance: float, slack: int) -> None:
    _require(imbalance >= 1, f"imbalance must be at least 1, not {imbalance}")
    _require(slack >= 0, f"slack must be at least 0, not {slack}")


def _require(condition: object, message: str) -> None:
    if not condition:
        raise ValueError(message)
