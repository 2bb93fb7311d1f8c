"""Whether a process that listens is still there."""

import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import psutil
import pytest
from tests.full_disk import no_file_grows_beyond, read_only, small_disk_at

from flashcore.presence import own_presence, presence_of, read_presence, remove_presence, write_presence


@pytest.fixture
def child() -> Iterator[subprocess.Popen[bytes]]:
    """A process that ends when its input does."""
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE, stderr=subprocess.DEVNULL)
    yield process
    process.kill()
    process.communicate()


def test_a_process_that_nobody_reaps_has_ended(child: subprocess.Popen[bytes]) -> None:
    """A zombie answers nothing; in a container without an init process it stays for ever."""
    present = presence_of(child.pid, "http://127.0.0.1:1", "1")
    assert child.stdin is not None

    child.stdin.close()

    assert present.ended_within(30.0)
    assert psutil.Process(child.pid).status() == psutil.STATUS_ZOMBIE
    assert not present.alive


def test_a_process_that_runs_on_is_waited_for_no_longer_than_told(child: subprocess.Popen[bytes]) -> None:
    """The time is over, the process is not."""
    began = time.monotonic()

    assert not presence_of(child.pid, "http://127.0.0.1:1", "1").ended_within(0.1)
    assert time.monotonic() - began < 60.0


def test_one_that_is_gone_has_ended(child: subprocess.Popen[bytes]) -> None:
    """Nothing is waited for."""
    present = presence_of(child.pid, "http://127.0.0.1:1", "1")
    child.kill()
    child.wait()

    assert present.ended_within(0.0)


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the system tells the time of day alone")
def test_a_process_that_runs_is_known_though_the_clock_was_set(
    child: subprocess.Popen[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A machine that learned the time after its start, or was suspended: nobody is to start a second platform there."""
    present = presence_of(child.pid, "http://127.0.0.1:1", "1")
    monkeypatch.setattr("psutil._pslinux.boot_time", lambda: 3_600.0)

    assert present.alive
    assert not present.ended_within(0.0)


def test_another_process_of_the_same_number_is_not_it(child: subprocess.Popen[bytes]) -> None:
    """Of this boot or of the one before."""
    present = presence_of(child.pid, "http://127.0.0.1:1", "1")

    assert present.alive
    assert not replace(present, started_at=present.started_at - 60, ticks=present.ticks and present.ticks - 1).alive
    assert not replace(present, started_at=present.started_at - 60, boot="another").alive


def test_one_for_which_there_is_no_room_leaves_what_was_there(tmp_path: Path) -> None:
    """And nothing beside it: a full disk had a file more with each start that was tried."""
    file, first = tmp_path / "server.json", own_presence("http://first", "1")
    write_presence(file, first)

    with no_file_grows_beyond(0), pytest.raises(OSError, match="File too large"):
        write_presence(file, own_presence("http://second", "1"))

    assert read_presence(file) == first
    assert list(tmp_path.iterdir()) == [file]


def test_a_process_whose_file_cannot_be_removed_ends_in_order_all_the_same(tmp_path: Path) -> None:
    """`server stop` on a disk that went read-only ended the control plane before it had ended the rest."""
    with small_disk_at(tmp_path / "disk") as disk:
        own = own_presence("http://127.0.0.1:1", "1")
        write_presence(disk / "server.json", own)

        with read_only(disk):
            remove_presence(disk / "server.json")

        assert read_presence(disk / "server.json") == own
