"""Changes as bytes, for the journal: written for every batch, read only after a process has died.

    head | numbers of jobs, states, outcomes, accounts | lengths of texts | texts | payloads

Numbers are packed, row after row; texts and payloads follow in the order in which the rows name them. Packing is
strict: what a column could not hold fails here, before anybody is promised that it is stored.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice
from math import isnan, nan

from flashcore.builtin.sqlite.jobs.changes import Changes, Row

VERSION = 1

_HEAD = struct.Struct("<H6I")
"""The version; how many jobs, states, outcomes, accounts and texts there are; the bytes of all texts."""
_JOB = struct.Struct("<qqddddqq")
_STATE = struct.Struct("<qqqqqqdqqdddqq")
_OUTCOME = struct.Struct("<qq")
_ACCOUNT = struct.Struct("<qqqqqqqqqqd")
_LENGTH = struct.Struct("<i")
_NONE = -1
"""The length of a text or payload that is not there."""


class Unreadable(Exception):
    """A record is not what this version writes."""


def encode(changes: Changes) -> bytes:
    """Changes that may wait as one record. Raises struct.error, TypeError or ValueError for what no table holds."""
    drawn = _Drawn()
    for job in changes.jobs.values():
        drawn.job(job)
    for state in changes.states.values():
        drawn.state(state)
    for k, outcome in changes.outcomes.items():
        drawn.outcome(k, outcome)
    for account in changes.accounts.values():
        drawn.account(account)
    return drawn.record(changes)


@dataclass(slots=True)
class _Drawn:
    """The parts of a record. Its methods are on the path of every job: no calls for single columns."""

    numbers: list[bytes] = field(default_factory=list)
    texts: list[str | None] = field(default_factory=list)
    payloads: list[bytes | memoryview] = field(default_factory=list)

    def record(self, changes: Changes) -> bytes:
        """All parts in their order."""
        tables = (changes.jobs, changes.states, changes.outcomes, changes.accounts)
        counts = [len(table) for table in tables]
        lengths = [_NONE if text is None else len(text) for text in self.texts]
        texts = "".join(filter(None, self.texts)).encode()
        head = _HEAD.pack(VERSION, *counts, len(lengths), len(texts))
        return b"".join([head, *self.numbers, struct.pack(f"<{len(lengths)}i", *lengths), texts, *self.payloads])

    def job(self, row: Row) -> None:
        """A row of JOB_COLUMNS."""
        n, identity, e, key, submitted_at, ttl, timeout, retention, webhook, attempts, context, media, data, _ = row
        self.numbers.append(_JOB.pack(n, e, submitted_at, ttl, timeout, retention, attempts, self._payload(data)))
        self.texts += (identity, media, key, webhook, context)

    def state(self, row: Row) -> None:
        """A row of STATE_COLUMNS."""
        (n, e, pin, priority, lane, round_, status, due, attempt, charged, worker, revision, leased, started) = row[:14]
        finished, error, refused, version, unfit, streamed = row[14:]
        leased = nan if leased is None else leased
        started = nan if started is None else started
        finished = nan if finished is None else finished
        self.numbers.append(
            _STATE.pack(
                n,
                e,
                priority,
                lane,
                round_,
                status,
                due,
                attempt,
                charged,
                leased,
                started,
                finished,
                version,
                streamed,
            )
        )
        self.texts += (pin, worker, revision, error, refused, unfit)

    def outcome(self, k: int, row: Row | None) -> None:
        """A row of the table; None for one that is removed."""
        media, data = (None, None) if row is None else row[1:3]
        self.numbers.append(_OUTCOME.pack(k, self._payload(data)))
        self.texts.append(media)

    def account(self, row: Row) -> None:
        """A row of ACCOUNT_COLUMNS."""
        e, name, *numbers = row
        self.numbers.append(_ACCOUNT.pack(e, *numbers))
        self.texts.append(name)

    def _payload(self, data: bytes | memoryview | None) -> int:
        if data is None:
            return _NONE
        self.payloads.append(data)
        return len(data)


def decode(record: bytes) -> Changes:
    """The changes of a record. Raises Unreadable."""
    try:
        return _Reading(record).changes()
    except (struct.error, ValueError, StopIteration) as problem:
        raise Unreadable("it was cut off or changed") from problem


class _Reading:
    """A record from its beginning to its end."""

    def __init__(self, record: bytes) -> None:
        version, *self._counts, texts, size = _HEAD.unpack_from(record)
        if version != VERSION:
            raise Unreadable("it was written by another version of flashcore")
        self._record = record
        self._at = _HEAD.size
        self._numbers = [
            self._rows(kind, count)
            for kind, count in zip((_JOB, _STATE, _OUTCOME, _ACCOUNT), self._counts, strict=True)
        ]
        lengths = [length for (length,) in self._rows(_LENGTH, texts)]
        self._texts = _cut(self._skip(size).decode(), lengths)

    def changes(self) -> Changes:
        """All that is in it."""
        jobs, states, outcomes, accounts = self._numbers
        changes = Changes()
        for numbers in jobs:
            changes.jobs[numbers[0]] = self._job(*numbers)
        for numbers in states:
            changes.states[numbers[0]] = self._state(*numbers)
        for k, size in outcomes:
            media = next(self._texts)
            changes.outcomes[k] = None if media is None else (k, media, self._payload(size), None)
        for numbers in accounts:
            changes.accounts[numbers[0]] = (numbers[0], next(self._texts), *numbers[1:])
        if self._at != len(self._record) or next(self._texts, "") != "":
            raise ValueError("there is more than was said")
        changes.size = len(self._record)
        return changes

    def _job(self, n: int, e: int, *numbers: float) -> Row:
        *times, attempts, size = numbers
        identity, media, key, webhook, context = islice(self._texts, 5)
        return (n, identity, e, key, *times, webhook, attempts, context, media, self._payload(int(size)), None)

    def _state(self, n: int, e: int, *numbers: float) -> Row:
        priority, lane, round_, status, due, attempt, charged, *times, version, streamed = numbers
        pin, worker, revision, error, refused, unfit = islice(self._texts, 6)
        known = [None if isnan(time) else time for time in times]
        begun = (due, attempt, charged, worker, revision, *known, error, refused)
        return (n, e, pin, priority, lane, round_, status, *begun, version, unfit, streamed)

    def _payload(self, size: int) -> bytes | None:
        return None if size == _NONE else self._skip(size)

    def _rows(self, kind: struct.Struct, count: int) -> list[tuple[int, ...]]:
        return list(kind.iter_unpack(self._skip(kind.size * count)))

    def _skip(self, size: int) -> bytes:
        begin, self._at = self._at, self._at + size
        if self._at > len(self._record):
            raise ValueError("it ends too soon")
        return self._record[begin : self._at]


def _cut(texts: str, lengths: list[int]) -> Iterator[str | None]:
    at = 0
    for length in lengths:
        yield None if length == _NONE else texts[at : at + length]
        at += max(length, 0)
    if at != len(texts):
        raise ValueError("there is more text than was said")
