"""How much may be asked twice: a share of what is asked, so that retries never make an outage worse."""

from __future__ import annotations

RESERVE = 10.0
"""Retries that may be made before there was any traffic to speak of, and the most that are saved up."""


class RetryBudget:
    """Of one endpoint. Each request pays in its share, each retry takes one out."""

    __slots__ = ("_balance", "_share")

    def __init__(self, share: float) -> None:
        self._share = share
        self._balance = RESERVE

    def deposit(self) -> None:
        """A request came."""
        if self._balance < RESERVE:
            self._balance += self._share

    def withdraw(self) -> bool:
        """Take one retry out; False when there is none left."""
        if self._balance < 1.0:
            return False
        self._balance -= 1.0
        return True

    @property
    def has_any(self) -> bool:
        """Whether a retry may be made now."""
        return self._balance >= 1.0
