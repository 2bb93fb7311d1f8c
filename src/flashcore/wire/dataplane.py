"""The contract between the control plane and the gateways, whatever carries it.

In production it is a socket per gateway (`messages`: Table, Applied, Signals); in a simulation it is a twin in memory,
so that the real controller runs on it.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Protocol

from flashcore.model.names import EndpointName
from flashcore.model.table import EndpointSignals, RoutingTable
from flashcore.wire.news import News


@dataclass(frozen=True, slots=True)
class GatewayState:
    """One gateway that counts: what it serves by, and what it refused."""

    gateway: str
    applied: int
    """Version of the table that it serves by, 0 for none."""
    refused: int = 0
    """Version of the newest table that it refused, 0 for none."""
    reason: str = ""
    trouble: str = ""
    """Why it cannot keep jobs at present; empty when it can, or does not say."""


class DataPlane(Protocol):
    """All gateways of one environment, as the controller sees them."""

    async def publish(self, table: RoutingTable) -> None:
        """Give the table to every gateway, now and when one connects; does not wait for them."""
        ...

    def gateways(self) -> tuple[GatewayState, ...]:
        """The gateways that are connected, or were until a moment ago. A drain waits for all of them."""
        ...

    def signals(self, endpoint: EndpointName) -> tuple[EndpointSignals, ...]:
        """What each gateway last said of an endpoint."""
        ...

    def changes(self) -> AsyncIterator[News]:
        """Yields where to look, when an ack, a refusal, new signals, or a gateway came or went."""
        ...
