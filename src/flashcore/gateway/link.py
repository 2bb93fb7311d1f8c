"""The data plane socket: the control plane connects, brings tables, and is told what they led to.

The gateway needs nobody here: while no control plane is connected it serves by the table that it has.
"""

from __future__ import annotations

import asyncio
import logging
from asyncio import BaseTransport
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from flashcore.gateway.accessfile import keep_tokens
from flashcore.gateway.connections import MessageConnection
from flashcore.gateway.keyring import Keyring
from flashcore.gateway.signals import Signaller
from flashcore.gateway.table import LiveTable, OtherBase, TableRefused
from flashcore.gateway.tablefile import TableFile
from flashcore.gateway.tabletext import RouteTexts
from flashcore.model.codec import CodecError, from_json, to_json
from flashcore.model.errors import ProtocolError
from flashcore.model.layout import Layout
from flashcore.model.names import EndpointName
from flashcore.model.table import EndpointSignals, TableChange
from flashcore.model.token import Token
from flashcore.wire.messages import (
    Access,
    Applied,
    ControlHello,
    ControlWelcome,
    Kind,
    Message,
    Part,
    Quiesce,
    Quiesced,
    Signals,
    Table,
    TableUpdate,
    Trouble,
)
from flashcore.wire.parts import Parts
from flashcore.wire.versions import DATA_PLANE, agree

_log = logging.getLogger(__name__)


class Work(Protocol):
    """What comes in and has to be answered."""

    async def quiesce(self, grace: float) -> int:
        """Take nothing new; returns how much is left of the rest, after `grace` seconds at most."""
        ...

    def resume(self) -> None:
        """Take new work again."""
        ...


