"""What a transaction changes, as rows: the form in which it is promised, gathered, and written to the tables."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from flashcore.builtin.sqlite.jobs.batch import AccountRow, Batch, Move
from flashcore.builtin.sqlite.jobs.entry import KEPT_INLINE, Shelved
from flashcore.builtin.sqlite.jobs.rows import job_row, payload_columns, state_row
from flashcore.model.job import Job, Payload

Row = tuple[Any, ...]


@dataclass(slots=True, eq=False)
class Changes:
    """Rows by their keys: each is what its table is to hold, whatever it held before."""

    jobs: dict[int, Row] = field(default_factory=dict)
    """New ones."""
    states: dict[int, Row] = field(default_factory=dict)
    outcomes: dict[int, Row | None] = field(default_factory=dict)
    """None where a job has that outcome no more."""
    gone: set[int] = field(default_factory=set)
    """Jobs of which no row is left. They are removed first: what is new may have their ids and keys."""
    accounts: dict[int, Row] = field(default_factory=dict)
    blobs: list[tuple[str, int]] = field(default_factory=list)
    """Files, and which jobs need them."""
    lost: list[tuple[str, int]] = field(default_factory=list)
    """Files that jobs had as payloads that were replaced: they may have the same elsewhere."""
    size: int = 0
    """Bytes of payloads."""
    large: int = 0
    """How many payloads have more bytes than memory keeps."""

    @classmethod
    def of(cls, batch: Batch, accounts: Sequence[AccountRow]) -> Changes:
        """What a batch changes in the tables, but for its streams."""
        changes = cls(accounts={row[0]: row for row in accounts})
        for move in batch.moves.values():
            if move.after is not None:
                changes._put(move, move.after)
            elif move.before is not None:
                changes.gone.add(move.n)
        return changes

    def _put(self, move: Move, after: Job) -> None:
        n, before = move.n, move.before
        self.states[n] = state_row(n, move.e, move.round, after)
        if before is None:
            self.jobs[n] = job_row(n, move.e, after)
            self._count(n, after.new.input)
        output, progress = (None, None) if before is None else (before.output, before.progress)
        if after.output is not output:
            self._put_outcome(2 * n, output, after.output)
        if after.progress is not progress:
            self._put_outcome(2 * n + 1, progress, after.progress)

    def _put_outcome(self, k: int, before: Payload | None, after: Payload | None) -> None:
        if isinstance(before, Shelved) and before.digest is not None:
            self.lost.append((before.digest, k >> 1))
        if after is None:
            self.outcomes[k] = None
        else:
            self.outcomes[k] = (k, *payload_columns(after))
            self._count(k >> 1, after)

    def _count(self, n: int, payload: Payload) -> None:
        if isinstance(payload, Shelved) and payload.digest is not None:
            self.blobs.append((payload.digest, n))
        size = len(payload.data)
        self.size += size
        self.large += size > KEPT_INLINE

    @property
    def may_wait(self) -> bool:
        """Whether memory can keep all of it, so that it may be in the journal for a while before it is in the tables.

        What removes jobs may not, or files of theirs: ids, keys and files are free from then on.
        """
        return not self.large and not self.blobs and not self.gone and not self.lost

    def add(self, later: Changes) -> None:
        """Let these be followed by later ones that may wait: what became of a job in between is not written."""
        self.jobs.update(later.jobs)
        self.states.update(later.states)
        self.outcomes.update(later.outcomes)
        self.accounts.update(later.accounts)
        self.size += later.size
