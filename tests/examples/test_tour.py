"""The quickstart's tour shows what it should, and leaves nothing behind however it ends."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]


@pytest.fixture
def surroundings(tmp_path: Path) -> dict[str, str]:
    """Variables of a shell whose temporary files are the test's own."""
    return {**os.environ, "TMPDIR": str(tmp_path), "PYTHONUNBUFFERED": "1"}


def start(repository: Path, surroundings: dict[str, str]) -> "subprocess.Popen[str]":
    """Start the tour."""
    return subprocess.Popen(
        [sys.executable, str(repository / "examples" / "quickstart" / "tour.py")],
        env=surroundings,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def processes_of(folder: Path) -> list[psutil.Process]:
    """Processes that have to do with anything in a folder."""
    found = []
    for process in psutil.process_iter():
        try:
            words = [*process.cmdline(), process.cwd()]
        except psutil.Error:
            continue
        if any(str(folder) in word for word in words):
            found.append(process)
    return found


def assert_nothing_left(folder: Path) -> None:
    """No process, and no temporary file."""
    deadline = time.monotonic() + 60
    while processes_of(folder) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert processes_of(folder) == []
    assert list(folder.iterdir()) == []


def test_the_tour_shows_everything_and_leaves_nothing(
    repository: Path, surroundings: dict[str, str], tmp_path: Path
) -> None:
    """Exit status 0, no call failed, both versions answered, and the traceback of the replica was shown."""
    with start(repository, surroundings) as tour:
        shown, _ = tour.communicate(timeout=300)

    assert tour.returncode == 0, shown
    assert shown.count(" 0 failed") == 2
    assert "ZeroDivisionError" in shown
    assert "return dividend / divisor" in shown
    assert "by version 1" in shown
    assert "by version 2" in shown
    assert_nothing_left(tmp_path)


@pytest.mark.parametrize("by", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_tour_cleans_up(
    repository: Path, surroundings: dict[str, str], tmp_path: Path, by: signal.Signals
) -> None:
    """In the midst of calling, with everything running."""
    with start(repository, surroundings) as tour:
        assert tour.stdout is not None
        for line in tour.stdout:
            if "Call a queue function" in line:
                break
        tour.send_signal(by)
        rest = tour.stdout.read()

    assert tour.returncode == 130, rest
    assert "cleaning up" in rest
    assert_nothing_left(tmp_path)


def test_a_tour_that_fails_says_why_and_cleans_up(
    repository: Path, surroundings: dict[str, str], tmp_path: Path
) -> None:
    """Exit status 1, with what went wrong; the gateway may not listen where it is told to."""
    quickstart = repository / "examples" / "quickstart"
    script = (
        f"import sys; sys.path.insert(0, {str(quickstart)!r}); import tour;"
        "tour.Tour.call_by_command = lambda self: self.expect('this', 'that'); sys.exit(tour.main())"
    )

    ran = subprocess.run(
        [sys.executable, "-c", script], env=surroundings, check=False, capture_output=True, text=True, timeout=300
    )

    assert ran.returncode == 1
    assert "This did not work: 'this' was expected" in ran.stdout
    assert "gateway.log" in ran.stdout
    assert_nothing_left(tmp_path)
