"""Whether a process that listens is still there."""

import subprocess
import sys
import time
from collections.abc import Iterator

import psutil
import pytest

from flashcore.presence import Presence


@pytest.fixture
def child() -> Iterator[subprocess.Popen[bytes]]:
    """A process that ends when its input does."""
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE, stderr=subprocess.DEVNULL)
    yield process
    process.kill()
    process.communicate()


def presence_of(pid: int) -> Presence:
    """What the process would have written."""
    return Presence(pid, psutil.Process(pid).create_time(), "http://127.0.0.1:1", "1")


def test_a_process_that_nobody_reaps_has_ended(child: subprocess.Popen[bytes]) -> None:
    """A zombie answers nothing; in a container without an init process it stays for ever."""
    present = presence_of(child.pid)
    assert child.stdin is not None

    child.stdin.close()

    assert present.ended_within(30.0)
    assert psutil.Process(child.pid).status() == psutil.STATUS_ZOMBIE
    assert not present.alive


def test_a_process_that_runs_on_is_waited_for_no_longer_than_told(child: subprocess.Popen[bytes]) -> None:
    """The time is over, the process is not."""
    began = time.monotonic()

    assert not presence_of(child.pid).ended_within(0.1)
    assert time.monotonic() - began < 60.0


def test_one_that_is_gone_has_ended(child: subprocess.Popen[bytes]) -> None:
    """Nothing is waited for."""
    present = presence_of(child.pid)
    child.kill()
    child.wait()

    assert present.ended_within(0.0)
