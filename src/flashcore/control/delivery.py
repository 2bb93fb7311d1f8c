"""What one gateway is sent next: what changed since the table that it acknowledged, or the whole table.

One table at a time is on its way. What is published meanwhile is not sent by itself: the next one has all of it.
"""

from __future__ import annotations

from flashcore.model.table import RoutingTable, TableChange, change_between


class Delivery:
    """The tables of one gateway. Pure: who owns the connection says what happened, and sends what `next` gives."""

    def __init__(self) -> None:
        self._wanted: RoutingTable | None = None
        self._on_its_way: RoutingTable | None = None
        self._served: RoutingTable | None = None
        """What the gateway acknowledged on this connection; None while it must be sent the whole table."""
        self._refused: RoutingTable | None = None

    def want(self, table: RoutingTable) -> None:
        """This is the table that the gateway is to serve by."""
        self._wanted = table

    def begin(self) -> None:
        """The gateway is there, again: what it serves by is anybody's guess."""
        self._on_its_way = self._served = self._refused = None

    def applied(self, version: int) -> None:
        """The gateway serves by that version."""
        table, self._on_its_way = self._on_its_way, None
        # Any other version came from somebody else, or was there before what was sent could be used.
        self._served = table if table is not None and table.version == version else self._still(version)

    def refused(self, version: int) -> None:
        """The gateway refuses that version. It is not sent again; the next one goes whole."""
        table, self._on_its_way = self._on_its_way, None
        if table is not None and table.version == version:
            self._refused = table
        self._served = None

    def next(self) -> RoutingTable | TableChange | None:
        """What is to be sent now, if anything; it counts as sent."""
        table = self._wanted
        if table is None or self._on_its_way is not None or table in (self._served, self._refused):
            return None
        self._on_its_way = table
        return table if self._served is None else change_between(self._served, table)

    def _still(self, version: int) -> RoutingTable | None:
        return self._served if self._served is not None and self._served.version == version else None
