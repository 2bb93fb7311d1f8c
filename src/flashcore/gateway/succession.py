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
from flashcore.gateway.retired import retired_gateways, serving_gateway
from flashcore.model.errors import Refused
from flashcore.model.layout import Layout
from flashcore.presence import Presence, is_locked, read_presence

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
    said. One that needs longer hangs, and is killed. Where another one comes between that is asked as well: of two that
    were started at once, each has its turn. Raises Refused where not even that helps, and where the one that runs
    cannot retire.
    """
    file = _lock_file(layout)
    try:
        _Wait(layout, 2 * grace + _SLACK).until_free(file)
    except BaseException:
        file.close()
        raise
    return Office(file)


class _Wait:
    """For the end of whoever has the environment: each of them has so many seconds to let go."""

    def __init__(self, layout: Layout, patience: float) -> None:
        self._layout = layout
        self._patience = patience
        self._asked: Presence | None = None

    def until_free(self, file: BufferedRandom) -> None:
        """Return with the lock. Raises Refused."""
        until = time.monotonic() + self._patience
        while not _locks(file):
            serving = serving_gateway(self._layout)
            if serving is not None and serving != self._asked and self._is_heard_by(serving):
                self._asked = serving
                until = time.monotonic() + self._patience
            elif time.monotonic() >= until:
                self._kill(serving)
                if not _locks_within(file, _SLACK):
                    raise _has_one(self._layout)
                return
            time.sleep(_LOOK)  # a lock's end is no event to who cannot wait for it without an end

    def _is_heard_by(self, serving: Presence) -> bool:
        heard = ask_to_retire(self._layout.listeners_socket)
        if heard is Heard.NOT_UNDERSTOOD:
            _signal(serving, signal.SIGINT)  # it ends what it has, then lets go
        return heard is not Heard.NOT

    def _kill(self, serving: Presence | None) -> None:
        """One that says that it made room has: it is another one that does not let go, of whom nothing is known."""
        hanging = serving or self._asked
        if hanging is None or any(
            one.presence.pid == hanging.pid and one.left is not None for one in retired_gateways(self._layout)
        ):
            return
        _log.error("the last gateway (pid %d) does not let go and is killed", hanging.pid)
        _signal(hanging, signal.SIGKILL)


def is_taken(layout: Layout) -> bool:
    """Whether some process is the environment's gateway, or as good as: it may not say so yet."""
    return is_locked(layout.home / "gateway.lock")


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


def _signal(gateway: Presence, number: signal.Signals) -> None:
    if gateway.alive:
        with contextlib.suppress(ProcessLookupError):
            os.kill(gateway.pid, number)


def _has_one(layout: Layout) -> Refused:
    other = read_presence(layout.gateway_file)
    where = f" at {other.url} (pid {other.pid})" if other is not None else ""
    return Refused(
        f"environment {layout.environment!r} of {layout.root} has a gateway already{where}",
        next_step="use it, or stop it first: flashcore server stop",
    )
