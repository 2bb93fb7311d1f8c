"""Ctrl-C in the middle of what belongs together."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from flashcore.server.interrupts import interrupted_afterwards


def test_what_belongs_together_is_done_before_an_interrupt_is_heard() -> None:
    """A process that was begun is noted down, or nobody could end it."""
    done = []

    with pytest.raises(KeyboardInterrupt), interrupted_afterwards():  # noqa: PT012 - what is done after the signal is at issue
        os.kill(os.getpid(), signal.SIGINT)
        done.append("noted")

    assert done == ["noted"]


def test_without_an_interrupt_nothing_is_different() -> None:
    """Who presses Ctrl-C later is heard as before."""
    before = signal.getsignal(signal.SIGINT)

    with interrupted_afterwards():
        pass

    assert signal.getsignal(signal.SIGINT) is before


@pytest.mark.parametrize("process", ["flashcore.gateway", "flashcore.server"])
def test_a_process_that_is_interrupted_while_it_is_imported_says_nothing(process: str, tmp_path: Path) -> None:
    """Its log, which is asked for why it did not start, showed a traceback of imports."""
    (tmp_path / "psutil.py").write_text("import os, signal\nos.kill(os.getpid(), signal.SIGINT)\nimport threading\n")
    env = {**os.environ, "PYTHONPATH": str(tmp_path)}

    ran = subprocess.run([sys.executable, "-m", process], env=env, capture_output=True, text=True, check=False)

    assert (ran.returncode, ran.stderr) == (-signal.SIGINT, "")
