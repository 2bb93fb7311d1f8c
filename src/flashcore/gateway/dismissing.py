"""Ending what was begun by a token that is good no longer: streams, WebSockets, links and long polls may last for days.

Nothing is noted down of a request for this. When a token is gone, all that is under way is looked at once.
"""

from __future__ import annotations

import asyncio
import contextlib
from itertools import islice

from flashcore.gateway.audit import CutOffs
from flashcore.gateway.dispatch import Front
from flashcore.gateway.http.connection import ClientConnection
from flashcore.gateway.http.exchange import Dismissal
from flashcore.gateway.http.server import LOOKED_AT_ONCE, HttpServer
from flashcore.gateway.keyring import Keyring

_LOOK_AGAIN = 1.0
"""Seconds between two looks at the clock, and at the file of the environment's own token."""


class Dismissals:
    """One gateway's."""

    def __init__(self, keyring: Keyring, front: Front, server: HttpServer) -> None:
        self._keyring = keyring
        self._front = front
        self._server = server

    async def run(self) -> None:
        """Dismiss whose token is revoked, at once, and whose has expired, within a second; until it is cancelled."""
        keyring = self._keyring
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_LOOK_AGAIN):
                    await keyring.withdrawn.wait()
            keyring.look_again()
            if keyring.withdrawn.is_set():
                keyring.withdrawn.clear()
                await self._review()

    async def _review(self) -> None:
        """A few connections at a time: between them requests are served."""
        cut_off = CutOffs()
        connections = iter(self._server.connections)
        while some := tuple(islice(connections, LOOKED_AT_ONCE)):
            for connection in some:
                try:
                    self._look_at(connection, cut_off)
                except Exception as error:  # noqa: BLE001 - one connection's failure lets nobody else go on
                    connection.crash(error)
            await asyncio.sleep(0)
        cut_off.tell()

    def _look_at(self, connection: ClientConnection, cut_off: CutOffs) -> None:
        head = connection.asked
        scopes = None if head is None else self._front.needs(head)
        if head is None or scopes is None:
            return
        lost = self._keyring.lost(head, scopes)
        if lost is not None:
            connection.dismiss(Dismissal(lost.answer, lost.reason))
            cut_off.note(lost.token, lost.reason, lost.what, connection.peer)
