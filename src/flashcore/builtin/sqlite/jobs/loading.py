"""Reading jobs. Everything here runs in the database's thread."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import takewhile

from flashcore.builtin.sqlite.jobs.book import Standing
from flashcore.builtin.sqlite.jobs.entry import KEPT_INLINE, Account, Loaded, Shelved
from flashcore.builtin.sqlite.jobs.flush import let_go_of
from flashcore.builtin.sqlite.jobs.known import kind_of
from flashcore.builtin.sqlite.jobs.rows import loaded, select_jobs
from flashcore.builtin.sqlite.jobs.stands import Stand
from flashcore.hookspecs.jobs import READ_AT_ONCE
from flashcore.model.job import Payload, StreamItem
from flashcore.model.names import EndpointName, JobId

_JOBS = select_jobs(KEPT_INLINE)

_CHUNK = 512
"""About how many bytes a chunk takes beside its payload."""

# Two questions: asked for what is beyond both together, SQLite reads all rows of the first of them.
_NEXT_PRIORITY = """
select pin, priority from state
where e = ? and round = ? and status = 0 and pin = ? and priority > ? order by priority limit 1
"""
_NEXT_PIN = """
select pin, priority from state
where e = ? and round = ? and status = 0 and pin > ? order by pin, priority limit 1
"""
_LANE = (
    f"{_JOBS} where s.e = ? and s.round = ? and s.pin = ? and s.priority = ? and s.lane = ? and s.status = 0"
    " and s.n > ? order by s.n limit ?"
)
_ENDS_OF_STREAM = """
select (select upto from chunk where n = ? order by c limit 1),
       (select upto from chunk where n = ? order by c desc limit 1)
"""


@dataclass(frozen=True, slots=True)
class LaneKey:
    """A lane, and the number beyond which its jobs are wanted."""

    e: int
    round: int
    stand: Stand
    priority: int
    lane: int
    beyond: int


def read_standing(connection: sqlite3.Connection) -> Standing:
    """What memory begins with: it does not grow with the number of queued or finished jobs."""
    accounts = tuple(
        Account(row[0], EndpointName(row[1]), row[2], list(row[3:9]), row[9], row[10])
        for row in connection.execute(
            "select e, name, round, in_queue, in_progress, completed, failed, cancelled, timed_out, retried, low"
            " from endpoint where name is not null order by e"
        )
    )
    queues = tuple(
        (account.e, stand, priority)
        for account in accounts
        if account.queued
        for stand, priority in _queues(connection, account)
    )
    running = tuple(map(loaded, connection.execute(f"{_JOBS} where s.status = 1 and endpoint.name is not null")))
    return Standing(
        accounts,
        queues,
        running,
        last_number=_one(connection, "select coalesce(max(n), 0) from job"),
        last_account=_one(connection, "select coalesce(max(e), 0) from endpoint"),
        forgotten=tuple(row[0] for row in connection.execute("select e from endpoint where name is null")),
        ids=tuple(_greatest(connection, "select max(id) from job where id < ?")),
        keys=tuple(
            (account.e, key)
            for account in accounts
            for key in _greatest(connection, "select max(key) from job where e = ? and key < ?", account.e)
        ),
    )


def read_mark(connection: sqlite3.Connection) -> float:
    """The latest time by the store's clock that is stored."""
    (mark,) = connection.execute(
        "select max(clock, (select coalesce(max(touched), 0) from endpoint)) from standing"
    ).fetchone()
    return float(mark)


def by_ids(ids: Sequence[JobId], connection: sqlite3.Connection) -> list[Loaded]:
    """Jobs by their ids."""
    return [found for identity in ids for found in _jobs(connection, "j.id = ?", identity)]


def by_numbers(numbers: Sequence[int], connection: sqlite3.Connection) -> list[Loaded]:
    """Jobs by their numbers."""
    return [found for n in numbers for found in _jobs(connection, "s.n = ?", n)]


def by_keys(keys: Iterable[tuple[EndpointName, str]], connection: sqlite3.Connection) -> list[Loaded]:
    """Jobs by endpoint and idempotency key."""
    where = "j.e = (select e from endpoint where name = ?) and j.key = ?"
    return [found for endpoint, key in keys for found in _jobs(connection, where, endpoint, key)]


def overdue(now: float, most: int, connection: sqlite3.Connection) -> list[Loaded]:
    """Jobs that are not running and whose ttl or retention is over."""
    return list(_jobs(connection, "s.due <= ? and s.status <> 1 order by s.due limit ?", now, most))


