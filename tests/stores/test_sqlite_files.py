"""What the SQLite stores do about their files: owners, damage, newer versions, rights, clocks."""

import asyncio
import contextlib
import os
import sqlite3
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from flashcore.builtin import sqlite_jobs
from flashcore.builtin.sqlite_state import SqliteStores
from flashcore.hookspecs.jobs import JobStore
from flashcore.hookspecs.state import Put, StateBackend, Transaction
from flashcore.model.errors import ConfigurationError, Refused, StateCorrupt, StateError, StateTooNew
from flashcore.model.job import NewJob, Payload
from flashcore.model.names import EndpointName, JobId, WorkerId
from flashcore.testing.clock import VirtualClock
from flashcore.testing.store_checks.processes import Load
from flashcore.testing.store_checks.subject import Subject

Opener = Callable[[Path], Awaitable[StateBackend | JobStore]]


async def open_state(path: Path) -> StateBackend:
    """The state in a file."""
    return await SqliteStores().open_state(f"sqlite:///{path}")


async def open_jobs(path: Path) -> JobStore:
    """The jobs in a file."""
    return await SqliteStores().open_jobs(f"sqlite:///{path}")


BOTH = pytest.mark.parametrize("opener", [open_state, open_jobs])


def contents(folder: Path) -> dict[str, bytes]:
    """All files of a folder but locks, with what is in them."""
    return {file.name: file.read_bytes() for file in folder.iterdir() if file.is_file() and file.suffix != ".lock"}


async def make(opener: Opener, path: Path) -> None:
    """A store with something in it, closed."""
    store = await opener(path)
    await fill(store, 20)
    await store.close()


async def fill(store: StateBackend | JobStore, count: int, size: int = 1000) -> None:
    """Write something."""
    for n in range(count):
        if isinstance(store, StateBackend):
            await store.commit(Transaction(puts=(Put(f"k/{n}", b"x" * size),)))
        else:
            await store.submit([NewJob(JobId(f"j{n}"), EndpointName("e"), Payload(b"x" * size), n % 100)])


@BOTH
async def test_a_second_opener_is_told_who_has_the_file(opener: Opener, tmp_path: Path) -> None:
    """The refusal names the process, and does not touch the owner's connection."""
    store = await opener(tmp_path / "a.db")

    with pytest.raises(Refused, match=str(os.getpid())) as refusal:
        await opener(tmp_path / "a.db")

    assert refusal.value.data["holder"] == os.getpid()
    await fill(store, 3)
    await store.close()
    await (await opener(tmp_path / "a.db")).close()


@BOTH
async def test_the_lock_of_a_process_that_died_is_no_obstacle(opener: Opener, tmp_path: Path) -> None:
    """The kernel let go of it; the file and the number in it stay."""
    (tmp_path / "a.db.lock").write_text("1\n")

    await make(opener, tmp_path / "a.db")


@BOTH
async def test_a_newer_schema_is_refused_and_left_alone(opener: Opener, tmp_path: Path) -> None:
    """Not a byte of any file changes."""
    path = tmp_path / "a.db"
    await make(opener, path)
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA journal_mode = DELETE")
        connection.execute("PRAGMA user_version = 99")
    connection.close()
    before = contents(tmp_path)

    with pytest.raises(StateTooNew, match="99") as refusal:
        await opener(path)

    assert contents(tmp_path) == before
    assert refusal.value.next_step


async def test_a_newer_schema_is_refused_before_the_log_of_a_killed_process_is_read(tmp_path: Path) -> None:
    """SQLite would bring the log into the file: that is left to whoever knows the schema."""
    path = tmp_path / "state.db"
    async with Load(Subject("flashcore.builtin.sqlite_state:SqliteStores", f"sqlite:///{path}"), "state") as load:
        await load.kill_after(50)
    whole = path.read_bytes()
    path.write_bytes(whole[:60] + (99).to_bytes(4, "big") + whole[64:])
    before = contents(tmp_path)

    with pytest.raises(StateTooNew, match="99"):
        await open_state(path)

    assert contents(tmp_path) == before


@BOTH
@pytest.mark.parametrize(
    "damage", ["no database", "too short", "of another program", "of no program", "page", "names", "cut off"]
)
async def test_damage_is_refused_and_left_alone(opener: Opener, damage: str, tmp_path: Path) -> None:
    """What cannot be trusted is named, with a way out, and not a byte of any file changes."""
    path = tmp_path / "a.db"
    await make(opener, path)
    spoil(path, damage)
    before = contents(tmp_path)

    with pytest.raises(StateCorrupt, match="it was left as it is") as refusal:
        await opener(path)

    assert contents(tmp_path) == before
    assert "backup" in (refusal.value.next_step or "")


