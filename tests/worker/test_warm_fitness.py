"""What an import may leave behind in a process that replicas are to be forked from."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from flashcore.worker.warm_environ import EnvironmentBlock, encode_environment
from flashcore.worker.warm_words import Ended, Fork, Forked, Refused, Unfit, Warm, Word, decode, encode

SOURCE = Path(__file__).resolve().parents[2] / "src"

CPUS = len(os.sched_getaffinity(0)) if sys.platform == "linux" else 1

LOOKS = """
import os, sys
from flashcore.worker.warm_fitness import open_descriptors, why_unfit
before = open_descriptors()
exec(sys.argv[1])
print(why_unfit(before) or "fit")
"""

MAPS = """
import mmap
with open("weights", "wb") as f:
    f.write(b"x" * 9999)
with open("weights", "rb") as f:
    kept = mmap.mmap(f.fileno(), 0, access=mmap.ACCESS_READ)
"""
USES_GPU = """
import types
sys.modules["torch"] = types.ModuleType("torch")
sys.modules["torch"].cuda = types.SimpleNamespace(is_initialized=lambda: True)
"""


def verdict_after(code: str, folder: Path, **variables: str) -> str:
    """What is said of a process that has run this code."""
    environ = {**os.environ, "PYTHONPATH": str(SOURCE), "OPENBLAS_NUM_THREADS": "1", **variables}
    ran = subprocess.run(
        [sys.executable, "-c", LOOKS, code], cwd=folder, env=environ, capture_output=True, text=True, check=False
    )
    assert (ran.returncode, ran.stderr) == (0, "")
    return ran.stdout.splitlines()[-1]


@pytest.mark.parametrize(
    "code",
    [
        "import numpy, json, asyncio, concurrent.futures, multiprocessing",
        "import threading; t = threading.Thread(target=int); t.start(); t.join()",
        "import subprocess; subprocess.run(['true'])",
        "import asyncio; asyncio.run(asyncio.sleep(0))",
        MAPS,
        "kept = open('/dev/urandom', 'rb')",
        "import logging; logging.basicConfig(level='INFO')",
    ],
    ids=["libraries", "thread that ended", "process that ended", "loop that closed", "weights", "dice", "logging"],
)
def test_what_a_fork_does_not_break_is_fit(code: str, tmp_path: Path) -> None:
    """Most code leaves nothing behind but objects, and files that lie in memory for reading."""
    assert verdict_after(code, tmp_path) == "fit"


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        (
            "import threading, time; threading.Thread(target=time.sleep, args=(9,), daemon=True).start()",
            "1 threads run",
        ),
        pytest.param(
            "import numpy; a = numpy.ones((500, 500)); a @ a",
            "threads run after its import",
            marks=pytest.mark.skipif(CPUS < 2, reason="on one processor numpy starts no thread"),
        ),
        ("import subprocess; p = subprocess.Popen(['sleep', '0.5'])", "its import has started processes"),
        ("import socket; s = socket.socket()", "its import keeps a socket open"),
        ("import os; os.pipe()", "its import keeps a pipe open"),
        ("import asyncio; loop = asyncio.new_event_loop()", "keeps an event loop or a selector open"),
        ("f = open('log', 'a')", "log open"),
        ("open('data', 'w').close(); f = open('data')", "data open"),
        ("import sqlite3; c = sqlite3.connect('db'); c.execute('create table t (x)')", "db open"),
        ("import tempfile; d = tempfile.TemporaryDirectory()", "temporary directory"),
        ("import signal; signal.signal(signal.SIGTERM, lambda *_: None)", "its import handles SIGTERM"),
        ("import signal; signal.signal(signal.SIGINT, lambda *_: None)", "its import handles SIGINT"),
        ("import signal; signal.signal(signal.SIGCHLD, signal.SIG_IGN)", "its import handles SIGCHLD"),
        ("import sys, types; sys.modules['tensorflow'] = types.ModuleType('tensorflow')", "tensorflow must not be"),
        (
            USES_GPU,
            "its import has used a GPU",
        ),
    ],
)
def test_what_a_fork_would_break_is_named(code: str, reason: str, tmp_path: Path) -> None:
    """The sentence stands in the replica's log."""
    assert reason in verdict_after(code, tmp_path, OPENBLAS_NUM_THREADS="2")


def test_what_a_shell_starts_in_the_background_is_fit(tmp_path: Path) -> None:
    """It was told to ignore the keyboard, which is not its import's doing: no replica was forked there once."""
    environ = {**os.environ, "PYTHONPATH": str(SOURCE)}
    told = ["sh", "-c", "trap '' INT; exec \"$@\"", "sh", sys.executable, "-c", LOOKS, "import json"]  # fmt: skip
    ran = subprocess.run(told, cwd=tmp_path, env=environ, capture_output=True, text=True, check=True)

    assert ran.stdout == "fit\n"


def unhurried(rehearse: str) -> str:
    """Code that imports it, and lets its steps take as long as a machine may stand still."""
    lines = ("from flashcore.worker import warm_rehearsal", "warm_rehearsal.LONGEST = 60.0")
    return "\n".join([*lines, f"{rehearse} = warm_rehearsal.{rehearse}"])


@pytest.mark.parametrize("rehearse", ["gather_ahead", "rehearse", "rehearse_http"])
def test_a_rehearsal_leaves_nothing_behind(rehearse: str, tmp_path: Path) -> None:
    """No thread, no socket, no folder, no warning: what it has made is in Python's own memory.

    What a library makes for itself when its first loop is made, and makes anew in each fork, is there before.
    """
    code = f"""
import tempfile
from flashcore.worker.lb import server_loop
{unhurried(rehearse)}
server_loop().close()
before = open_descriptors()
{rehearse}()
"""

    assert verdict_after(code, tmp_path, TMPDIR=str(tmp_path), PYTHONWARNINGS="error") == "fit"

    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("rehearse", ["gather_ahead", "rehearse", "rehearse_http"])
def test_a_rehearsal_is_not_heard(rehearse: str, tmp_path: Path) -> None:
    """User code that logs everything finds nothing of it in its log."""
    code = f"""
import logging
{unhurried(rehearse)}
logging.basicConfig(level=logging.DEBUG)
{rehearse}()
"""
    verdict_after(code, tmp_path)  # which looks at what was written, too


@pytest.mark.parametrize(
    "word",
    [
        Fork({"A": "ü=\udcff", "B": ""}, "/x y"),
        Warm(0.25),
        Unfit("a reason"),
        Forked(123),
        Refused("no memory"),
        Ended(123, -9),
    ],
)
def test_words_arrive_as_they_were_said(word: Word) -> None:
    """Also what is no valid text, which variables may be."""
    assert decode(encode(word)) == word


@pytest.mark.parametrize("packet", [b"", b"{", b'["Fork"]', b'["Nothing", 1]', b"[]", b"5", b'["Warm", 1, 2]'])
def test_what_nobody_understands_is_refused(packet: bytes) -> None:
    """Another version speaks, or something else is at the other end."""
    with pytest.raises((ValueError, TypeError)):
        decode(packet)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has warm starts")
def test_an_environment_that_has_no_room_is_refused() -> None:
    """Nothing behind the block is written to."""
    block = EnvironmentBlock.of_this_process()

    with pytest.raises(OSError, match="does not fit into"):
        block.write(b"x" * (block.end - block.start))


def test_an_environment_lies_in_memory_as_the_system_wants_it() -> None:
    """Each variable ends with a NUL; bytes that are no text stay what they are."""
    assert encode_environment({"A": "1", "B": "\udcff"}) == b"A=1\0B=\xff\0"
