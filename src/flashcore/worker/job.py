"""What user code can know and say of the call that it works on.

from flashcore.worker.job import current_job

def train(steps: int) -> str:
    for step in range(steps):
        current_job().progress({"step": step})
"""

from __future__ import annotations

from flashcore.wire.current import CURRENT, CurrentJob

__all__ = ["CURRENT", "CurrentJob", "current_job"]


def current_job() -> CurrentJob:
    """The job that the calling code works on. Raises LookupError outside of one (in a thread of its own, too)."""
    job = CURRENT.get()
    if job is None:
        raise LookupError("this code works on no job: call current_job() from the endpoint's function itself")
    return job
