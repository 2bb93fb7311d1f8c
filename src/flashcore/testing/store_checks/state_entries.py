"""Checks of reading and committing."""

from __future__ import annotations

import asyncio
from itertools import pairwise

from flashcore.hookspecs.state import (
    MAX_KEY,
    MAX_VALUE,
    Check,
    Entry,
    InvalidTransaction,
    Page,
    Put,
    StaleWrite,
    StateBackend,
    Transaction,
)
from flashcore.testing.conformance import require
from flashcore.testing.store_checks.subject import Subject


def put(key: str, value: bytes = b"x") -> Transaction:
    """One unconditional write."""
    return Transaction(puts=(Put(key, value),))


async def keys_of(state: StateBackend, prefix: str, *, limit: int = 1000, at: int | None = None) -> list[str]:
    """All keys of a listing, read in pages."""
    return [entry.key for entry in await entries_of(state, prefix, limit=limit, at=at)]


async def entries_of(state: StateBackend, prefix: str, *, limit: int = 1000, at: int | None = None) -> list[Entry]:
    """All entries of a listing, read in pages of one revision."""
    found: list[Entry] = []
    page = await state.read(prefix, limit=limit, at=at)
    found += page.entries
    while page.more:
        page = await state.read(prefix, after=found[-1].key, limit=limit, at=page.revision)
        found += page.entries
    return found


async def refusal_of(state: StateBackend, transaction: Transaction) -> StaleWrite | None:
    """How a commit was refused, None if it was not."""
    try:
        await state.commit(transaction)
    except StaleWrite as refusal:
        return refusal
    return None


async def check_empty_store(subject: Subject) -> None:
    """A new store has nothing in it and answers so."""
    async with subject.state() as state:
        page = await state.read("")
        require(page == Page((), page.revision, more=False), "a new store is empty", page)
        require(await refusal_of(state, Transaction()) is None, "an empty transaction is no error")


async def check_reads_what_was_written(subject: Subject) -> None:
    """A committed value is read back with the revision of its commit as its version."""
    async with subject.state() as state:
        revision = await state.commit(Transaction(puts=(Put("a/1", b"one"), Put("a/2", b""))))
        page = await state.read("a/")
        wanted = (Entry("a/1", b"one", revision), Entry("a/2", b"", revision))
        require(page == Page(wanted, revision, more=False), "entries hold value and version", page)


async def check_revisions_grow_by_one(subject: Subject) -> None:
    """Each commit that writes is the next revision; one that only checks is none."""
    async with subject.state() as state:
        first = await state.commit(put("a"))
        same = await state.commit(Transaction(checks=(Check("a", first),)))
        second = await state.commit(Transaction(deletes=("a",)))
        require((same, second) == (first, first + 1), "revisions count the commits that write", (first, same, second))


async def check_compare_and_set(subject: Subject) -> None:
    """A check passes at exactly the key's version; version 0 means absent, also after a delete."""
    async with subject.state() as state:
        created = await state.commit(Transaction((Check("k", 0),), (Put("k", b"1"),)))
        refused = await refusal_of(state, Transaction((Check("k", 0),), (Put("k", b"2"),)))
        require(refused is not None, "version 0 demands that the key is absent")
        changed = await state.commit(Transaction((Check("k", created),), (Put("k", b"3"),)))
        refused = await refusal_of(state, Transaction((Check("k", created),), (Put("k", b"4"),)))
        require(refused is not None, "an old version is refused")
        require("k" in str(refused), "the refusal names the key", str(refused))
        await state.commit(Transaction((Check("k", changed),), deletes=("k",)))
        require(await refusal_of(state, Transaction((Check("k", 0),), (Put("k", b"5"),))) is None, "deleted is absent")
        require(await refusal_of(state, Transaction((Check("never", 7),))) is not None, "absent is at no version")


async def check_all_or_nothing(subject: Subject) -> None:
    """A refused transaction leaves no trace, whichever of its checks failed."""
    async with subject.state() as state:
        revision = await state.commit(Transaction(puts=(Put("a", b"1"), Put("b", b"1"))))
        doomed = Transaction((Check("a", revision), Check("b", 0)), (Put("a", b"2"), Put("c", b"2")), ("b",))
        require(await refusal_of(state, doomed) is not None, "one failed check refuses all")
        page = await state.read("")
        wanted = (Entry("a", b"1", revision), Entry("b", b"1", revision))
        require(page == Page(wanted, revision, more=False), "a refused transaction wrote nothing", page)


async def check_neighbours_are_unharmed(subject: Subject) -> None:
    """Of many commits in one instant, those that are refused take none of the others with them."""
    async with subject.state() as state:
        await state.commit(put("taken"))
        doomed = Transaction((Check("taken", 0),), (Put("never", b""),))
        mixed = [doomed if number % 3 == 0 else put(f"n/{number:02d}") for number in range(60)]
        answers = await asyncio.gather(*(refusal_of(state, transaction) for transaction in mixed))
        refused = [number for number, answer in enumerate(answers) if answer is not None]
        require(refused == list(range(0, 60, 3)), "exactly the doomed ones are refused", refused)
        require(len(await keys_of(state, "n/")) == 40, "all others are written")
        require(await keys_of(state, "never") == [], "the doomed ones wrote nothing")


