"""The last table that this environment was served by, kept for the next start of the gateway."""

from __future__ import annotations

import json
import logging
from pathlib import Path

from flashcore.gateway.files import replace_file
from flashcore.model.codec import CodecError, from_json, to_json
from flashcore.model.table import RoutingTable

_log = logging.getLogger(__name__)


def keep_table(path: Path, table: RoutingTable) -> None:
    """Write the table down. A disk that refuses is logged: the table is served all the same."""
    try:
        replace_file(path, json.dumps(to_json(table), separators=(",", ":")).encode())
    except OSError as error:
        _log.error("table %d could not be kept in %s: %s; a restart would begin with an older one",
                   table.version, path, error)  # fmt: skip


def kept_table(path: Path) -> RoutingTable | None:
    """The table that was kept, None if there is none or it cannot be read; then the control plane sends it again."""
    try:
        return from_json(RoutingTable, json.loads(path.read_bytes()))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, CodecError) as error:
        _log.warning("%s cannot be used: %s; waiting for the control plane to send the table", path, error)
        return None
