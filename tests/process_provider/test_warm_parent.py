"""What a provider and a warm parent make of each other when one of them is slow, full, or gone."""

from __future__ import annotations

import asyncio
import fcntl
import os
import resource
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.descriptors import no_file_can_be_opened

from flashcore.builtin.process import ending, warm_parent
from flashcore.builtin.process.ending import ChildProcess, EndWatch, OtherProcess
from flashcore.builtin.process.warm_parent import NotWarm, WarmParent
from flashcore.worker.warm_parent import WarmLoop
from flashcore.worker.warm_words import LONGEST, Ended, Fork, Forked, Warm, encode

WORD = Fork({"A": "1"}, "/")
FIRST_THAT_SELECT_REFUSES = 1024


@dataclass(frozen=True)
class Pair:
    """A warm parent as the provider sees it, its process, and the other end of its channel, where the test speaks."""

    parent: WarmParent
    process: subprocess.Popen[bytes]
    other: socket.socket

    async def ask(self) -> asyncio.Task[OtherProcess]:
        """Have a replica forked; returns when the other end has been told so."""
        asked = asyncio.create_task(self.parent.fork(WORD, self.other.fileno()))
        await asyncio.sleep(0)
        assert self.other.recv(LONGEST) == encode(WORD)
        return asked

    def answer(self, pid: int) -> None:
        """Say that it was, with a descriptor of it."""
        descriptor = os.pidfd_open(pid)
        socket.send_fds(self.other, [encode(Forked(pid))], [descriptor])
        os.close(descriptor)


def open_descriptors() -> int:
    """How many this process has open."""
    return len([*Path("/proc/self/fd").iterdir()])


def stand_still(monkeypatch: pytest.MonkeyPatch) -> None:
    """For longer than an answer may take; nothing of what has come meanwhile is looked at before that is over."""
    over = 2 * warm_parent.ANSWER_WITHIN
    monkeypatch.setattr(asyncio.get_running_loop(), "time", lambda: time.monotonic() + over)


@pytest.fixture
async def pair() -> AsyncIterator[Pair]:
    """Warm already."""
    own, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    process = subprocess.Popen(["sleep", "600"], start_new_session=True)  # noqa: ASYNC220 - a child of this process
    made = WarmParent(process, own)
    with other:
        other.send(encode(Warm(0.1)))
        await made.warm()
        yield Pair(made, process, other)
        await made.end()


@pytest.fixture
def child() -> Iterator[subprocess.Popen[bytes]]:
    """A process that is taken for a replica."""
    with subprocess.Popen(["sleep", "600"]) as process:
        yield process
        process.kill()