async def check_cancelled_commit(subject: Subject) -> None:
    """A commit whose caller went away is there as a whole or not at all, and the store goes on."""
    async with subject.state() as state:
        started = [
            asyncio.ensure_future(state.commit(Transaction(puts=(Put(f"c/{n}/a", b""), Put(f"c/{n}/b", b"")))))
            for n in range(20)
        ]
        await asyncio.sleep(0)
        for commit in started[::2]:
            commit.cancel()
        await asyncio.gather(*started, return_exceptions=True)
        await state.commit(put("after"))
        keys = await keys_of(state, "c/")
        require(len(keys) % 2 == 0, "no commit is halved", keys)
        require(all(f"c/{n}/a" in keys for n in range(1, 20, 2)), "the others are written", keys)


async def check_listing(subject: Subject) -> None:
    """A listing has exactly the keys that start with the prefix, in order, in pages of the size that was asked for."""
    async with subject.state() as state:
        inside = sorted(f"p/{name}" for name in ("a", "a/b", "a~", "a0", "A", "z", "~~", "00", "_", "-", "a/b/c", "0"))
        outside = ("p", "p0", "o/z", "q/a", "P/a", "pp/a")
        await state.commit(Transaction(puts=tuple(Put(key, key.encode()) for key in (*inside, *outside))))
        for limit in (1, 2, 5, len(inside), 1000):
            require(await keys_of(state, "p/", limit=limit) == inside, f"pages of {limit} are complete and in order")
        require(await keys_of(state, "") == sorted([*inside, *outside]), "the empty prefix is everything")
        require(await keys_of(state, "p/a/b/c") == ["p/a/b/c"], "a whole key is a prefix of itself")
        require(await keys_of(state, "p/nothing") == [], "nothing is listed as nothing")
        page = await state.read("p/", after="p/z", limit=1)
        require([e.key for e in page.entries] == ["p/~~"] and not page.more, "the last page says so", page)
        page = await state.read("p/", after="a")
        require(len(page.entries) == len(inside), "a start before the prefix is its beginning")


async def check_listing_is_of_one_revision(subject: Subject) -> None:
    """The pages of one listing agree, whatever is committed between them."""
    async with subject.state() as state:
        await state.commit(Transaction(puts=tuple(Put(f"k/{n:02d}", b"old") for n in range(10))))
        page = await state.read("k/", limit=4)
        await state.commit(Transaction(puts=(Put("k/045", b"new"), Put("k/09", b"new")), deletes=("k/05",)))
        await state.commit(put("k/05", b"again"))
        rest = await state.read("k/", after="k/03", at=page.revision)
        seen = [(entry.key, entry.value) for entry in rest.entries]
        require(seen == [(f"k/{n:02d}", b"old") for n in range(4, 10)], "later pages are as of the first", seen)
        require(rest.revision == page.revision, "and say so", rest.revision)


async def check_future_revision(subject: Subject) -> None:
    """A revision that has not happened is refused as the caller's mistake."""
    async with subject.state() as state:
        revision = await state.commit(put("a"))
        try:
            await state.read("", at=revision + 1)
        except ValueError:
            return
        require(None, "reading a revision that has not happened raises ValueError")


async def check_values(subject: Subject) -> None:
    """Any bytes are a value, up to the limit; keys may be as long as the limit."""
    async with subject.state() as state:
        values = {"b/all": bytes(range(256)), "b/big": b"\xff" * MAX_VALUE, "b/empty": b"", "b/text": "ü€😀".encode()}
        values["b/" + "k" * (MAX_KEY - 2)] = b"long key"
        for key, value in values.items():
            await state.commit(put(key, value))
        read = {entry.key: entry.value for entry in await entries_of(state, "b/")}
        require(read == values, "values come back as they were written")


async def check_out_of_bounds(subject: Subject) -> None:
    """Keys that are empty, too long or not plain, values that are too large, keys written twice: refused by name."""
    async with subject.state() as state:
        cases: list[tuple[str, tuple[Put, ...]]] = [
            ("empty", (Put("", b""),)),
            ("characters", (Put("k" * (MAX_KEY + 1), b""),)),
            ("ASCII", (Put("schlüssel", b""),)),
            ("ASCII", (Put("a b", b""),)),
            ("ASCII", (Put("a\n", b""),)),
            ("bytes", (Put("k", b"x" * (MAX_VALUE + 1)),)),
            ("twice", (Put("k", b"1"), Put("k", b"2"))),
        ]
        for word, puts in cases:
            try:
                await state.commit(Transaction(puts=puts))
            except InvalidTransaction as refusal:
                require(word in str(refusal), f"the refusal says what is wrong: {word}", str(refusal))
            else:
                require(None, "a transaction out of bounds is refused", word)
        require(await keys_of(state, "") == [], "nothing of them was written")


async def check_contended_counter(subject: Subject) -> None:
    """Eight tasks that count by compare-and-set lose no step."""
    async with subject.state() as state:
        await asyncio.gather(*(count_up(state, 25) for _ in range(8)))
        (entry,) = (await state.read("counter")).entries
        require(entry.value == b"200", "no increment was lost", entry.value)


async def count_up(state: StateBackend, times: int) -> None:
    """Add one to the key `counter` so many times, by compare-and-set."""
    for _ in range(times):
        while True:
            entries = (await state.read("counter")).entries
            version = entries[0].version if entries else 0
            value = int(entries[0].value) + 1 if entries else 1
            step = Transaction((Check("counter", version),), (Put("counter", str(value).encode()),))
            if await refusal_of(state, step) is None:
                break


async def check_clock(subject: Subject) -> None:
    """The store's clock goes on with time and never back."""
    async with subject.state() as state:
        before = state.now()
        await subject.advance(0.2)
        require(state.now() - before >= 0.19, "the clock goes on", state.now() - before)
        readings = [state.now() for _ in range(1000)]
        require(all(a <= b for a, b in pairwise(readings)), "the clock never goes back")
