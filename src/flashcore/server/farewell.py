"""What a control plane that was told to end everything leaves behind: word of how that went.

Nobody waits for it but whoever told it to, who is another process and sees no more than that it ended.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flashcore.model.codec import CodecError, from_json, to_json
from flashcore.model.errors import DeadlineExceeded, FlashcoreError, Unavailable, error_from_json
from flashcore.model.layout import Layout
from flashcore.presence import Presence
from flashcore.worker.processes import boot_id, start_ticks
from flashcore.worker.record import RECORD_FILE, read_record

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Farewell:
    """Of the process with this pid and start; `problem` is what kept it from ending everything, None if nothing did."""

    pid: int
    ticks: int | None
    boot: str
    problem: Mapping[str, Any] | None = None

    def is_of(self, presence: Presence) -> bool:
        """Whether that process said it."""
        return (self.pid, self.ticks, self.boot) == (presence.pid, presence.ticks, presence.boot)


def say_farewell(layout: Layout, problem: FlashcoreError | None) -> None:
    """Say how the end of this process went. Where that cannot be written, whoever waits hears that nothing was said."""
    said = None if problem is None else _with_processes(layout, problem).as_json()
    farewell = Farewell(os.getpid(), start_ticks(os.getpid()), boot_id(), said)
    draft = layout.farewell_file.with_name(f"{layout.farewell_file.name}.{os.getpid()}")
    try:
        draft.write_text(json.dumps(to_json(farewell)), encoding="utf-8")
        draft.replace(layout.farewell_file)
    except OSError as error:
        log.warning("how this end went cannot be written down: %s", error)


def require_all_ended(layout: Layout, ended: Presence) -> None:
    """Raise what kept a control plane that has ended from ending everything; Unavailable if it did not say."""
    farewell = _read(layout)
    if farewell is None or not farewell.is_of(ended):
        raise Unavailable(
            f"the control plane (pid {ended.pid}) ended, and did not say that all else has",
            next_step=f"see {_log_of(layout)}; `flashcore server stop` once more ends what is left",
        )
    if farewell.problem is not None:
        raise error_from_json(farewell.problem)


def left_something(layout: Layout) -> bool:
    """Whether the last control plane that was told to end everything could not."""
    farewell = _read(layout)
    return farewell is not None and farewell.problem is not None


def _log_of(layout: Layout) -> Path:
    return layout.logs / "server.log"


def _read(layout: Layout) -> Farewell | None:
    try:
        return from_json(Farewell, json.loads(layout.farewell_file.read_text(encoding="utf-8")))
    except (OSError, ValueError, RecursionError, CodecError):
        return None


def _with_processes(layout: Layout, problem: FlashcoreError) -> FlashcoreError:
    """The same, with the processes of the replicas that it names, those of them that are on this machine."""
    if not isinstance(problem, DeadlineExceeded):
        return problem
    found = [_process_of(layout, str(name)) for name in problem.data.get("replicas", ())]
    pids = [str(pid) for pid in found if pid is not None]
    end = f"; or end them by hand: kill -9 {' '.join(pids)}" if pids else ""
    again = f"see {_log_of(layout)}; `flashcore server stop` tries it again{end}"
    return DeadlineExceeded(problem.message, next_step=again, **problem.data, pids=[int(pid) for pid in pids])


def _process_of(layout: Layout, replica: str) -> int | None:
    record = read_record(layout.replicas / replica / RECORD_FILE)
    if record is None or start_ticks(record.identity.pid) != record.start_ticks:
        return None
    return record.identity.pid
