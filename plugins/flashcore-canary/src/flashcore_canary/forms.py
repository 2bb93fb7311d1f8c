"""What a declaration says of a canary: its options, as plain values. User code imports them, so they need nothing."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Analysis:
    """Go on once the new revision is shown to be no worse than the old one; fail once it is shown to be worse."""

    errors: float = 0.02
    """Failed calls that the new revision may have more, as a share of its calls."""
    slower: float = 0.1
    """Share of calls that may take longer than the old revision's, at every bound of the latency histogram."""
    confidence: float = 0.95
    """How sure the verdict has to be. It holds however often and however long the counts are looked at."""
    patience: float | None = None
    """Seconds after which an open question is settled by `if_unsure`; None: it stays open until a person promotes."""
    if_unsure: str = "hold"
    """`hold`, `pass` or `fail`: what becomes of the rollout when `patience` is over."""
    dry_run: bool = False
    """Only watch: the rollout goes on whatever is found, and what would have stopped it is written to the log."""

    def __post_init__(self) -> None:
        """Refuse numbers that mean nothing."""
        _require(0 < self.errors < 1, f"errors must be a share between 0 and 1, not {self.errors}")
        _require(0 < self.slower < 1, f"slower must be a share between 0 and 1, not {self.slower}")
        _require(0.5 <= self.confidence < 1, f"confidence must be from 0.5 to below 1, not {self.confidence}")
        patience = self.patience
        _require(patience is None or 0 < patience < float("inf"), f"patience must be seconds over 0, not {patience}")
        choices = ("hold", "pass", "fail")
        _require(self.if_unsure in choices, f"if_unsure must be one of {', '.join(choices)}, not {self.if_unsure!r}")


@dataclass(frozen=True, slots=True)
class Canary:
    """Give the new revision a growing share of the calls, and look at how it does before each next step."""

    weights: tuple[int, ...] = (5, 25, 50)
    """Percent of the calls at each step, growing; 100 comes by itself at the end."""
    pause: float | None = 60.0
    """Seconds that each step lasts at least; None: a person promotes each step."""
    max_surge: int | None = None
    """None: the old side stays whole until the end, so that going back is instant; up to twice the replicas exist.

    A number: both sides share the goal and that many replicas more, and weights are met as nearly as counts can.
    """
    keep_old: float = 0.0
    """Seconds for which the old side is kept warm afterwards."""
    analysis: bool = True
    """Whether each step asks the gate `analysis` as well, with the options that follow."""
    errors: float = 0.02
    slower: float = 0.1
    confidence: float = 0.95
    patience: float | None = None
    if_unsure: str = "hold"
    dry_run: bool = False

    def __post_init__(self) -> None:
        """Refuse numbers that mean nothing."""
        weights, pause, surge = self.weights, self.pause, self.max_surge
        _require(all(0 < weight < 100 for weight in weights), f"weights must be from 1 to 99 percent, not {weights}")
        _require(list(weights) == sorted(set(weights)), f"weights must grow from step to step, not {weights}")
        _require(len(weights) > 0, "weights must have a step at least")
        _require(pause is None or 0 <= pause < float("inf"), f"pause must be seconds from 0, or None, not {pause}")
        _require(surge is None or surge >= 0, f"max_surge must be a count from 0, or None, not {surge}")
        _require(0 <= self.keep_old < float("inf"), f"keep_old must be seconds from 0, not {self.keep_old}")
        self.comparison()

    def comparison(self) -> Analysis:
        """The gate that each step asks."""
        return Analysis(self.errors, self.slower, self.confidence, self.patience, self.if_unsure, self.dry_run)


def _require(condition: object, message: str) -> None:
    if not condition:
        raise ValueError(message)
