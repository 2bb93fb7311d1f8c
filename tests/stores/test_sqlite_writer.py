"""Group commit: what shares a transaction, what harms whom, who hears what and when."""

import asyncio
import contextlib
import shutil
import sqlite3
import threading
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest
from tests.full_disk import no_file_grows_beyond
from tests.stores.wal import used

from flashcore.builtin.sqlite import committer
from flashcore.builtin.sqlite.committer import LOG_ROOM, PAGE
from flashcore.builtin.sqlite.lock import FileLock
from flashcore.builtin.sqlite.schema import Schema
from flashcore.builtin.sqlite.turns import Busy
from flashcore.builtin.sqlite.writer import Writer
from flashcore.model.errors import Refused, StateCorrupt, StateError

FIRST = "create table item (n integer primary key, name text not null)"
SECOND = "alter table item add column size integer not null default 7; create index by_size on item (size)"


@dataclass(frozen=True, slots=True)
class Items(Schema):
    """A schema of a test."""

    name: str = "items"
    application_id: int = 4711
    scripts: tuple[str, ...] = (FIRST,)

    def migrations(self) -> tuple[str, ...]:
        """The scripts as they were given."""
        return self.scripts


async def open_items(folder: Path, *scripts: str) -> Writer:
    """A database of items."""
    return await Writer.open(folder / "items.db", Items(scripts=scripts or (FIRST,)))


def add(name: str | None, connection: sqlite3.Connection) -> str | None:
    """Add an item."""
    connection.execute("insert into item (name) values (?)", (name,))
    return name


def listed(connection: sqlite3.Connection) -> list[str]:
    """All items by age."""
    return [name for (name,) in connection.execute("select name from item order by n")]


async def test_calls_of_one_instant_share_a_commit(tmp_path: Path) -> None:
    """A hundred calls are a few transactions, not a hundred."""
    writer = await open_items(tmp_path)
    commits: list[int] = []
    writer.stamp_with(lambda connection: commits.append(connection.total_changes))

    names = await asyncio.gather(*(writer.write(partial(add, str(n))) for n in range(100)))

    assert names == [str(n) for n in range(100)]
    assert await writer.read(listed) == names
    assert len(commits) <= 10
    await writer.close()


async def test_a_call_that_fails_harms_no_other(tmp_path: Path) -> None:
    """Whether it raises itself, breaks a rule of the schema, or is no SQL; what it wrote before is undone."""

    def break_off(connection: sqlite3.Connection) -> None:
        add("half", connection)
        raise KeyError("broken off")

    def misspell(connection: sqlite3.Connection) -> None:
        add("half", connection)
        connection.execute("no sql")

    writer = await open_items(tmp_path)

    answers = await asyncio.gather(
        writer.write(partial(add, "a")),
        writer.write(break_off),
        writer.write(partial(add, "b")),
        writer.write(partial(add, None)),
        writer.write(misspell),
        writer.write(partial(add, "c")),
        return_exceptions=True,
    )

    assert [type(answer) for answer in answers] == [str, KeyError, str, StateError, StateError, str]
    assert await writer.read(listed) == ["a", "b", "c"]
    await writer.close()


async def test_what_a_failed_call_wrote_is_undone_within_its_group(tmp_path: Path) -> None:
    """The others' transaction goes on."""

    def break_off(connection: sqlite3.Connection) -> None:
        add("half", connection)
        raise KeyError("broken off")

    writer = await open_items(tmp_path)
    commits: list[int] = []
    writer.stamp_with(lambda connection: commits.append(connection.total_changes))

    calls: list[Callable[[sqlite3.Connection], object]] = [partial(add, "a"), break_off, partial(add, "b")]
    await asyncio.gather(*(writer.write(call) for call in calls * 5), return_exceptions=True)

    assert await writer.read(listed) == ["a", "b"] * 5
    assert len(commits) < 10
    await writer.close()


async def test_a_read_sees_what_was_asked_to_be_written_before(tmp_path: Path) -> None:
    """Although nobody waited for the write."""
    writer = await open_items(tmp_path)

    writing = writer.write(partial(add, "a"))
    assert await writer.read(listed) == ["a"]

    assert writing.done()
    await writer.close()


async def test_told_hears_every_result_in_order(tmp_path: Path) -> None:
    """Also those whose callers have gone away, and before the callers."""
    writer = await open_items(tmp_path)
    heard: list[object] = []
    writes = [writer.write(partial(add, str(n)), heard.append) for n in range(10)]
    writes[3].cancel()
    writes[9].add_done_callback(lambda _: heard.append("caller"))

    await writer.read(listed, heard.append)
    await asyncio.sleep(0)

    names = [str(n) for n in range(10)]
    assert heard in ([*names, names, "caller"], [*names, "caller", names])
    await writer.close()


