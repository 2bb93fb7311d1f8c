"""How long an edit takes under `flashcore dev`: from the file's change to the first answer of the new code.

Beside it the limit: a fresh Python that imports what the replica imports, which no reload by a new process can beat.
Both are timed by the clock, in turns, so that what else the machine does weighs on both; medians of ten. The budget is
a second, or three times the limit where the machine is so busy that the limit itself comes near a second.
"""

from __future__ import annotations

import json
import os
import re
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path

RUNS = 10
BUDGET = 1.0
"""Seconds for an edit of an app that is quick to import."""
TIMES_LIMIT = 3.0

APP = """
from flashcore import LoadBalancedEndpoint, QueueEndpoint

{kind}


@{decorator}
def version() -> int:
    return 0
"""
QUEUE = APP.format(kind='jobs = QueueEndpoint("jobs")', decorator="jobs.function")
BALANCED = APP.format(kind='web = LoadBalancedEndpoint("web")', decorator='web.get("/version")')


def main() -> None:
    """Measure, print, and end with 1 when the budget is exceeded."""
    slow = False
    for name, app, imports, ask in (
        ("queue", QUEUE, "import flashcore.worker.runtime, flashcore.worker.handler, app", ask_queue),
        ("load-balanced", BALANCED, "import flashcore.worker.runtime, flashcore.worker.lb, app", ask_balanced),
    ):
        edits, limits = measure(app, imports, ask)
        edit, limit = statistics.median(edits), statistics.median(limits)
        slow |= edit > max(BUDGET, TIMES_LIMIT * limit)
        print(
            f"{name:14} edit to answer {edit * 1000:6.0f} ms (most {max(edits) * 1000:.0f})"
            f"   limit {limit * 1000:6.0f} ms   {edit / limit:4.1f} x"
        )
    if slow:
        raise SystemExit(1)


def measure(app: str, imports: str, ask: Callable[[str], int | None]) -> tuple[list[float], list[float]]:
    """Seconds of each edit, and of each bare import, in turns."""
    with tempfile.TemporaryDirectory() as scratch:
        root = Path(scratch, "shop")
        root.mkdir()
        (root / "flashcore.toml").write_text('app = "shop"\n')
        (root / "app.py").write_text(app)
        session = started(root)
        try:
            url = url_of(root)
            until(lambda: ask(url) == 0)
            edits, limits = [], []
            for number in range(1, RUNS + 1):
                edits.append(edit(root, app, number, lambda: ask(url)))
                limits.append(bare(root, imports))
        finally:
            session.send_signal(signal.SIGINT)
            session.wait(30)
    return edits, limits


def started(root: Path) -> subprocess.Popen[bytes]:
    """A session of its own, on any port."""
    command = [sys.executable, "-P", "-m", "flashcore", "dev", "--json", "--port", "0"]
    return subprocess.Popen(command, cwd=root, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def url_of(root: Path) -> str:
    """Where the session listens, once it does."""
    file = root / ".flashcore/environments/dev/gateway.json"
    until(file.exists)
    return str(json.loads(file.read_text())["url"])


def edit(root: Path, app: str, number: int, ask: Callable[[], int | None]) -> float:
    """Seconds until the change is what is answered."""
    began = time.perf_counter()
    (root / "app.py").write_text(re.sub("return 0", f"return {number}", app))
    until(lambda: ask() == number)
    return time.perf_counter() - began


def bare(root: Path, imports: str) -> float:
    """Seconds of a fresh Python that imports the same."""
    began = time.perf_counter()
    subprocess.run([sys.executable, "-P", "-c", imports], env={**os.environ, "PYTHONPATH": str(root)}, check=True)
    return time.perf_counter() - began


def ask_queue(url: str) -> int | None:
    """What the queue-based endpoint answers."""
    answer = read(f"{url}/v2/jobs/runsync", b'{"input": {}}')
    return None if answer is None else json.loads(answer).get("output")


def ask_balanced(url: str) -> int | None:
    """What the load-balanced endpoint answers."""
    answer = read(f"{url}/web/version")
    return None if answer is None else json.loads(answer)


def read(url: str, data: bytes | None = None) -> bytes | None:
    """The body of an answer; None where there is none yet."""
    try:
        with urllib.request.urlopen(url, data, timeout=10) as response:  # noqa: S310 - the address is the session's
            body: bytes = response.read()
            return body
    except (urllib.error.URLError, TimeoutError):
        return None


def until(true: Callable[[], bool]) -> None:
    """Ask again and again; a little apart, so that asking takes nothing from what is measured."""
    deadline = time.perf_counter() + 60
    while not true():
        if time.perf_counter() > deadline:
            raise SystemExit("the new code never answered")
        time.sleep(0.005)


if __name__ == "__main__":
    main()