def spoil(path: Path, damage: str) -> None:
    """Damage a database in one of several ways."""
    whole = path.read_bytes()
    if damage == "no database":
        path.write_bytes(b"hello, world\n" * 1000)
    elif damage == "too short":
        path.write_bytes(whole[:50])
    elif damage == "of another program":
        path.write_bytes(whole[:68] + b"\x00\x00\x12\x34" + whole[72:])
    elif damage == "of no program":
        path.unlink()
        with sqlite3.connect(path) as connection:
            connection.execute("create table other (a)")
        connection.close()
    elif damage == "page":
        path.write_bytes(whole[:4096] + os.urandom(4096 * 3) + whole[4096 * 4 :])
    elif damage == "names":
        entry, name = b"tablestandingstanding", b"\xfftanding"
        at = whole.index(entry) + len(entry)
        path.write_bytes(whole[: at - 16] + 2 * name + b"\xc8" + whole[at + 1 :])  # and a first page that it has not
    else:
        path.write_bytes(whole[: len(whole) // 2])


@BOTH
async def test_damage_in_a_file_that_is_too_large_to_check_is_seen_when_it_is_used(
    opener: Opener, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And named in the same way, also where the names in it are no text any more."""
    path = tmp_path / "a.db"
    await make(opener, path)
    monkeypatch.setattr("flashcore.builtin.sqlite.schema._QUICK_TO_CHECK", 0)
    spoil(path, "names")

    with pytest.raises(StateCorrupt, match="it was left as it is"):
        await opener(path)


async def test_a_damaged_file_keeps_the_log_of_a_process_that_was_killed(tmp_path: Path) -> None:
    """The write-ahead log beside it may be what saves the data: it is not written back into the damage."""
    path = tmp_path / "state.db"
    store = await open_state(path)
    await fill(store, 200)
    await store.close()
    async with Load(Subject("flashcore.builtin.sqlite_state:SqliteStores", f"sqlite:///{path}"), "state") as load:
        await load.kill_after(100)
    whole = path.read_bytes()
    path.write_bytes(whole[: 4096 * 20] + os.urandom(4096 * 10) + whole[4096 * 30 :])
    before = contents(tmp_path)
    assert before["state.db-wal"]

    with pytest.raises(StateCorrupt):
        await open_state(path)

    after = contents(tmp_path)
    assert (after["state.db"], after["state.db-wal"]) == (before["state.db"], before["state.db-wal"])


async def test_a_file_says_in_its_header_whose_it_is(tmp_path: Path) -> None:
    """By these four bytes every later version knows its own files; another number, and none would be opened again."""
    await (await open_state(tmp_path / "state.db")).close()
    await (await open_jobs(tmp_path / "jobs.db")).close()

    assert (tmp_path / "state.db").read_bytes()[68:72] == b"flS1"
    assert (tmp_path / "jobs.db").read_bytes()[68:72] == b"flj1"


async def test_a_file_of_jobs_is_no_state(tmp_path: Path) -> None:
    """The two kinds of files are told apart."""
    await make(open_jobs, tmp_path / "a.db")

    with pytest.raises(StateCorrupt, match="something else than flashcore's state"):
        await open_state(tmp_path / "a.db")


@BOTH
async def test_a_creation_that_was_cut_short_is_made_good(opener: Opener, tmp_path: Path) -> None:
    """An empty file is a new store."""
    (tmp_path / "a.db").touch()

    await make(opener, tmp_path / "a.db")


@BOTH
async def test_only_the_owner_may_read_the_files(opener: Opener, tmp_path: Path) -> None:
    """Payloads are nobody else's business."""
    store = await opener(tmp_path / "deep" / "a.db")
    await fill(store, 1, 2 << 19)

    files = [file for file in (tmp_path / "deep").rglob("*") if file.is_file()]
    assert {file.stat().st_mode & 0o077 for file in files} == {0}
    await store.close()


@BOTH
async def test_a_place_that_cannot_be_used_is_named(opener: Opener, tmp_path: Path) -> None:
    """A folder that is a file, for one."""
    (tmp_path / "file").touch()

    with pytest.raises(StateError, match="cannot be opened for writing"):
        await opener(tmp_path / "file" / "a.db")


@pytest.mark.parametrize("url", ["sqlite:", "sqlite:///", "sqlite://a.db", "sqlite:///folder/", "postgres:///x"])
async def test_other_urls_are_refused(url: str) -> None:
    """The error shows what a URL looks like."""
    with pytest.raises(ConfigurationError, match="names no SQLite file") as refusal:
        await SqliteStores().open_state(url)

    assert "sqlite:///path" in (refusal.value.next_step or "")


async def test_a_relative_url_is_relative(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """To the working directory of whoever opens it."""
    monkeypatch.chdir(tmp_path)

    store = await SqliteStores().open_state("sqlite:///sub/a.db")

    assert (tmp_path / "sub" / "a.db").is_file()
    await store.close()


@BOTH
async def test_the_clock_does_not_go_back_when_the_wall_clock_does(opener: Opener, tmp_path: Path) -> None:
    """Q06: neither while the store is open nor when it is opened again; what is stored is never in the future."""
    clock = VirtualClock(start=1_000_000.0)
    stores = SqliteStores(clock.wall, clock.monotonic)
    open_again = stores.open_state if opener is open_state else stores.open_jobs
    store = await open_again(f"sqlite:///{tmp_path}/a.db")

    clock.advance(10.0)
    clock.set_wall(5.0)
    assert store.now() == 1_000_010.0
    clock.set_wall(2_000_000.0)
    assert store.now() == 1_000_010.0
    await fill(store, 1)
    clock.set_wall(5.0)
    await store.close()

    store = await open_again(f"sqlite:///{tmp_path}/a.db")
    assert store.now() == 1_000_010.0
    clock.advance(1.0)
    assert store.now() == 1_000_011.0
    await store.close()


async def test_a_clock_that_goes_right_again_is_followed(tmp_path: Path) -> None:
    """When the wall clock is ahead of the mark, it counts."""
    clock = VirtualClock(start=1_000_000.0)
    stores = SqliteStores(clock.wall, clock.monotonic)
    await (await stores.open_state(f"sqlite:///{tmp_path}/a.db")).close()
    clock.set_wall(3_000_000.0)

    store = await stores.open_state(f"sqlite:///{tmp_path}/a.db")

    assert store.now() == 3_000_000.0
    await store.close()


@BOTH
async def test_a_store_that_nobody_closes_does_not_keep_its_process(opener: Opener, tmp_path: Path) -> None:
    """A forgotten store ends with its process, and what it acknowledged is there."""
    name = "open_state" if opener is open_state else "open_jobs"
    program = (
        "import asyncio\n"
        "from flashcore.builtin.sqlite_state import SqliteStores\n"
        f"store = asyncio.run(SqliteStores().{name}('sqlite:///{tmp_path}/a.db'))\n"
        "print(store.now() > 0)\n"
    )

    done = await asyncio.to_thread(
        subprocess.run, [sys.executable, "-c", program], capture_output=True, timeout=30, text=True, check=False
    )

    assert (done.returncode, done.stdout, done.stderr) == (0, "True\n", "")


async def test_jobs_of_the_first_schema_are_taken_over(tmp_path: Path) -> None:
    """Their streams get numbers, and what is queued at low priority is counted."""
    path = tmp_path / "jobs.db"
    first = sqlite_jobs.SCHEMA.migrations()[0]
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.executescript(first)
        connection.execute("insert into endpoint values (1, 'e', 0, 2, 1, 0, 0, 0, 0, 0, 0)")
        rows = ((1, "low", -1, 0, None), (2, "normal", 0, 0, None), (3, "s", 0, 1, "w/1"))
        for n, name, priority, status, worker in rows:
            connection.execute(
                "insert into job"
                " (n, id, e, submitted_at, ttl, execution_timeout, retention, max_attempts, media, input)"
                " values (?, ?, 1, 0, 1e12, 1e12, 1, 2, 'a/b', 'x')",
                (n, name),
            )
            connection.execute(
                "insert into state (n, e, pin, priority, lane, round, status, due, attempt, charged, worker, version)"
                " values (?, 1, '', ?, 0, 0, ?, 1e12, 0, 0, ?, 1)",
                (n, priority, status, worker),
            )
        connection.execute("insert into chunk (n, media, data) values (3, 'a/b', x'30'), (3, 'a/b', x'31')")
        connection.execute(f"PRAGMA application_id = {sqlite_jobs.SCHEMA.application_id}")
        connection.execute("PRAGMA user_version = 1")
        connection.commit()

    store = await open_jobs(path)
    counts = await store.counts(EndpointName("e"))
    again = await store.append_stream(WorkerId("w/1"), JobId("s"), Payload(b"1"), 1)
    items = await store.read_stream(JobId("s"), 0)
    known = await store.get(JobId("normal"))
    await store.close()

    assert (counts.low_priority, again, known is not None and known.unfit) == (1, True, ())
    assert [(item.number, item.value.data) for item in items] == [(0, b"0"), (1, b"1")]
