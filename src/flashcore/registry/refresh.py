"""Examining all plugins in a process of its own.

A plugin may end its process, crash it, block it or print what it likes: `flashcore --help` and `flashcore plugins
list` are what a person needs then, so they must not run any of its code. Whoever ends the process is left out of the
next try.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import IO, Any, Self

from flashcore.registry.index import Setting
from flashcore.registry.local import local_candidate
from flashcore.registry.reports import PluginReport, State, report_from_json
from flashcore.registry.scan import scan

DEADLINE = 10.0
"""Seconds that one plugin may take."""

_NESTED = "FLASHCORE_EXAMINING"
_BOOTSTRAP = """
import json, sys
request = json.load(sys.stdin)
sys.path[:] = request["path"] + request["others"]
from flashcore.registry.survey import main
main(request)
"""


@dataclass(frozen=True, slots=True)
class _End:
    """How one try ended: with the reports, or with somebody to blame, or with neither when it never got so far."""

    reports: tuple[PluginReport, ...] | None
    touched: str
    how: str


def examine(setting: Setting, deadline: float = DEADLINE) -> tuple[PluginReport, ...]:
    """Load every plugin elsewhere and return what came of it. `deadline` is in seconds, for each plugin.

    A plugin whose import runs flashcore again is spared the recursion: there, no plugin is known.
    """
    if _NESTED in os.environ:
        return ()
    crashed: dict[str, str] = {}
    while True:
        end = _try(setting, crashed, deadline)
        if end.reports is not None:
            return end.reports
        if not end.touched or end.touched in crashed:
            return tuple(_unexamined(setting, end.how))
        crashed[end.touched] = end.how


def _try(setting: Setting, crashed: dict[str, str], deadline: float) -> _End:
    with _Pipe() as pipe, tempfile.TemporaryFile() as errors:
        try:
            process = subprocess.Popen(
                [sys.executable, "-c", _BOOTSTRAP],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=errors,
                pass_fds=(pipe.far,),
                start_new_session=True,
                env={**os.environ, _NESTED: "1"},
            )
        except OSError as error:
            return _End(None, "", str(error))
        pipe.close_far()
        try:
            _ask(process, _request(setting, crashed, pipe.far))
            reports, touched, punctual = _follow(pipe.near, deadline)
            if reports is not None:
                return _End(reports, touched, "")
            how = f"examining it took longer than {deadline:g} s" if not punctual else _ending(process.wait(), errors)
            return _End(None, touched, how)
        finally:
            _end(process)


class _Pipe:
    """A pipe whose far end goes to another process."""

    def __init__(self) -> None:
        self.near, self.far = os.pipe()
        self._far_open = True

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self.near)
        self.close_far()

    def close_far(self) -> None:
        """Without this, the end of the other process would not be the end of the pipe."""
        if self._far_open:
            os.close(self.far)
            self._far_open = False


def _request(setting: Setting, crashed: dict[str, str], answer: int) -> dict[str, Any]:
    return {
        "path": setting.path,
        # Where nothing is looked for, and from where imports are possible all the same.
        "others": [entry for entry in sys.path if entry not in setting.path],
        "policy": asdict(setting.policy),
        "project": str(setting.project) if setting.project is not None else None,
        "crashed": crashed,
        "answer": answer,
    }


def _ask(process: subprocess.Popen[bytes], request: dict[str, Any]) -> None:
    if process.stdin is None:
        raise ValueError("the examining process takes its request from its standard input")
    # It may be gone already; how it ended is told by its exit status.
    with contextlib.suppress(BrokenPipeError), process.stdin as stdin:
        stdin.write(json.dumps(request).encode())


def _follow(pipe: int, deadline: float) -> tuple[tuple[PluginReport, ...] | None, str, bool]:
    """Read to the end: the reports if they came, the plugin touched last, and whether it all came in time."""
    touched = ""
    pending = b""
    while select.select([pipe], [], [], deadline)[0]:
        received = os.read(pipe, 1 << 16)
        if not received:
            return None, touched, True
        *lines, pending = (pending + received).split(b"\n")
        for line in lines:
            said = json.loads(line)
            touched = said.get("touching", touched)
            if "reports" in said:
                return tuple(report_from_json(report) for report in said["reports"]), touched, True
    return None, touched, False


def _ending(status: int, errors: IO[bytes]) -> str:
    how = f"signal {signal.Signals(-status).name}" if status < 0 else f"exit status {status}"
    errors.seek(0)
    lines = errors.read().decode(errors="replace").strip().splitlines()
    return f"examining it ended the process with {how}" + (f": {lines[-1].strip()}" if lines else "")


def _end(process: subprocess.Popen[bytes]) -> None:
    """The process and all that it started are gone afterwards."""
    # Nothing may be left of it; some systems say that the second way.
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _unexamined(setting: Setting, how: str) -> Iterator[PluginReport]:
    local = local_candidate(setting.project)
    for one in (*scan(setting.path), *((local,) if local else ())):
        yield PluginReport(
            one.origin,
            one.module,
            one.source,
            State.BROKEN,
            reason=f"no plugin could be examined: {how}",
            next_step="run: flashcore doctor",
        )
