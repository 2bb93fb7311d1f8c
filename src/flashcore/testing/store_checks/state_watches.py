"""Checks of watching."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator

from flashcore.hookspecs.state import Batch, Change, Compacted, Put, StateBackend, Transaction
from flashcore.testing.conformance import require
from flashcore.testing.store_checks.state_entries import keys_of, put
from flashcore.testing.store_checks.subject import PATIENCE, Subject


async def take(batches: AsyncGenerator[Batch, None], count: int) -> list[Batch]:
    """The next so many batches, which must come soon."""
    async with asyncio.timeout(PATIENCE):
        return [await anext(batches) for _ in range(count)]


async def check_watch_tells_each_commit(subject: Subject) -> None:
    """A watch gives one batch per commit, whole, in order, deletes included, and only what is under its prefix."""
    async with subject.state() as state:
        start = await state.commit(put("w/before"))
        async with contextlib.aclosing(state.watch("w/", start)) as batches:
            first = await state.commit(Transaction(puts=(Put("w/1", b"1"), Put("w/2", b"2"), Put("x", b""))))
            await state.commit(put("x"))
            third = await state.commit(Transaction(puts=(Put("w/3", b"3"),), deletes=("w/1",)))
            seen = [_plain(batch) for batch in await take(batches, 2)]
        wanted = [(first, {"w/1": b"1", "w/2": b"2"}), (third, {"w/3": b"3", "w/1": None})]
        require(seen == wanted, "batches are whole commits under the prefix", seen)


async def check_watch_waits(subject: Subject) -> None:
    """A watch that has told all waits, and is woken by the next commit."""
    async with subject.state() as state:
        start = await state.commit(put("a"))
        async with contextlib.aclosing(state.watch("", start)) as batches:
            coming = asyncio.ensure_future(anext(batches))
            done, _ = await asyncio.wait({coming}, timeout=0.1)
            require(not done, "nothing happened, nothing is told")
            revision = await state.commit(put("b", b"2"))
            async with asyncio.timeout(PATIENCE):
                batch = await coming
            require(batch == Batch(revision, (Change("b", b"2"),)), "the commit is told", batch)
            meanwhile = await state.commit(put("c"))
            told = [batch.revision for batch in await take(batches, 1)]
            require(told == [meanwhile], "so is one that came while the last was being handled", told)


async def check_watch_from_the_past(subject: Subject) -> None:
    """A watch after an old revision first tells what happened since, also to one who listens late."""
    async with subject.state() as state:
        start = await state.commit(put("p/0"))
        revisions = [await state.commit(put(f"p/{n}", b"%d" % n)) for n in range(1, 30)]
        async with contextlib.aclosing(state.watch("p/", start)) as batches:
            seen = [batch.revision for batch in await take(batches, len(revisions))]
            require(seen == revisions, "all commits since are told, in order", seen)


async def check_watchers_agree(subject: Subject) -> None:
    """Several watchers see the same commits in the same order while many are written at once."""
    async with subject.state() as state:
        start = await state.commit(put("start"))
        watches = [state.watch("m/", start) for _ in range(3)]
        collecting = [asyncio.ensure_future(take(watch, 40)) for watch in watches]
        pairs = [Transaction(puts=(Put(f"m/{n}/a", b""), Put(f"m/{n}/b", b""))) for n in range(40)]
        revisions = await asyncio.gather(*(state.commit(pair) for pair in pairs))
        seen = await asyncio.gather(*collecting)
        for watch in watches:
            await watch.aclose()
        require(seen[0] == seen[1] == seen[2], "all watchers see the same")
        require([batch.revision for batch in seen[0]] == sorted(revisions), "in the order of revisions")
        require(all(len(batch.changes) == 2 for batch in seen[0]), "no commit is split or merged")


async def check_watch_builds_the_same_state(subject: Subject) -> None:
    """Whoever reads once and then watches has what a new reader has."""
    async with subject.state() as state:
        for n in range(10):
            await state.commit(put(f"s/{n}"))
        page = await state.read("s/")
        mirror = {entry.key: entry.value for entry in page.entries}
        for n in range(0, 30, 3):
            await state.commit(Transaction(puts=(Put(f"s/{n}", b"%d" % n),), deletes=(f"s/{n + 1}",)))
        async with contextlib.aclosing(state.watch("s/", page.revision)) as batches:
            for batch in await take(batches, 10):
                for change in batch.changes:
                    mirror[change.key] = change.value if change.value is not None else b"gone"
        left = sorted(key for key, value in mirror.items() if value != b"gone")
        require(left == await keys_of(state, "s/"), "the mirror is true", left)


async def check_watch_ends(subject: Subject) -> None:
    """A closed watch ends; a cancelled one harms nobody; closing the store ends those that wait."""
    async with subject.state() as state:
        start = await state.commit(put("a"))
        closed = state.watch("", start)
        await state.commit(put("b"))
        await take(closed, 1)
        await closed.aclose()
        require(await anext(closed, None) is None, "a closed watch is over")

        cancelled = asyncio.ensure_future(anext(state.watch("", await state.commit(put("c")))))
        await asyncio.sleep(0)
        cancelled.cancel()
        await asyncio.gather(cancelled, return_exceptions=True)

        waiting = asyncio.ensure_future(_last(state, await state.commit(put("d"))))
        await asyncio.sleep(0.05)
    async with asyncio.timeout(PATIENCE):
        require(await waiting is None, "closing the store ends the iteration")


async def check_compacted(subject: Subject) -> None:
    """History that is gone is said to be gone, to readers and watchers alike; what is newer can still be had."""
    history = subject.history or 0
    subject.ask("of bounded history that can be tried", given=history > 0)
    async with subject.state() as state:
        old = await state.commit(put("h/first"))
        for n in range(3 * history + 10):
            await state.commit(put(f"h/{n % 5}", b"%d" % n))
        require(await _compacted(anext(state.watch("h/", old))), "a watch from too long ago raises Compacted")
        require(await _compacted(state.read("h/", at=old)), "so does a read at a revision that is gone")
        newest = await state.commit(put("h/last"))
        recent = await state.read("h/", at=newest - min(history, 5))
        require([e.key for e in recent.entries] == [*(f"h/{n}" for n in range(5)), "h/first"], "recent ones can be had")
        async with contextlib.aclosing(state.watch("h/", newest - 1)) as batches:
            require((await take(batches, 1))[0].revision == newest, "and watched")
        async with contextlib.aclosing(state.watch("h/", newest - history)) as batches:
            first = (await take(batches, 1))[0].revision
            require(first == newest - history + 1, "from as many commits ago as are kept at least", first)
        require(len(await keys_of(state, "h/")) == 7, "what is valid now is never compacted away")


async def _compacted(asked: object) -> bool:
    try:
        await asked  # type: ignore[misc]  # a coroutine of either kind; only whether it raises matters
    except Compacted:
        return True
    return False


async def _last(state: StateBackend, after: int) -> Batch | None:
    last = None
    async for batch in state.watch("", after):
        last = batch
    return last


def _plain(batch: Batch) -> tuple[int, dict[str, bytes | None]]:
    return batch.revision, {change.key: change.value for change in batch.changes}
