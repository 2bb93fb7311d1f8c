"""Lines of output: whose they are, and what happens when there are too many."""

import asyncio
import io
import os
import subprocess
import sys
import textwrap
from pathlib import Path

from tests.worker.conftest import SOURCE

from flashcore.worker.job import CURRENT, CurrentJob
from flashcore.worker.logs import JobLines, LogFile


def lines() -> tuple[JobLines, io.StringIO]:
    """A stream that stands in for stdout, and what it has written."""
    written = io.StringIO()
    return JobLines(written, LogFile(None, 1000)), written


async def test_lines_of_jobs_that_run_together_are_told_apart() -> None:
    """Q23: two jobs print halves of lines in turn; whole lines come out, each with its job's id."""
    stream, written = lines()

    async def job(name: str) -> None:
        CURRENT.set(CurrentJob(name))
        for part in ("one ", "two\nthree ", "four"):
            stream.write(part)
            await asyncio.sleep(0)
        stream.finish(CurrentJob(name))

    await asyncio.gather(job("a"), job("b"))

    assert written.getvalue() == ("[job a] one two\n[job b] one two\n[job a] three four\n[job b] three four\n")


def test_what_is_printed_outside_of_jobs_passes_as_it_is() -> None:
    """Import-time output has no job, and is not held back."""
    stream, written = lines()

    stream.write("half")
    assert written.getvalue() == "half"


def test_requests_have_a_name_of_their_own() -> None:
    """A line of an HTTP request says so."""
    stream, written = lines()
    token = CURRENT.set(CurrentJob("r1", kind="request"))
    print("hello", file=stream)
    CURRENT.reset(token)

    assert written.getvalue() == "[request r1] hello\n"


def test_a_full_disk_costs_lines_not_jobs() -> None:
    """print() does not raise when the log cannot be written."""

    class Full(io.StringIO):
        def write(self, _text: str) -> int:
            raise OSError(28, "No space left on device")

    stream = JobLines(Full(), LogFile(None, 1000))

    assert stream.write("lost\n") == 5
    stream.flush()


def run_in_process(code: str, log: Path) -> None:
    """Run code whose stdout and stderr are the log file, as a replica's are."""
    with log.open("ab") as stream:
        subprocess.run(
            [sys.executable, "-c", textwrap.dedent(code), str(log)],
            env={**os.environ, "PYTHONPATH": str(SOURCE)},
            stdout=stream,
            stderr=stream,
            check=True,
            timeout=60,
        )


OPEN = """
    import os, sys, subprocess
    from pathlib import Path
    from flashcore.worker.logs import LogFile, Output
    output = Output(LogFile(Path(sys.argv[1]), 2000))
    output.install()
"""


def test_a_log_that_is_full_is_begun_anew_and_the_older_one_kept(tmp_path: Path) -> None:
    """A handler that prints for ever fills two files, not the disk; no line is lost or cut at the seam."""
    log = tmp_path / "replica.log"

    run_in_process(OPEN + "    for number in range(250): print(f'line {number:04d} ......')\n", log)

    older = (tmp_path / "replica.log.1").read_text()
    newer = log.read_text()
    numbers = [int(line.split()[1]) for line in (older + newer).splitlines()]
    assert len(older) < 2100
    assert numbers == list(range(numbers[0], 250))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["replica.log", "replica.log.1"]


def test_output_past_python_follows_into_the_new_file(tmp_path: Path) -> None:
    """A child process or a C library writes to the descriptors; they lead to the new file, too."""
    log = tmp_path / "replica.log"

    run_in_process(
        OPEN + "    os.write(1, b'x' * 3000); output.file.rotate_if_full(); subprocess.run(['echo', 'child'])\n", log
    )

    assert log.read_text() == "child\n"


def test_a_forked_child_can_print(tmp_path: Path) -> None:
    """Q23: a child that is forked while another thread prints does not wait for that thread's lock."""
    log = tmp_path / "replica.log"

    run_in_process(
        OPEN
        + """
    sys.stdout._lock.acquire()  # another thread is in the middle of a line
    if os.fork() == 0:
        print('from the child')
        os._exit(0)
    os.wait()
""",
        log,
    )

    assert "from the child" in log.read_text()
