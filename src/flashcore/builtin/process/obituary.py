"""What a replica died of, in one sentence for people."""

from __future__ import annotations

import signal

from flashcore.wire.hello import Stage, Status


def obituary(exit_status: int | None, last: Status | None, problem: str) -> str:
    """Why it ended. `last` is what it said of itself last, `problem` why the provider ended it, if it did.

    `exit_status` is None where only a parent would know it; a signal is its negative number.
    """
    if problem:
        return problem
    if last is not None and last.stage is Stage.FAILED:
        return f"it could not start: {_last_line(last.detail)}"
    how = _how(exit_status)
    if last is None:
        return f"{how} before it said who it is"
    if last.stage in (Stage.STARTING, Stage.LOADING):
        return f"{how} while its code was being imported"
    return how


def _how(exit_status: int | None) -> str:
    if exit_status is None:
        return "it ended"
    if exit_status >= 0:
        return f"it ended with exit status {exit_status}"
    try:
        name = signal.Signals(-exit_status).name
    except ValueError:
        name = f"signal {-exit_status}"
    return f"it was killed by {name}" + (" (was there enough memory?)" if name == "SIGKILL" else "")


def _last_line(text: str) -> str:
    """The last line of a traceback that begins a sentence: what Python says after the frames."""
    lines = [line for line in text.strip().splitlines() if line and not line.startswith((" ", "\t"))]
    return lines[-1] if lines else "it said no more"
