"""The last table that this environment was served by, kept for the next start of the gateway.

It stands whole in one file. What changed since is written behind one another into a second one, until that is as long
as the first: then the table is written whole again. So a change of one route costs what the route costs, and a file is
at no time in a state from which no table could be read.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Iterator
from pathlib import Path

from flashcore.gateway.files import replace_file
from flashcore.gateway.tabletext import RouteTexts
from flashcore.model.codec import CodecError, from_json
from flashcore.model.table import RoutingTable, TableChange, changed_table

_log = logging.getLogger(__name__)


class TableFile:
    """Writes tables down. A disk that refuses is logged: the table is served all the same."""

    def __init__(self, path: Path, changes: Path, texts: RouteTexts | None = None) -> None:
        self._path = path
        self._changes = changes
        self._texts = texts or RouteTexts()
        self._room = 0
        """Bytes that changes may still take; none before the table was written whole, as who knows what is there."""

    def keep(self, table: RoutingTable) -> None:
        """Write the whole table."""
        data = b'{"version":%d,"endpoints":[%b]}' % (table.version, b",".join(map(self._texts.of, table.endpoints)))
        self._texts.keep_only(table)
        try:
            replace_file(self._path, data)
            self._changes.unlink(missing_ok=True)
        except OSError as error:
            self._room = 0
            _log.error("table %d could not be kept in %s: %s; a restart would begin with an older one",
                       table.version, self._path, error)  # fmt: skip
        else:
            self._room = len(data)

    def keep_change(self, change: TableChange, table: RoutingTable) -> None:
        """Write what made the table out of the one that was kept last."""
        removed = json.dumps(change.removed).encode()
        line = b'{"base":%d,"version":%d,"put":[%b],"removed":%b}\n' % (
            change.base, change.version, b",".join(map(self._texts.of, change.put)), removed
        )  # fmt: skip
        if len(line) > self._room:
            self.keep(table)
            return
        try:
            _append(self._changes, line)
            self._room -= len(line)
        except OSError as error:
            # What stands there now may end in half a line, behind which nothing would be read.
            self._room = 0
            _log.error("a change of table %d could not be kept in %s: %s; a restart would begin with an older one",
                       change.base, self._changes, error)  # fmt: skip


def kept_table(path: Path, changes: Path) -> RoutingTable | None:
    """The table that was kept, None if there is none or it cannot be read; then the control plane sends it again."""
    try:
        table = from_json(RoutingTable, json.loads(path.read_bytes()))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, RecursionError, CodecError) as error:
        _log.warning("%s cannot be used: %s; waiting for the control plane to send the table", path, error)
        return None
    for change in _kept_changes(changes):
        # Who was ended between the table and its changes left some that are in the table already.
        if change.base == table.version:
            table = changed_table(table, change)
    return table


def _kept_changes(path: Path) -> Iterator[TableChange]:
    """All that can be read: the last of them may have been cut off, and nothing is behind it."""
    try:
        for line in path.read_bytes().splitlines():
            yield from_json(TableChange, json.loads(line))
    except FileNotFoundError:
        return
    except (OSError, ValueError, RecursionError, CodecError) as error:
        _log.warning("%s ends early: %s; waiting for the control plane to send what is missing", path, error)


def _append(path: Path, data: bytes) -> None:
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), "wb") as file:
        file.write(data)
