"""Where a queued job stands: with all others, with those of its pin, or with those that are closed to the same."""

from __future__ import annotations

from typing import TypeAlias

from flashcore.model import job_steps
from flashcore.model.job import Job
from flashcore.model.names import RevisionId

Stand: TypeAlias = str | None
"""None: with all others; a revision; or a text that begins with APART."""

APART = "!"
"""No revision's id begins so."""


def stand_of(job: Job) -> Stand:
    """Where the job stands while it is queued."""
    if job.unfit:
        return APART + " ".join(sorted(job_steps.closed_to(job)))
    return job.new.pin


def pin_of(stand: Stand) -> RevisionId | None:
    """The revision that all jobs there are pinned to."""
    return None if stand is None or is_apart(stand) else RevisionId(stand)


def is_apart(stand: str) -> bool:
    """Whether its jobs are closed to some revisions."""
    return stand.startswith(APART)


def revisions_of(stand: str) -> frozenset[RevisionId]:
    """Those that it is closed to."""
    return frozenset(map(RevisionId, stand.removeprefix(APART).split(" ")))
