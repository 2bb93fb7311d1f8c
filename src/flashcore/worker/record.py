"""A replica's record on disk: who it is, where its socket is, and what it said of itself last.

The replica writes it itself, in one step, before it says "starting": whoever finds it later (the next control plane, an
operator) knows which process it is about, and a record without a live socket tells how far a dead replica came.
"""

from __future__ import annotations

import contextlib
import json
import os
from dataclasses import dataclass
from pathlib import Path

from flashcore.model.codec import CodecError, from_json, to_json
from flashcore.wire.hello import Identity, Status

RECORD_FILE = "replica.json"


@dataclass(frozen=True, slots=True)
class ReplicaRecord:
    """The content of the file."""

    identity: Identity
    socket: str
    """Path of the control socket."""
    start_ticks: int | None
    """Of the process, see `processes.start_ticks`: with pid and boot id it names one process for ever."""
    status: Status


def write_record(path: Path, record: ReplicaRecord) -> None:
    """Write it whole or not at all. Raises OSError."""
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        draft.write_text(json.dumps(to_json(record)), encoding="utf-8")
        draft.replace(path)
    except OSError:
        with contextlib.suppress(OSError):
            draft.unlink()
        raise


def read_record(path: Path) -> ReplicaRecord | None:
    """What it says; None when there is none, or it cannot be read (a crash of the machine, another version)."""
    try:
        return from_json(ReplicaRecord, json.loads(path.read_bytes()))
    except (OSError, ValueError, CodecError):
        return None