class ControlLink:
    """All connections of control planes: one as a rule, two while one takes over from the other."""

    def __init__(self, live: LiveTable, keyring: Keyring, layout: Layout, work: Work) -> None:
        self.signaller: Signaller | None = None
        self._live = live
        self._keyring = keyring
        self._layout = layout
        self._work = work
        self._quiet: tuple[ControlConnection, asyncio.Task[None]] | None = None
        """Who wanted no new work to be taken, and the waiting for what is under way."""
        self._texts = RouteTexts()
        self._file = TableFile(layout.table_file, layout.table_changes_file, self._texts)
        self._connections: set[ControlConnection] = set()
        self._greeted: set[ControlConnection] = set()
        """Those that know more than tables and signals."""
        self._trouble = ""
        self._closed = False

    def connection(self) -> ControlConnection:
        """Serve one more connection."""
        return ControlConnection(self)

    def tell(self, endpoint: EndpointName, signals: EndpointSignals) -> None:
        """Tell every control plane that listens. One that does not read is told how it is by then, once it does."""
        for connection in self._connections:
            if not connection.is_behind:
                connection.send(Signals(endpoint, to_json(signals)))

    def caught_up(self) -> None:
        """A control plane reads again, and may have missed something."""
        if self.signaller is not None and not self._closed:
            self.signaller.repeat()

    def joined(self, connection: ControlConnection) -> None:
        """A control plane is here: it hears at once by what is being served."""
        self._connections.add(connection)
        connection.send(Applied(self._live.routes.version))
        if self.signaller is not None:
            self.signaller.repeat()

    def left(self, connection: ControlConnection) -> None:
        """A control plane is gone; nothing changes."""
        self._connections.discard(connection)
        self._greeted.discard(connection)
        if self._quiet is not None and self._quiet[0] is connection and not self._closed:
            # It may have crashed; what comes in its place says itself what it wants.
            self._quiet[1].cancel()
            self._quiet = None
            self._work.resume()

    def quiesced(self, connection: ControlConnection, grace: float) -> None:
        """A control plane is about to end the replicas."""
        if self._quiet is None:
            task = asyncio.get_running_loop().create_task(self._quiesce(connection, grace), name="quiesce")
            self._quiet = connection, task

    async def _quiesce(self, connection: ControlConnection, grace: float) -> None:
        connection.send(Quiesced(await self._work.quiesce(grace)))

    def greeted(self, connection: ControlConnection, message: ControlHello) -> None:
        """A control plane says how it speaks. Raises IncompatiblePeer."""
        version = agree(DATA_PLANE, message.protocol, "a control plane")
        connection.send(ControlWelcome(version))
        if version > DATA_PLANE.lowest:
            self._greeted.add(connection)
            connection.send(Trouble(self._trouble))

    def troubled(self, reason: str) -> None:
        """Jobs cannot be kept at present, for that reason; nothing: they can."""
        if reason != self._trouble:
            self._trouble = reason
            for connection in self._greeted:
                connection.send(Trouble(reason))

    def offered(self, connection: ControlConnection, message: Table) -> None:
        """Serve by a table and tell everybody, or tell the one who brought it why not."""
        with self._refusing(connection, message.version):
            table = self._texts.read(message.table, self._live.routes.table)
            if table != self._live.routes.table:
                self._live.apply(table)
                self._file.keep(self._live.routes.table)
            self._tell_applied()

    def updated(self, connection: ControlConnection, message: TableUpdate) -> None:
        """Serve by what a change makes of the present table and tell everybody, or say why not."""
        with self._refusing(connection, message.version):
            change = from_json(TableChange, message.change)
            self._live.amend(change)
            self._file.keep_change(change, self._live.routes.table)
            self._tell_applied()

    @contextmanager
    def _refusing(self, connection: ControlConnection, version: int) -> Iterator[None]:
        """Tell who brought that version why it is not served by."""
        try:
            yield
        except OtherBase as error:
            _log.warning("table %d needs to come whole: %s", version, error.message)
            connection.send(Applied(self._live.routes.version))
        except (CodecError, TableRefused) as error:
            _log.error("table %d is refused: %s", version, error)
            connection.send(Applied(version, refused=str(error)))

    def _tell_applied(self) -> None:
        for each in self._connections:
            each.send(Applied(self._live.routes.version))

    def granted(self, message: Access) -> None:
        """These are the tokens from now on. Raises ProtocolError for what is no token."""
        try:
            tokens = tuple(from_json(Token, one) for one in message.tokens)
        except CodecError as error:
            raise ProtocolError(f"a token cannot be read: {error}", next_step="upgrade the older process") from error
        self._keyring.take_over(tokens)
        keep_tokens(self._layout.access_file, tokens)

    def close(self) -> None:
        """End every connection."""
        self._closed = True
        if self._quiet is not None:
            self._quiet[1].cancel()
        for connection in list(self._connections):
            connection.close()


class ControlConnection(MessageConnection):
    """One control plane's connection."""

    def __init__(self, link: ControlLink) -> None:
        super().__init__()
        self._link = link
        self._parts = Parts(frozenset({Kind.TABLE, Kind.TABLE_UPDATE}))
        self.is_behind = False
        """It reads slower than it is written to, or not at all."""

    def take(self, message: Message) -> None:
        """Tables, tokens, and that no new work is to be taken."""
        match message:
            case ControlHello():
                self._link.greeted(self, message)
            case Table():
                self._link.offered(self, message)
            case TableUpdate():
                self._link.updated(self, message)
            case Access():
                self._link.granted(message)
            case Part():
                whole = self._parts.take(message)
                if whole is not None:
                    self.take(whole)
            case Quiesce(grace):
                self._link.quiesced(self, grace)
            case _:
                raise ProtocolError(f"a control plane sends tables and tokens, not a {type(message).__name__}")

    def connection_made(self, transport: BaseTransport) -> None:
        """A control plane connected."""
        super().connection_made(transport)
        self._link.joined(self)

    def pause_writing(self) -> None:
        """It does not keep up: what it has yet to read is not to grow for as long as it hangs."""
        self.is_behind = True

    def resume_writing(self) -> None:
        """It has."""
        self.is_behind = False
        self._link.caught_up()

    def ended(self) -> None:
        """It is gone."""
        self._link.left(self)
