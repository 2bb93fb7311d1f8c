"""The provider's side of a warm parent: a process that has imported one revision's code and forks its replicas."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import subprocess
from collections.abc import Iterable

from flashcore.builtin.process.ending import EndWatch, OtherProcess
from flashcore.worker.warm_words import LONGEST, Ended, Fork, Forked, Refused, Unfit, Warm, Word, decode, encode

ANSWER_WITHIN = 5.0
"""Seconds that a parent has to fork, and to tell how a child ended; one that takes longer stands still."""

_LAST_WORDS = 0.5


class NotWarm(Exception):
    """A replica cannot be forked; `reason` says why, in words for the replica's log."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class WarmParent:
    """One such process, a child of this one. Belongs to one event loop; `end` is called once."""

    def __init__(self, process: subprocess.Popen[bytes], channel: socket.socket) -> None:
        self._process = process
        self._channel = channel
        self._loop = asyncio.get_running_loop()
        self._warm: asyncio.Future[Word] = self._loop.create_future()
        self._answer: asyncio.Future[tuple[Word, list[int]]] | None = None
        self._statuses: dict[int, asyncio.Future[int | None]] = {}
        self._turn = asyncio.Lock()
        self._lost = False
        channel.setblocking(False)
        self._loop.add_reader(channel, self._read)

    @property
    def is_warm(self) -> bool:
        """Whether it forks at once."""
        return self._warm.done() and not self._lost

    async def warm(self) -> None:
        """Return when it has imported the code. Raises NotWarm when that cannot be forked, or it ended meanwhile."""
        word = await asyncio.shield(self._warm)
        if isinstance(word, Unfit):
            raise NotWarm(word.reason)

    async def fork(self, word: Fork, ready: int) -> OtherProcess:
        """A new replica, which answers on `ready` when it listens. Raises NotWarm when there will be none."""
        packet = encode(word)
        if len(packet) > LONGEST:
            raise NotWarm(f"an environment of {len(packet)} bytes is too long to be given to a fork")
        async with self._turn:
            told, descriptors = await self._ask(packet, ready)
        match told:
            case Forked(pid):
                watch = EndWatch(pid, descriptors[0] if descriptors else None)  # there may be none left to be had
                return OtherProcess(pid, watch, lambda: self._status_of(pid))
            case Refused(reason):
                raise NotWarm(reason)
            case _:
                raise NotWarm(f"the process that was to fork it said {type(told).__name__}")

    async def childless(self) -> None:
        """Return when no child of it is left, or nobody will know."""
        while running := [status for status in self._statuses.values() if not status.done()]:
            await asyncio.wait(running)

    async def end(self) -> None:
        """End the process; its children go on, and how they end is not known any more. Idempotent."""
        self._lose("it was ended")
        self._kill()
        await asyncio.to_thread(self._process.wait)

    async def _ask(self, packet: bytes, ready: int) -> tuple[Word, list[int]]:
        if self._lost:
            raise NotWarm("the process that was to fork it has ended")
        answer: asyncio.Future[tuple[Word, list[int]]] = self._loop.create_future()
        self._answer = answer
        try:
            socket.send_fds(self._channel, [packet], [ready])
            # Not `timeout`: an answer that came in time counts, also where this process had no time to look at it.
            await asyncio.wait([answer], timeout=ANSWER_WITHIN)
            if answer.done():
                return answer.result()
        except OSError as error:
            raise NotWarm(f"the process that was to fork it cannot be told so: {error}") from error
        except asyncio.CancelledError:
            if answer.done():
                _close(answer.result()[1])
            raise
        finally:
            self._answer = None
        self._give_up()
        raise NotWarm(f"the process that was to fork it did not do so within {ANSWER_WITHIN:g} s")

    async def _status_of(self, pid: int) -> int | None:
        """How a child ended, which has; None when the parent is not there to tell."""
        status = self._statuses[pid]
        try:
            await asyncio.wait([status], timeout=ANSWER_WITHIN)
        finally:
            del self._statuses[pid]
        if status.done():
            return status.result()
        self._give_up()
        return None

    def _give_up(self) -> None:
        """It stands still, and must not come round later: it would fork what nobody waits for any more."""
        self._lose("it stands still")
        self._kill()

    def _kill(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)

    def _read(self) -> None:
        try:
            packet, descriptors, _, _ = socket.recv_fds(self._channel, LONGEST, 1)
        except BlockingIOError:
            return
        except OSError:
            packet, descriptors = b"", []
        try:
            if packet:
                self._hear(decode(packet), descriptors)
            else:
                self._lose(self._last_words())
        except ValueError as error:
            self._lose(str(error))

    def _hear(self, word: Word, descriptors: list[int]) -> None:
        for descriptor in descriptors:
            os.set_inheritable(descriptor, False)
        match word:
            case Warm() | Unfit():
                self._warm.set_result(word)
            case Ended(pid, status):
                self._status(pid).set_result(status)
            case Forked(pid):
                self._status(pid)
                self._reply(word, descriptors)
            case _:
                self._reply(word, descriptors)

    def _reply(self, word: Word, descriptors: list[int]) -> None:
        if self._answer is not None and not self._answer.done():
            self._answer.set_result((word, descriptors))
            return
        _close(descriptors)  # nobody waits any more

    def _status(self, pid: int) -> asyncio.Future[int | None]:
        return self._statuses.setdefault(pid, self._loop.create_future())

    def _last_words(self) -> str:
        try:
            status = self._process.wait(_LAST_WORDS)  # it has closed its end, which it does by ending
        except subprocess.TimeoutExpired:
            return "it hung up"
        if status >= 0:
            return f"it ended with exit status {status}"
        return f"it was killed by {signal.Signals(-status).name}"

    def _lose(self, how: str) -> None:
        if self._lost:
            return
        self._lost = True
        self._loop.remove_reader(self._channel)
        self._channel.close()
        reason = f"the process that imports its code for all replicas failed: {how}"
        if not self._warm.done():
            self._warm.set_result(Unfit(reason))
        if self._answer is not None and not self._answer.done():
            self._answer.set_result((Refused(reason), []))
        for status in self._statuses.values():
            if not status.done():
                status.set_result(None)


def _close(descriptors: Iterable[int]) -> None:
    for descriptor in descriptors:
        os.close(descriptor)
