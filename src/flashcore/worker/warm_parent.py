"""The loop of a warm parent: one thread that waits, forks when it is told to, and says how its children ended."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import socket
import sys
from dataclasses import dataclass

from flashcore.worker.warm_words import LONGEST, Ended, Fork, Forked, Refused, Word, decode, encode


@dataclass(frozen=True, slots=True)
class Birth:
    """What a forked child is to become."""

    fork: Fork
    ready: int
    """The descriptor to answer on when it listens."""


class WarmLoop:
    """Belongs to the process that has imported the code."""

    def __init__(self, channel: socket.socket) -> None:
        self._channel = channel
        self._children: dict[int, int] = {}
        """Processes by the descriptors that tell of their end."""

    def tell(self, word: Word, *descriptors: int) -> None:
        """Say something to the provider; when it is gone, the next look at the channel tells."""
        with contextlib.suppress(OSError):
            socket.send_fds(self._channel, [encode(word)], descriptors)

    def serve(self) -> Birth | None:
        """Fork whenever the provider says so. Returns a birth in each child, None in the parent when nobody asks.

        Waits by `poll`, which has no descriptor of its own that children would share.
        """
        waiting = select.poll()
        waiting.register(self._channel, select.POLLIN)
        while True:
            for descriptor, _ in waiting.poll():
                if descriptor != self._channel.fileno():
                    waiting.unregister(descriptor)
                    self._bury(descriptor)
                    continue
                packet, descriptors = self._next()
                if not packet:
                    return None  # whoever started this process is gone
                birth = self._fork(_birth(packet, descriptors))
                if birth is not None:
                    return birth
                for child in self._children:
                    waiting.register(child, select.POLLIN)

    def _next(self) -> tuple[bytes, list[int]]:
        try:
            return socket.recv_fds(self._channel, LONGEST, 1)[:2]
        except ConnectionResetError:  # it went without having read all that it was told
            return b"", []

    def _fork(self, birth: Birth) -> Birth | None:
        sys.stdout.flush()
        sys.stderr.flush()
        try:
            pid = os.fork()
        except OSError as error:
            self.tell(Refused(f"the process cannot be started: {error}"))
            os.close(birth.ready)
            return None
        if pid == 0:
            self._forget()
            return birth
        os.close(birth.ready)
        try:
            # Nobody has waited for the child yet, so that the id is its own for sure.
            descriptor = os.pidfd_open(pid)
        except OSError as error:  # too many are open: nobody could say when it ends
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            self.tell(Refused(f"the process cannot be watched: {error}"))
            return None
        self._children[descriptor] = pid
        self.tell(Forked(pid), descriptor)
        return None

    def _forget(self) -> None:
        """In a child: what the parent has of its own and of the others."""
        self._channel.close()
        for descriptor in self._children:
            os.close(descriptor)

    def _bury(self, descriptor: int) -> None:
        """Kill what is left of an ended child's group while nobody else can have its id, then tell its status."""
        pid = self._children.pop(descriptor)
        os.close(descriptor)
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(pid, signal.SIGKILL)
        _, status = os.waitpid(pid, 0)
        self.tell(Ended(pid, os.waitstatus_to_exitcode(status)))


def _birth(packet: bytes, descriptors: list[int]) -> Birth:
    word = decode(packet)
    if not isinstance(word, Fork) or len(descriptors) != 1:
        raise ValueError(f"a warm parent was told {type(word).__name__} with {len(descriptors)} descriptors")
    os.set_inheritable(descriptors[0], False)
    return Birth(word, descriptors[0])