def lanes(keys: Sequence[LaneKey], most: int, connection: sqlite3.Connection) -> list[list[Loaded]]:
    """The oldest jobs of some lanes, each beyond a number."""
    return [_lane(connection, key, most) for key in keys]


def payloads(places: Sequence[tuple[int, int]], connection: sqlite3.Connection) -> list[Payload | None]:
    """Payloads by job and slot (0 the output, 1 the progress, 2 the input); None for a job that is gone."""
    return [_payload(connection, n, slot) for n, slot in places]


def take_chunks(n: int, connection: sqlite3.Connection) -> list[StreamItem]:
    """The unread chunks of a job, which are unread no more."""
    found = _chunks(connection, n)
    if found:
        connection.execute("delete from chunk where n = ? and number <= ?", (n, found[-1].number))
    return found


def pass_chunks(n: int, after: int, connection: sqlite3.Connection) -> tuple[list[StreamItem], tuple[str, ...]]:
    """The unread chunks of a job after the first `after`; those before are unread no more.

    Beside them the files that no job needs any more.
    """
    # Those that wait may be millions, and are not looked at: their numbers grow with their places.
    chunks = connection.execute("select c, number, blob from chunk where n = ? order by c", (n,))
    passed = {c: blob for c, _, blob in takewhile(lambda chunk: chunk[1] < after, chunks)}
    chunks.close()
    freed: tuple[str, ...] = ()
    if passed:
        connection.execute("delete from chunk where n = ? and c <= ?", (n, max(passed)))
        freed = let_go_of(n, {blob for blob in passed.values() if blob is not None}, connection)
    return _chunks(connection, n), freed


def stream_size(n: int, connection: sqlite3.Connection) -> int:
    """Bytes of the unread chunks of a job, but for the first one."""
    (first, last) = connection.execute(_ENDS_OF_STREAM, (n, n)).fetchone()
    return 0 if first is None else int(last) - int(first)


def blobs(connection: sqlite3.Connection) -> set[str]:
    """All files that some job needs."""
    return {row[0] for row in connection.execute("select distinct digest from blob")}


def _jobs(connection: sqlite3.Connection, where: str, *values: object) -> Iterator[Loaded]:
    return map(loaded, connection.execute(f"{_JOBS} where {where}", values))


def _lane(connection: sqlite3.Connection, key: LaneKey, most: int) -> list[Loaded]:
    values = (key.e, key.round, key.stand or "", key.priority, key.lane, key.beyond, most)
    return list(map(loaded, connection.execute(_LANE, values)))


def _queues(connection: sqlite3.Connection, account: Account) -> Iterator[tuple[Stand, int]]:
    """Stand and priority of each queue, found by leaps through the index: the rows between are not read."""
    pin, priority = "", -(1 << 62)
    place = account.e, account.round
    while row := (
        connection.execute(_NEXT_PRIORITY, (*place, pin, priority)).fetchone()
        or connection.execute(_NEXT_PIN, (*place, pin)).fetchone()
    ):
        pin, priority = row
        yield pin or None, priority


def _greatest(connection: sqlite3.Connection, query: str, *values: object) -> Iterator[str]:
    """The greatest text of each kind, by leaps through an index: from a bound to what is below it."""
    bound: str | bytes = b""  # greater than any text
    while (row := connection.execute(query, (*values, bound)).fetchone()) != (None,):
        (text,) = row
        yield text
        bound = kind_of(text)


def _payload(connection: sqlite3.Connection, n: int, slot: int) -> Payload | None:
    if slot == 2:
        row = connection.execute("select media, input, blob from job where n = ?", (n,)).fetchone()
    else:
        row = connection.execute("select media, data, blob from outcome where k = ?", (2 * n + slot,)).fetchone()
    return None if row is None else _as_payload(*row)


def _as_payload(media: str, data: bytes | None, blob: str | None) -> Payload:
    return Payload(data, media) if data is not None else Shelved(media=media, digest=blob)


def _chunks(connection: sqlite3.Connection, n: int) -> list[StreamItem]:
    """The first ones, as many as are read at once. Those in files are not in memory, and count as little."""
    found = connection.execute("select number, media, data, blob from chunk where n = ? order by c", (n,))
    items: list[StreamItem] = []
    size = 0
    for number, media, data, blob in found:
        items.append(StreamItem(number, _as_payload(media, data, blob)))
        size += _CHUNK + len(data or b"")
        if size >= READ_AT_ONCE:
            break
    return items


def _one(connection: sqlite3.Connection, query: str) -> int:
    (value,) = connection.execute(query).fetchone()
    return int(value)
