"""Starting the control plane in the background, finding it again, and ending it."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import select
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psutil

import flashcore
from flashcore.model import errors
from flashcore.model.layout import Layout
from flashcore.presence import Presence, is_locked, presence_of, read_presence, write_presence
from flashcore.registry.policy import policy_arguments
from flashcore.server.interrupts import interrupted_afterwards
from flashcore.settings import Project

START_TIMEOUT = 60.0
"""Seconds that a control plane has until it answers."""

STOP_TIMEOUT = 60.0
"""Seconds that it has to end, at least; it says itself when it may take longer."""


def running_server(project: Project) -> Presence | None:
    """The control plane of the environment, None when none runs."""
    presence = read_presence(project.layout.server_file)
    return presence if presence is not None and presence.alive else None


def running_gateway(project: Project) -> Presence | None:
    """The gateway of the environment, None when none runs. It goes on without a control plane."""
    presence = read_presence(project.layout.gateway_file)
    return presence if presence is not None and presence.alive else None


def was_cut_off(project: Project) -> bool:
    """Whether a control plane ended without being told to: one that is told takes its file away."""
    return project.layout.server_file.exists() and running_server(project) is None


def wait_for_start(project: Project) -> None:
    """Return when no control plane is on its way up: somebody may have begun a start and not waited for it."""
    deadline = time.monotonic() + START_TIMEOUT
    while running_server(project) is None and time.monotonic() < deadline:
        starting = read_presence(project.layout.starting_file)
        if starting is None or not starting.alive:
            return
        time.sleep(0.05)  # it gives no signal to strangers


def belongs_to_session(layout: Layout) -> bool:
    """Whether a `flashcore dev` that runs has the environment: all of it goes when the session ends."""
    return is_locked(layout.session_lock)


def start_server(project: Project) -> Presence:
    """Start a control plane that outlives this process, and wait until it answers.

    Raises what the start failed with (a port, the state, a full disk), DeadlineExceeded, or Refused for an environment
    that belongs to a session.
    """
    layout = project.layout
    if belongs_to_session(layout):
        raise errors.Refused(
            f"environment {layout.environment!r} belongs to a `flashcore dev` that runs",
            next_step="end that session, or use another environment with --env",
        )
    make_private(layout.local)
    make_private(layout.home)
    make_private(layout.logs)
    read_end, write_end = os.pipe()
    try:
        with interrupted_afterwards(), (layout.logs / "server.log").open("ab") as log:
            process = subprocess.Popen(
                [
                    *(sys.executable, "-P", "-m", "flashcore.server"),
                    *("--project", str(project.root), "--env", project.settings.environment),
                    *("--ready-fd", str(write_end)),
                    *policy_arguments(sys.argv[1:]),
                ],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                pass_fds=(write_end,),
                start_new_session=True,
                cwd=project.root,
            )
            # At once: who interrupts this command may end by that note what it has begun.
            _note_start(layout.starting_file, process.pid)
    finally:
        os.close(write_end)
    with os.fdopen(read_end, "rb", buffering=0) as ready:
        said = _read_until_closed(ready.fileno(), START_TIMEOUT)
    return _started(project, process, said)


def stop_process(presence: Presence, timeout: float = STOP_TIMEOUT) -> None:
    """Wait for a process that was told to stop. Raises DeadlineExceeded."""
    if not presence.ended_within(timeout):
        raise errors.DeadlineExceeded(
            f"the control plane (pid {presence.pid}) did not end within {timeout:.0f} s",
            next_step=f"look at its log, or end it: kill -9 {presence.pid}",
        )


def make_private(folder: Path) -> None:
    """Make a folder that only its owner can look into. Raises StorageFull, or ConfigurationError if it cannot be."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise as_storage_error(error, folder) from error


def make_socket_folder(layout: Layout) -> None:
    """Make the folder of sockets. Raises StorageFull, or ConfigurationError that says why it is not in the project."""
    try:
        make_private(layout.run)
    except errors.ConfigurationError as error:
        if layout.run.parent == layout.home:
            raise
        raise errors.ConfigurationError(
            f"{error.message}; sockets lie there, as their paths in {layout.home} would be too long",
            next_step=f"make {layout.run.parent} writable, or have all commands use a short folder: TMPDIR=/run",
        ) from error


def as_storage_error(error: OSError, path: Path | str) -> errors.FlashcoreError:
    """What a failed write means to the person who waits."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return errors.StorageFull(f"there is no room to write {path}", next_step="free some space and try again")
    step = "check its owner and mode"
    if error.errno == errno.EROFS:
        step = "mount it for writing; where the system took that away by itself, its log says why (dmesg)"
    return errors.ConfigurationError(f"{path} cannot be written: {error.strerror or error}", next_step=step)


def _note_start(file: Path, pid: int) -> None:
    """For who wants to end it before it listens. A process that has ended already needs no note."""
    with contextlib.suppress(psutil.NoSuchProcess, OSError):
        write_presence(file, presence_of(pid, "", flashcore.__version__))


def _started(project: Project, process: subprocess.Popen[bytes], said: bytes | None) -> Presence:
    if said is None:
        process.kill()
        raise errors.DeadlineExceeded(
            f"the control plane did not come up within {START_TIMEOUT:.0f} s",
            next_step=f"look at {project.layout.logs / 'server.log'}",
        )
    answer = _parse(said)
    if "error" in answer:
        process.wait()
        return _yield_to_other(project, answer["error"])
    presence = read_presence(project.layout.server_file)
    if not answer or presence is None:
        raise errors.Unavailable(
            "the control plane ended while it started", next_step=f"look at {project.layout.logs / 'server.log'}"
        )
    process.returncode = 0  # it outlives this object, which is what Popen would warn about
    return presence


def _yield_to_other(project: Project, said: dict[str, Any]) -> Presence:
    """Another process started one at the same moment: wait for that one; otherwise raise what went wrong."""
    deadline = time.monotonic() + START_TIMEOUT
    while said.get("code") == errors.Refused.code and time.monotonic() < deadline:
        present = running_server(project)
        if present is not None:
            return present
        time.sleep(0.05)  # the other process gives no signal to strangers
    raise errors.error_from_json(said)


def _read_until_closed(descriptor: int, timeout: float) -> bytes | None:
    """Everything until the other end closes; None when it takes too long."""
    deadline = time.monotonic() + timeout
    said = b""
    while (left := deadline - time.monotonic()) > 0:
        if not select.select([descriptor], [], [], left)[0]:
            break
        piece = os.read(descriptor, 65_536)
        if not piece:
            return said
        said += piece
    return None


def _parse(said: bytes) -> dict[str, Any]:
    try:
        answer = json.loads(said)
    except ValueError:
        return {}
    return answer if isinstance(answer, dict) else {}
