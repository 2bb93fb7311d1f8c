"""What the store of jobs is written to."""

from __future__ import annotations

from dataclasses import dataclass

from flashcore.builtin.sqlite.jobs.journal import Journal
from flashcore.builtin.sqlite.writer import Writer


@dataclass(frozen=True, slots=True)
class Files:
    """The tables and the journal."""

    writer: Writer
    journal: Journal