async def test_what_was_asked_for_before_the_close_is_done(tmp_path: Path) -> None:
    """Later calls are refused."""
    writer = await open_items(tmp_path)
    writing = [writer.write(partial(add, str(n))) for n in range(5)]

    await asyncio.gather(writer.close(), writer.close())

    assert [await one for one in writing] == ["0", "1", "2", "3", "4"]
    with pytest.raises(StateError, match="is closed"):
        await writer.read(listed)


async def test_whoever_stops_waiting_for_the_opening_leaves_nothing_open(tmp_path: Path) -> None:
    """The file can be opened again at once, or very soon."""
    opening = asyncio.ensure_future(open_items(tmp_path))
    await asyncio.sleep(0)
    opening.cancel()
    with pytest.raises(asyncio.CancelledError):
        await opening

    for _ in range(1000):
        if not await is_refused(tmp_path):
            return
        await asyncio.sleep(0.01)
    pytest.fail("the file stayed in use")


async def is_refused(folder: Path) -> bool:
    """Whether somebody else has the database open; otherwise it is opened and closed."""
    try:
        writer = await open_items(folder)
    except Refused:
        return True
    await writer.close()
    return False


async def test_a_failed_opening_lets_go_of_the_lock(tmp_path: Path) -> None:
    """Whoever repairs the file need not restart anything."""
    (tmp_path / "items.db").write_bytes(b"no database" * 100)
    with pytest.raises(StateCorrupt):
        await open_items(tmp_path)

    (tmp_path / "items.db").unlink()

    await (await open_items(tmp_path)).close()


async def test_a_file_is_brought_to_the_newest_schema(tmp_path: Path) -> None:
    """Step by step, with what is in it."""
    writer = await open_items(tmp_path)
    await writer.write(partial(add, "old"))
    await writer.close()

    writer = await open_items(tmp_path, FIRST, SECOND)

    sizes = await writer.read(lambda connection: connection.execute("select name, size from item").fetchall())
    assert sizes == [("old", 7)]
    await writer.close()


async def test_a_migration_that_fails_changes_nothing(tmp_path: Path) -> None:
    """The file is as usable for the old version as it was."""
    writer = await open_items(tmp_path)
    await writer.write(partial(add, "old"))
    await writer.close()

    with pytest.raises(StateError):
        await open_items(tmp_path, FIRST, f"{SECOND}; no sql")

    writer = await open_items(tmp_path)
    assert await writer.read(listed) == ["old"]
    await writer.close()


async def test_the_schemas_of_flashcore_are_numbered_without_gaps(repository: Path) -> None:
    """Files 0001, 0002, ...: a forgotten or doubled number would go unnoticed."""
    folders = (repository / "src/flashcore/builtin/sqlite/migrations").iterdir()

    for folder in folders:
        numbers = sorted(int(file.name[:4]) for file in folder.glob("*.sql"))
        assert numbers == list(range(1, len(numbers) + 1))


def test_a_lock_is_held_once(tmp_path: Path) -> None:
    """Within one process too; then it can be had again."""
    lock = FileLock(tmp_path / "x")

    with pytest.raises(Refused):
        FileLock(tmp_path / "x")

    lock.release()
    FileLock(tmp_path / "x").release()


async def test_a_look_is_in_the_thread_of_the_loop_and_sees_what_was_written(tmp_path: Path) -> None:
    """Also in a transaction that is under way, where its call gives way."""
    writer = await open_items(tmp_path)
    await writer.write(partial(add, "before"))
    assert writer.look(lambda _: threading.get_ident()) == threading.get_ident()
    begun, looked = threading.Event(), threading.Event()

    def long(connection: sqlite3.Connection) -> None:
        add("within", connection)
        begun.set()
        while not looked.is_set():
            writer.give_way()

    under_way = writer.write(long)
    await asyncio.to_thread(begun.wait, 60)
    seen = writer.look(listed)
    looked.set()
    await under_way

    assert seen == ["before", "within"]
    await writer.close()


async def test_who_wants_a_look_does_not_wait_for_what_takes_long(tmp_path: Path) -> None:
    """He is told so, and may look the next time."""
    writer = await open_items(tmp_path)
    begun, over = threading.Event(), threading.Event()

    def long(connection: sqlite3.Connection) -> None:
        add("long", connection)
        begun.set()
        over.wait(60)

    under_way = writer.write(long)
    await asyncio.to_thread(begun.wait, 60)
    for _ in range(2):
        with pytest.raises(Busy):
            writer.look(listed)
    over.set()
    await under_way

    assert writer.look(listed) == ["long"]
    await writer.close()


async def test_what_a_look_raises_is_said_as_elsewhere(tmp_path: Path) -> None:
    """SQLite's errors in our words, others as they are; the connection is anybody's again."""
    writer = await open_items(tmp_path)

    def fail(_: sqlite3.Connection) -> None:
        raise ZeroDivisionError

    with pytest.raises(StateError, match=r"items\.db"):
        writer.look(lambda connection: connection.execute("select nothing from nowhere"))
    with pytest.raises(ZeroDivisionError):
        writer.look(fail)

    assert await writer.write(partial(add, "after")) == "after"
    assert writer.look(listed) == ["after"]
    await writer.close()


