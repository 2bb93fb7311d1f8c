"""Checks of opening, closing, dying and of several processes."""

from __future__ import annotations

import asyncio

from flashcore.hookspecs.state import Check, Put, StateBackend, Transaction
from flashcore.model.errors import Refused
from flashcore.testing.conformance import require
from flashcore.testing.store_checks.processes import Load
from flashcore.testing.store_checks.state_entries import entries_of, keys_of, put, refusal_of
from flashcore.testing.store_checks.subject import Subject, require_closed

ACKNOWLEDGED_BEFORE_THE_KILL = 200


async def check_close(subject: Subject) -> None:
    """Closing twice is closing once; a closed store says that it is closed."""
    async with subject.state() as state:
        await state.commit(put("a"))
        await state.close()
        await state.close()
        await require_closed(state.read(""), state.commit(put("b")))


async def check_close_finishes(subject: Subject) -> None:
    """What was asked for before the close is written, or refused; it is never acknowledged and lost."""
    subject.ask("durable", given=subject.durable)
    async with subject.state() as state:
        commits = [asyncio.ensure_future(state.commit(put(f"k/{n:02d}"))) for n in range(30)]
        await asyncio.sleep(0)
        await state.close()
        answers = await asyncio.gather(*commits, return_exceptions=True)
    acknowledged = {f"k/{n:02d}" for n, answer in enumerate(answers) if isinstance(answer, int)}
    async with subject.state() as state:
        missing = acknowledged - set(await keys_of(state, "k/"))
        require(not missing, "what was acknowledged is there", sorted(missing))


async def check_reopen(subject: Subject) -> None:
    """Opened again, a store has its entries with their versions, its revision, and a clock that did not go back."""
    subject.ask("durable", given=subject.durable)
    async with subject.state() as state:
        first = await state.commit(Transaction(puts=(Put("r/1", b"1"), Put("r/2", b"2"))))
        await state.commit(Transaction((Check("r/1", first),), (Put("r/1", b"3"),), ("r/2",)))
        before, time = await state.read(""), state.now()
    async with subject.state() as state:
        require(await state.read("") == before, "entries, versions and revision are as they were")
        require(state.now() >= time, "the clock did not go back", state.now() - time)
        require(await refusal_of(state, Transaction((Check("r/2", 0),))) is None, "what was deleted is absent")
        require(await state.commit(put("r/4")) == before.revision + 1, "revisions go on")


async def check_second_opener(subject: Subject) -> None:
    """A store that one process owns refuses a second one, by name, and serves the first as before."""
    subject.ask("durable and owned by one process", given=subject.durable and not subject.shared)
    async with subject.state() as state:
        await state.commit(put("a"))
        try:
            await subject.stores().open_state(subject.url)
        except Refused as refusal:
            require(refusal.next_step, "the refusal says what to do")
        else:
            require(None, "a second opener is refused")
        async with Load(subject, "state") as other:
            require("refused" in await other.ending(), "a second process is refused")
        await state.commit(put("b"))
        require(await keys_of(state, "") == ["a", "b"], "the first one is served as before")


async def check_contended_processes(subject: Subject) -> None:
    """Two processes of eight tasks each, counting by compare-and-set, lose no step."""
    subject.ask("open to several processes", given=subject.shared)
    async with Load(subject, "counter") as one, Load(subject, "counter") as two:
        await asyncio.gather(one.ending(), two.ending())
    async with subject.state() as state:
        (entry,) = (await state.read("counter")).entries
        require(entry.value == b"%d" % (2 * 8 * 25), "no increment was lost", entry.value)


async def check_kill(subject: Subject) -> None:
    """Whatever was acknowledged before kill -9 is there, no commit is halved, and the clock did not go back."""
    subject.ask("durable", given=subject.durable)
    async with Load(subject, "state") as load:
        acknowledged = await load.kill_after(ACKNOWLEDGED_BEFORE_THE_KILL)
    async with subject.state() as state:
        await _require_acknowledged(state, acknowledged)
        await state.commit(put("after"))


async def _require_acknowledged(state: StateBackend, acknowledged: list[str]) -> None:
    """Lines are `NUMBER REVISION TIME`; each commit wrote `k/NUMBER/a` and `k/NUMBER/b`."""
    versions = {entry.key: entry.version for entry in await entries_of(state, "k/")}
    for line in acknowledged:
        number, revision, _ = line.split()
        seen = [versions.get(f"k/{number}/{half}") for half in "ab"]
        require(seen == [int(revision)] * 2, f"commit {number} was acknowledged as {revision}", seen)
    numbers = {key.split("/")[1] for key in versions}
    require(len(versions) == 2 * len(numbers), "no commit is halved")
    latest = max(float(line.split()[2]) for line in acknowledged)
    require(state.now() >= latest, "the clock did not go back", state.now() - latest)
