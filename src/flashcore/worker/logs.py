"""What user code prints, as whole lines that say which job they belong to, in a file that does not grow for ever.

[job 3f2c] loading the index             print() or logging in a job; `[request ID]` in an HTTP request
anything else                            printed outside of a job, or past Python (a C library, a child process)
2026-11-22T09:40:47.123Z flashcore: ...  the worker itself
"""

from __future__ import annotations

import contextlib
import os
import sys
import threading
import time
from pathlib import Path
from typing import Any, TextIO, cast

from flashcore.worker.job import CURRENT, CurrentJob


class LogFile:
    """The file behind stdout and stderr. Without a path nothing is ever rotated."""

    def __init__(self, path: Path | None, limit: int) -> None:
        self._path = path
        self._limit = limit
        self._lock = threading.Lock()
        self._written = 0

    def wrote(self, count: int) -> None:
        """Count bytes that went through Python, and look at the file when they alone would fill it."""
        self._written += count
        if self._written >= self._limit:
            self.rotate_if_full()

    def rotate_if_full(self) -> None:
        """Begin a new file when the present one has reached the limit; also for what was written past Python."""
        if self._path is None:
            return
        with self._lock:
            self._written = 0
            try:
                if self._path.stat().st_size >= self._limit:
                    self._rotate(self._path)
            except OSError:
                return  # it was removed, or the disk is full: output goes where it went

    def _rotate(self, path: Path) -> None:
        fresh = path.with_name(f".{path.name}.new")
        descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_TRUNC, 0o600)
        try:
            path.replace(path.with_name(f"{path.name}.1"))
            fresh.replace(path)
            for stream in (1, 2):
                os.dup2(descriptor, stream)
        finally:
            os.close(descriptor)


class JobLines:
    """Stands in for stdout or stderr: what a job writes is held back until its line is complete."""

    def __init__(self, stream: TextIO, file: LogFile) -> None:
        self.file = file
        self._stream = stream
        self._partial: dict[str, str] = {}
        self._since_rotation = 0
        self._lock = threading.RLock()

    def write(self, text: str) -> int:
        """Write, with the job's id before each line where there is a job."""
        job = CURRENT.get()
        with self._lock:
            shown = text if job is None else self._lines(_prefix(job), text)
            self._pass_on(shown)
            self._since_rotation += len(shown)
            if shown.endswith("\n"):  # a file does not end in the middle of a line
                self.file.wrote(self._since_rotation)
                self._since_rotation = 0
        return len(text)

    def writelines(self, lines: Any) -> None:
        """Write each of them."""
        for line in lines:
            self.write(line)

    def flush(self) -> None:
        """What is complete has been written already; a job's unfinished line waits for its end."""
        with contextlib.suppress(OSError, ValueError):
            self._stream.flush()

    def finish(self, job: CurrentJob) -> None:
        """Write what the job left of an unfinished line."""
        if not self._partial:
            return
        with self._lock:
            rest = self._partial.pop(_prefix(job), "")
            self._pass_on(f"{_prefix(job)}{rest}\n" if rest else "")

    def forget_lock(self) -> None:
        """In a forked child: whoever held the lock is not there to release it."""
        self._lock = threading.RLock()

    def __getattr__(self, name: str) -> Any:
        """Everything else (`buffer`, `fileno`, `encoding`, ...) is the stream's own."""
        return getattr(self._stream, name)

    def _pass_on(self, text: str) -> None:
        # A full disk costs lines, never the job that printed them.
        with contextlib.suppress(OSError, ValueError):
            if text:
                self._stream.write(text)
                self._stream.flush()

    def _lines(self, prefix: str, text: str) -> str:
        *whole, rest = (self._partial.pop(prefix, "") + text).split("\n")
        if rest:
            self._partial[prefix] = rest
        return "".join(f"{prefix}{line}\n" for line in whole)


class Output:
    """Both streams of this process, told apart by job. Made once, before user code is imported."""

    def __init__(self, file: LogFile) -> None:
        self.file = file
        self._streams = (JobLines(sys.stdout, file), JobLines(sys.stderr, file))

    def continue_in(self, file: LogFile) -> None:
        """Count and rotate another file from now on: this is a fork, and stdout and stderr lead there."""
        self.file = file
        for stream in self._streams:
            stream.file = file

    def install(self) -> None:
        """Put them in the place of sys.stdout and sys.stderr."""
        sys.stdout, sys.stderr = (cast(TextIO, stream) for stream in self._streams)
        for stream in self._streams:
            os.register_at_fork(after_in_child=stream.forget_lock)

    def finish(self, job: CurrentJob) -> None:
        """A job has ended: let go of what it left unfinished."""
        for stream in self._streams:
            stream.finish(job)

    def say(self, text: str) -> None:
        """A line of the worker's own."""
        now = time.time()
        moment = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(now))
        self._streams[1].write(f"{moment}.{int(now % 1 * 1000):03d}Z flashcore: {text}\n")


def _prefix(job: CurrentJob) -> str:
    return f"[{job.kind} {job.id}] "
