"""The data plane socket: the control plane connects, brings tables, and is told what they led to.

The gateway needs nobody here: while no control plane is connected it serves by the table that it has.
"""

from __future__ import annotations

import logging
from asyncio import BaseTransport
from pathlib import Path

from flashcore.gateway.connections import MessageConnection
from flashcore.gateway.signals import Signaller
from flashcore.gateway.table import LiveTable, TableRefused
from flashcore.gateway.tablefile import keep_table
from flashcore.model.codec import CodecError, from_json, to_json
from flashcore.model.errors import ProtocolError
from flashcore.model.names import EndpointName
from flashcore.model.table import EndpointSignals, RoutingTable
from flashcore.wire.messages import Applied, Message, Signals, Table

_log = logging.getLogger(__name__)


class ControlLink:
    """All connections of control planes: one as a rule, two while one takes over from the other."""

    def __init__(self, live: LiveTable, kept_at: Path) -> None:
        self.signaller: Signaller | None = None
        self._live = live
        self._kept_at = kept_at
        self._connections: set[ControlConnection] = set()

    def connection(self) -> ControlConnection:
        """Serve one more connection."""
        return ControlConnection(self)

    def tell(self, endpoint: EndpointName, signals: EndpointSignals) -> None:
        """Tell every control plane that listens."""
        for connection in self._connections:
            connection.send(Signals(endpoint, to_json(signals)))

    def joined(self, connection: ControlConnection) -> None:
        """A control plane is here: it hears at once by what is being served."""
        self._connections.add(connection)
        connection.send(Applied(self._live.routes.version))
        if self.signaller is not None:
            self.signaller.repeat()

    def left(self, connection: ControlConnection) -> None:
        """A control plane is gone; nothing changes."""
        self._connections.discard(connection)

    def offered(self, connection: ControlConnection, message: Table) -> None:
        """Serve by a table and tell everybody, or tell the one who brought it why not."""
        try:
            table = from_json(RoutingTable, message.table)
            if table != self._live.routes.table:
                self._live.apply(table)
                keep_table(self._kept_at, table)
        except (CodecError, TableRefused) as error:
            _log.error("table %d is refused: %s", message.version, error)
            connection.send(Applied(message.version, refused=str(error)))
            return
        for each in self._connections:
            each.send(Applied(table.version))

    def close(self) -> None:
        """End every connection."""
        for connection in list(self._connections):
            connection.close()


class ControlConnection(MessageConnection):
    """One control plane's connection."""

    def __init__(self, link: ControlLink) -> None:
        super().__init__()
        self._link = link

    def take(self, message: Message) -> None:
        """Tables, and nothing else."""
        if not isinstance(message, Table):
            raise ProtocolError(f"a control plane sends tables, not a {type(message).__name__}")
        self._link.offered(self, message)

    def connection_made(self, transport: BaseTransport) -> None:
        """A control plane connected."""
        super().connection_made(transport)
        self._link.joined(self)

    def ended(self) -> None:
        """It is gone."""
        self._link.left(self)