async def test_an_answer_that_came_in_time_counts_though_it_was_looked_at_late(
    pair: Pair, child: subprocess.Popen[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    """This process stood still meanwhile. The replica runs: to start another one would make two of one instance."""
    asked = await pair.ask()
    pair.answer(child.pid)
    stand_still(monkeypatch)

    process = await asked

    assert process.pid == child.pid
    process.let_go()


async def test_how_a_replica_ended_counts_though_it_was_looked_at_late(
    pair: Pair, child: subprocess.Popen[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As above."""
    asked = await pair.ask()
    pair.answer(child.pid)
    process = await asked
    ended = asyncio.create_task(process.ended())
    child.kill()
    child.wait()
    for _ in range(10):  # turns of the loop, in which it comes to wait for the status
        await asyncio.sleep(0)
    pair.other.send(encode(Ended(child.pid, 7)))
    stand_still(monkeypatch)

    assert await ended == 7


async def test_a_parent_that_does_not_answer_is_killed(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    """It may come round, and would fork a replica that was spawned meanwhile."""
    monkeypatch.setattr(warm_parent, "ANSWER_WITHIN", 0.01)

    with pytest.raises(NotWarm, match="did not do so within"):
        await pair.parent.fork(WORD, pair.other.fileno())

    assert not pair.parent.is_warm
    assert await asyncio.to_thread(pair.process.wait, 30) == -signal.SIGKILL


async def test_who_breaks_off_a_fork_that_is_answered_keeps_nothing_open(
    pair: Pair, child: subprocess.Popen[bytes]
) -> None:
    """The provider is closed at that moment; the replica goes on, and is found again by its record."""
    asked = await pair.ask()
    before = open_descriptors()
    pair.answer(child.pid)
    asyncio.get_running_loop().call_soon(asked.cancel)  # what came is read in the same turn of the loop

    with pytest.raises(asyncio.CancelledError):
        await asked

    assert open_descriptors() == before


def test_a_warm_parent_ends_quietly_when_its_provider_goes_without_having_read_all() -> None:
    """Kill -9 of a control plane that had no time to look: the system says "reset" then, not "end"."""
    own, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with own:
        loop = WarmLoop(own)
        loop.tell(Warm(0.1))
        other.close()

        assert loop.serve() is None


FULL = """
import errno, os, signal, socket
from flashcore.worker.warm_parent import WarmLoop
from flashcore.worker.warm_words import LONGEST, Fork, decode, encode

def none_left(pid):
    raise OSError(errno.EMFILE, "Too many open files")

os.pidfd_open = none_left
own, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
socket.send_fds(other, [encode(Fork({}, "/"))], [1])
other.shutdown(socket.SHUT_WR)
if WarmLoop(own).serve() is not None:
    signal.pause()
print(decode(other.recv(LONGEST)).reason)
try:
    os.waitpid(-1, os.WNOHANG)
    print("a child is left")
except ChildProcessError:
    print("no child is left")
"""


def test_a_child_that_cannot_be_watched_is_not_left_running() -> None:
    """A parent without a descriptor to spare says that it refused, and goes on; the child has done nothing yet."""
    done = subprocess.run([sys.executable, "-c", FULL], capture_output=True, text=True, timeout=60, check=True)

    assert done.stdout.splitlines() == [
        "the process cannot be watched: [Errno 24] Too many open files",
        "no child is left",
    ]


async def test_an_end_is_seen_without_a_descriptor_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """A sandbox may forbid those, and there may be too many: a process that runs is looked after all the same."""

    def forbidden(pid: int) -> int:
        raise PermissionError(1, "Operation not permitted", pid)

    monkeypatch.setattr(os, "pidfd_open", forbidden)
    monkeypatch.setattr(ending, "_LOOK_EVERY", 0.001)
    process = ChildProcess(subprocess.Popen(["sleep", "600"], start_new_session=True))  # noqa: ASYNC220 - as above
    ended = asyncio.create_task(process.ended())
    await asyncio.sleep(0.01)
    assert not ended.done()
    assert not EndWatch(process.pid).over

    process.signal(15)

    assert await ended == -15


async def test_a_process_that_cannot_be_looked_at_counts_as_running(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where no file can be opened there is no word of it; it was taken for gone, ran on, and nobody knew of it."""
    monkeypatch.setattr(ending, "_LOOK_EVERY", 0.001)
    child = subprocess.Popen(["sleep", "600"], start_new_session=True)  # noqa: ASYNC220 - it returns at once
    with no_file_can_be_opened():
        process = ChildProcess(child)
        ended = asyncio.create_task(process.ended())
        await asyncio.sleep(0.01)
        assert not ended.done()
        assert not EndWatch(process.pid).over

    process.signal(15)

    assert await ended == -15


@pytest.mark.skipif(sys.platform != "linux", reason="there are descriptors of processes on Linux alone")
@pytest.mark.skipif(
    resource.getrlimit(resource.RLIMIT_NOFILE)[0] <= FIRST_THAT_SELECT_REFUSES, reason="no such descriptor is allowed"
)
async def test_a_replica_is_told_to_end_however_many_descriptors_are_open() -> None:
    """With a thousand replicas there are descriptors that select() does not take, and none of these was ever ended."""
    child = subprocess.Popen(["sleep", "600"], start_new_session=True)  # noqa: ASYNC220 - it returns at once
    descriptor = os.pidfd_open(child.pid)
    high = fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, FIRST_THAT_SELECT_REFUSES)
    os.close(descriptor)
    replica = OtherProcess(child.pid, EndWatch(child.pid, high))
    try:
        replica.signal(signal.SIGTERM)
        assert child.wait(60) == -signal.SIGTERM

        replica.kill_group()  # it has ended: nothing happens, to nobody
        await replica.ended()
    finally:
        child.kill()
        child.wait()
