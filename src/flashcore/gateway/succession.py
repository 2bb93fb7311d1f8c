"""One gateway at a time has the environment, and how the next one comes by it.

The environment's lock says who: its holder alone has the job store, the presence file and the sockets by which workers,
control planes and other gateways find it, and takes all of those away before it lets go. The kernel lets go for one
that is killed. A gateway that is asked to retire gives up the lock, and goes on with nothing but what replicas are at.
"""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import signal
import time
from io import BufferedRandom

from flashcore.gateway.files import make_private_directory
from flashcore.gateway.handover import Heard, ask_to_retire
from flashcore.model.errors import Refused
from flashcore.model.layout import Layout
from flashcore.presence import Presence, read_presence

_log = logging.getLogger(__name__)

_LOOK = 0.005
_SLACK = 5.0


class Office:
    """The environment's lock, held from the making of this until it is closed."""

    def __init__(self, file: BufferedRandom) -> None:
        self._file = file

    def close(self) -> None:
        """Let the next one have it. Idempotent."""
        self._file.close()


def take_office(layout: Layout) -> Office:
    """Be the environment's gateway. Raises Refused where it has one."""
    file = _lock_file(layout)
    if not _locks(file):
        file.close()
        raise _has_one(layout)
    return Office(file)


def succeed(layout: Layout, grace: float) -> Office:
    """Be the environment's gateway after the one that is, which is asked to retire. Blocks until it has.

    `grace` is what that one has for each of two things: answering those who wait for it, and storing what its workers
    said. One that needs longer hangs, and is killed. Raises Refused where not even that helps.
    """
    file = _lock_file(layout)
    predecessor = read_presence(layout.gateway_file)
    if not _locks(file):
        if ask_to_retire(layout.listeners_socket) is Heard.NOT_UNDERSTOOD:
            _signal(predecessor, signal.SIGINT)  # it ends what it has, then lets go
        if not _locks_within(file, 2 * grace + _SLACK):
            _log.error("the last gateway does not let go and is killed")
            _signal(predecessor, signal.SIGKILL)
            if not _locks_within(file, _SLACK):
                file.close()
                raise _has_one(layout)
    return Office(file)


def _lock_file(layout: Layout) -> BufferedRandom:
    make_private_directory(layout.home)
    return (layout.home / "gateway.lock").open("a+b")


def _locks(file: BufferedRandom) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _locks_within(file: BufferedRandom, seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while not _locks(file):
        if time.monotonic() >= deadline:
            return False
        time.sleep(_LOOK)  # a lock's end is no event to who cannot wait for it without an end
    return True


def _signal(gateway: Presence | None, number: signal.Signals) -> None:
    if gateway is not None and gateway.alive:
        with contextlib.suppress(ProcessLookupError):
            os.kill(gateway.pid, number)


def _has_one(layout: Layout) -> Refused:
    other = read_presence(layout.gateway_file)
    where = f" at {other.url} (pid {other.pid})" if other is not None else ""
    return Refused(
        f"environment {layout.environment!r} of {layout.root} has a gateway already{where}",
        next_step="use it, or stop it first: flashcore server stop",
    )