async def test_looks_and_statements_take_turns(tmp_path: Path) -> None:
    """Nobody starves: hundreds of looks while the thread writes hundreds of rows, and all of it comes to its end."""
    writer = await open_items(tmp_path)

    def long(connection: sqlite3.Connection) -> None:
        for n in range(500):
            add(str(n), connection)
            writer.give_way()

    under_way = writer.write(long)
    seen = []
    while not under_way.done():
        with contextlib.suppress(Busy):
            seen.append(len(writer.look(listed)))
        await asyncio.sleep(0)

    assert seen == sorted(seen)
    assert len(await writer.read(listed)) == 500
    await writer.close()


async def test_a_connection_that_fails_altogether_leaves_nobody_waiting(tmp_path: Path) -> None:
    """Nor who closes it: each call fails by itself."""
    writer = await open_items(tmp_path)

    def break_off(connection: sqlite3.Connection) -> None:
        connection.close()

    for call in (break_off, listed):
        with pytest.raises(StateError, match=r"items\.db"):
            await writer.write(call)
        with pytest.raises(StateError, match=r"items\.db"):
            await writer.read(call)
    await writer.close()


async def test_who_cannot_take_a_result_does_not_keep_it_from_others(tmp_path: Path) -> None:
    """Whoever waits for the same call hears what happened."""
    writer = await open_items(tmp_path)

    def fail(_: str | None) -> None:
        raise ZeroDivisionError

    calls = [writer.write(partial(add, "told"), fail), writer.write(partial(add, "other"))]

    with pytest.raises(ZeroDivisionError):
        await calls[0]
    assert await calls[1] == "other"
    assert await writer.read(listed) == ["told", "other"]
    await writer.close()


async def test_a_loop_that_is_closed_while_it_is_told_harms_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The thread looks at the loop in one moment and tells it something in the next."""
    writer = await open_items(tmp_path)
    gone = asyncio.new_event_loop()
    gone.close()
    monkeypatch.setattr(gone, "is_closed", lambda: False)

    writer._loop, here = gone, writer._loop  # noqa: SLF001 - as if it ended now
    try:
        await asyncio.to_thread(writer._tell, [])  # noqa: SLF001 - as its thread does
    finally:
        writer._loop = here  # noqa: SLF001 - to be closed
    await writer.close()


async def test_the_log_has_room_from_the_beginning(tmp_path: Path) -> None:
    """What a process that died has committed is read from a log that ends with zeros."""
    writer = await open_items(tmp_path / "a")
    await writer.write(partial(add, "one"))
    assert (tmp_path / "a" / "items.db-wal").stat().st_size == LOG_ROOM
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    await writer.close()

    for _ in range(2):
        other = await open_items(tmp_path / "b")
        assert await other.read(listed) == ["one"]
        assert (tmp_path / "b" / "items.db-wal").stat().st_size == LOG_ROOM
        shutil.copytree(tmp_path / "b", tmp_path / "c")
        await other.close()
        shutil.rmtree(tmp_path / "b")
        shutil.move(tmp_path / "c", tmp_path / "b")


async def test_a_database_keeps_the_pages_that_it_was_made_with(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever their size is, SQLite's log is brought back into the file before it has outgrown its room."""
    with monkeypatch.context() as before:
        before.setattr(committer, "PAGE", PAGE // 2)
        writer = await open_items(tmp_path / "old")
        await writer.write(partial(add, "one"))
        await writer.close()

    for folder, page in (("old", PAGE // 2), ("new", PAGE)):
        writer = await open_items(tmp_path / folder)
        await writer.write(partial(add, "two"))
        assert await writer.read(lambda file: file.execute("PRAGMA page_size").fetchone()) == (page,)
        (pages,) = await writer.read(lambda file: file.execute("PRAGMA wal_autocheckpoint").fetchone())
        assert 0.6 * LOG_ROOM < pages * (page + 24) < LOG_ROOM
        await writer.close()


async def test_what_is_deleted_is_not_written_over_with_zeros(tmp_path: Path) -> None:
    """Pages that nothing needs are not written at all, also where SQLite was built to write zeros over them."""
    writer = await open_items(tmp_path)
    name = "x" * 1_000_000
    await writer.write(partial(add, name))
    before = used(tmp_path / "items.db-wal")
    await writer.write(lambda file: file.execute("delete from item").rowcount)

    assert before > len(name)
    assert used(tmp_path / "items.db-wal") - before < 20 * PAGE
    await writer.close()


async def test_a_log_that_gets_no_room_grows_as_it_is_written(tmp_path: Path) -> None:
    """A disk that is nearly full is not filled up for it."""
    log = tmp_path / "items.db-wal"
    with no_file_grows_beyond(1 << 20):
        writer = await open_items(tmp_path)
        before = log.stat().st_size
        await writer.write(partial(add, "one"))
        assert before < log.stat().st_size < 1 << 20
        assert await writer.read(listed) == ["one"]
        await writer.close()
