"""Records, workspaces and the journal of the control plane, over memory and SQLite."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from flashcore.builtin.memory_state import MemoryStores
from flashcore.builtin.sqlite_state import SqliteStores
from flashcore.control.store import (
    Changes,
    Compacted,
    Kind,
    Leadership,
    Ledger,
    LostLeadership,
    Recorded,
    StaleWrite,
    Stored,
)
from flashcore.hookspecs.state import Put, StateBackend, Transaction
from flashcore.model.errors import StateCorrupt, StateTooNew
from flashcore.model.events import Event
from flashcore.model.names import EndpointName, Scope


@dataclass(frozen=True, slots=True)
class Ship:
    """A record with a bit of everything."""

    name: str
    tons: float = 1.0
    cargo: tuple[str, ...] = ()
    flags: frozenset[str] = field(default_factory=frozenset)


SHIPS = Kind("ships", Ship, lambda ship: ship.name)
BOATS = Kind("boats", Ship, lambda ship: ship.name)
SCOPE = Scope("shop", "production")


@pytest.fixture(params=["memory", "sqlite"])
async def backend(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[StateBackend]:
    """A state, of both built-in kinds."""
    if request.param == "memory":
        state: StateBackend = await MemoryStores(history=100).open_state("memory:")
    else:
        state = await SqliteStores(history=100).open_state(f"sqlite:///{tmp_path}/state.db")
    yield state
    await state.close()


@pytest.fixture
def ledger(backend: StateBackend) -> Ledger:
    """A ledger of ships and boats."""
    return Ledger(backend, SCOPE, (SHIPS, BOATS))


@pytest.fixture
async def leader(ledger: Ledger) -> Leadership:
    """Who may write to it."""
    return await ledger.take_over("test", duration=10.0)


async def create(ledger: Ledger, leader: Leadership, *ships: Ship, kind: Kind[Ship] = SHIPS) -> list[Stored[Ship]]:
    """Store records in one pass."""
    work = ledger.workspace(leader)
    for ship in ships:
        work.create(kind, ship)
    committed = await work.commit()
    assert committed is not None
    return list(committed.stored)


async def test_records_come_back_as_they_were(ledger: Ledger, leader: Leadership) -> None:
    """All kinds at one revision, each record with the version that a commit expects."""
    ship = Ship("Größe", 3.5, ("a", "b"), frozenset({"x", "y"}))
    named = replace(ship, name="g")
    (stored,) = await create(ledger, leader, named)
    (boat,) = await create(ledger, leader, named, kind=BOATS)

    snapshot = await ledger.load()

    assert snapshot.of(SHIPS) == {"g": stored}
    assert snapshot.of(BOATS) == {"g": boat}
    assert snapshot.of(SHIPS)["g"].value == named
    assert stored.version < boat.version == snapshot.revision


async def test_a_pass_is_one_commit(ledger: Ledger, leader: Leadership) -> None:
    """Records and events of one pass have one revision, and are watched as one change."""
    old, gone = await create(ledger, leader, Ship("old"), Ship("gone"))
    work = ledger.workspace(leader)
    work.create(SHIPS, Ship("new"))
    work.replace(old, Ship("old", 2.0))
    work.remove(gone)
    work.emit(Event("ship.grew", 1.0, EndpointName("dock")))
    work.emit(Event("ship.sank", 2.0))

    committed = await work.commit()

    assert committed is not None
    assert {stored.version for stored in committed.stored} == {committed.revision}
    (changes,) = await take(ledger, committed.revision - 1, 1)
    assert changes.revision == committed.revision
    assert {stored.id: stored.value.tons for stored in changes.stored} == {"new": 1.0, "old": 2.0}
    assert [(removed.kind, removed.id) for removed in changes.removed] == [(SHIPS, "gone")]
    assert [recorded.event.kind for recorded in changes.events] == ["ship.grew", "ship.sank"]
    assert changes.events == committed.events


async def test_a_pass_that_changes_nothing_writes_nothing(ledger: Ledger, leader: Leadership) -> None:
    """Equal values, and what was only looked at, are no change."""
    (stored,) = await create(ledger, leader, Ship("a"))
    before = (await ledger.load()).revision
    work = ledger.workspace(leader)
    work.replace(stored, Ship("a"))
    work.require(stored)

    assert not work.changed
    assert await work.commit() is None
    assert (await ledger.load()).revision == before


async def test_a_pass_on_an_outdated_view_is_refused_as_a_whole(ledger: Ledger, leader: Leadership) -> None:
    """E38: whether the outdated record was to be replaced, removed, created, or only looked at."""
    a, b = await create(ledger, leader, Ship("a"), Ship("b"))
    work = ledger.workspace(leader)
    work.replace(a, Ship("a", 9.0))
    await work.commit()

    for stage in ("replace", "remove", "require", "create"):
        work = ledger.workspace(leader)
        work.replace(b, Ship("b", 5.0))
        work.emit(Event("never", 0.0))
        if stage == "create":
            work.create(SHIPS, Ship("a"))
        elif stage == "replace":
            work.replace(a, Ship("a", 7.0))
        else:
            getattr(work, stage)(a)
        with pytest.raises(StaleWrite):
            await work.commit()

    snapshot = await ledger.load()
    assert snapshot.of(SHIPS)["a"].value.tons == 9.0
    assert snapshot.of(SHIPS)["b"] == b
    assert await ledger.journal.read() == ()


async def test_a_record_is_staged_once(ledger: Ledger, leader: Leadership) -> None:
    """Twice would hide the first; and a record keeps its id."""
    (a,) = await create(ledger, leader, Ship("a"))
    work = ledger.workspace(leader)
    work.replace(a, Ship("a", 2.0))

    with pytest.raises(ValueError, match="staged twice"):
        work.remove(a)
    with pytest.raises(ValueError, match="cannot become"):
        work.replace(a, Ship("b"))


async def test_what_was_committed_can_be_changed_at_once(ledger: Ledger, leader: Leadership) -> None:
    """The versions that a commit returns are good for the next pass, without reading again."""
    (stored,) = await create(ledger, leader, Ship("a", 0.0))
    for tons in range(1, 4):
        work = ledger.workspace(leader)
        work.replace(stored, Ship("a", float(tons)))
        committed = await work.commit()
        assert committed is not None
        (stored,) = committed.stored

    assert (await ledger.load()).of(SHIPS)["a"].value.tons == 3.0


async def test_scopes_do_not_see_each_other(backend: StateBackend, ledger: Ledger, leader: Leadership) -> None:
    """Not even when one name begins with the other: each has its records, its log and its leader."""
    other = Ledger(backend, Scope("shop", "production-2"), (SHIPS,))
    theirs = await other.take_over("they", duration=10.0)
    await create(ledger, leader, Ship("mine"))
    await create(other, theirs, Ship("theirs"))

    assert set((await ledger.load()).of(SHIPS)) == {"mine"}
    assert set((await other.load()).of(SHIPS)) == {"theirs"}
    (first,) = await take(ledger, 0, 1)
    assert [stored.id for stored in first.stored] == ["mine"]
    await leader.confirm()
    await theirs.confirm()


async def test_the_lease_is_no_change(ledger: Ledger, leader: Leadership) -> None:
    """Renewals wake nobody who watches records."""
    start = (await ledger.load()).revision
    for _ in range(3):
        await leader.renew()
    (stored,) = await create(ledger, leader, Ship("a"))

    (changes,) = await take(ledger, start, 1)

    assert changes.revision == stored.version


async def test_a_watch_that_is_too_far_behind_says_so(ledger: Ledger, leader: Leadership) -> None:
    """Then everything is loaded again; loading itself never fails for that reason."""
    (stored,) = await create(ledger, leader, Ship("a", 0.0))
    start = stored.version
    for tons in range(1, 400):
        work = ledger.workspace(leader)
        work.replace(stored, Ship("a", float(tons)))
        committed = await work.commit()
        assert committed is not None
        (stored,) = committed.stored

    with pytest.raises(Compacted):
        await take(ledger, start, 1)
    assert (await ledger.load()).of(SHIPS)["a"].value.tons == 399.0


async def test_loading_while_others_write_is_of_one_revision(ledger: Ledger, leader: Leadership) -> None:
    """Each commit writes two records with equal values: no load ever sees them apart."""
    pair = await create(ledger, leader, Ship("a", 0.0), Ship("b", 0.0))

    async def write() -> None:
        stored = pair
        for tons in range(1, 60):
            work = ledger.workspace(leader)
            for one in stored:
                work.replace(one, replace(one.value, tons=float(tons)))
            committed = await work.commit()
            assert committed is not None
            stored = list(committed.stored)

    writing = asyncio.ensure_future(write())
    while not writing.done():
        ships = (await ledger.load()).of(SHIPS)
        assert ships["a"].value.tons == ships["b"].value.tons
        await asyncio.sleep(0)
    await writing


async def test_a_record_of_a_newer_form_is_refused_by_name(ledger: Ledger, leader: Leadership) -> None:
    """A newer flashcore wrote it: nothing is guessed."""
    newer = replace(SHIPS, schema=2, steps=(lambda value: value,))
    await create(ledger, leader, Ship("a"), kind=newer)

    with pytest.raises(StateTooNew, match="shop/production/records/ships/a"):
        await ledger.load()


@pytest.mark.parametrize("value", [b"nonsense", b"{}", b'{"schema":1,"value":{"name":5}}', b"[]", b"\xff"])
async def test_a_record_that_cannot_be_read_is_refused_by_name(
    backend: StateBackend, ledger: Ledger, value: bytes
) -> None:
    """With a way out; nothing is changed."""
    await backend.commit(Transaction(puts=(Put("shop/production/records/ships/a", value),)))

    with pytest.raises(StateCorrupt, match="records/ships/a") as refusal:
        await ledger.load()

    assert refusal.value.next_step


async def test_records_of_unknown_kinds_are_left_alone(backend: StateBackend, ledger: Ledger) -> None:
    """Another version may keep what this one does not know."""
    await backend.commit(Transaction(puts=(Put("shop/production/records/planes/a", b"?"),)))

    assert (await ledger.load()).of(SHIPS) == {}


async def test_the_stored_form_is_plain(backend: StateBackend, ledger: Ledger, leader: Leadership) -> None:
    """JSON with sorted keys: the same record has the same bytes, and a person can read them."""
    await create(ledger, leader, Ship("a", 2.0, ("ü",)))

    (entry,) = (await backend.read("shop/production/records/")).entries

    assert entry.key == "shop/production/records/ships/a"
    assert json.loads(entry.value) == {
        "schema": 1,
        "value": {"name": "a", "tons": 2.0, "cargo": ["ü"], "flags": []},
    }


async def test_two_kinds_of_one_name_are_refused(backend: StateBackend) -> None:
    """They would read each other's records."""
    with pytest.raises(ValueError, match="one name"):
        Ledger(backend, SCOPE, (SHIPS, replace(BOATS, name="ships")))


async def log(ledger: Ledger, leader: Leadership, *events: Event) -> tuple[Recorded, ...]:
    """Record events, each in a pass of its own."""
    recorded: list[Recorded] = []
    for event in events:
        work = ledger.workspace(leader)
        work.emit(event)
        committed = await work.commit()
        assert committed is not None
        recorded += committed.events
    return tuple(recorded)


def event(number: int, endpoint: str | None = None) -> Event:
    """An event at that second."""
    name = EndpointName(endpoint) if endpoint else None
    return Event(f"test.{number}", float(number), name, data={"n": number})


async def test_the_journal_keeps_events_in_order(ledger: Ledger, leader: Leadership) -> None:
    """Over a change of leaders too, and can be read on from any of them."""
    first = await log(ledger, leader, *map(event, range(12)))
    second = await log(ledger, await ledger.take_over("next", 10.0), *map(event, range(12, 15)))

    everything = await ledger.journal.read()

    assert everything == first + second
    assert await ledger.journal.read(after=everything[4].cursor, limit=3) == everything[5:8]
    assert await ledger.journal.tail(2) == everything[-2:]
    assert await ledger.journal.read(after=everything[-1].cursor) == ()


async def test_the_journal_can_be_read_by_endpoint(ledger: Ledger, leader: Leadership) -> None:
    """Events of others, and of none, are left out."""
    await log(ledger, leader, event(1, "a"), event(2, "a-b"), event(3), event(4, "a"), event(5, "b"))

    mine = await ledger.journal.read(endpoint=EndpointName("a"))
    last = await ledger.journal.tail(1, endpoint=EndpointName("a"))

    assert [recorded.event.at for recorded in mine] == [1.0, 4.0]
    assert last == mine[-1:]


async def test_events_of_a_refused_pass_are_not_recorded(ledger: Ledger, leader: Leadership) -> None:
    """They did not happen; the next pass's events take places of their own."""
    (stored,) = await create(ledger, leader, Ship("a"))
    work = ledger.workspace(leader)
    work.create(SHIPS, Ship("a"))
    work.emit(event(1))
    with pytest.raises(StaleWrite):
        await work.commit()
    work = ledger.workspace(leader)
    work.replace(stored, Ship("a", 4.0))
    work.emit(event(2))
    await work.commit()

    assert [recorded.event.at for recorded in await ledger.journal.read()] == [2.0]


async def test_old_events_are_cut_off(ledger: Ledger, leader: Leadership) -> None:
    """Those beyond the newest N and older than a time, a bounded number at once."""
    await log(ledger, leader, *map(event, range(20)))
    journal = ledger.journal

    assert await journal.prune(leader, keep=18, before=100.0) == 2
    assert await journal.prune(leader, keep=5, before=8.0) == 6
    assert await journal.prune(leader, keep=5, before=100.0, limit=4) == 4
    assert await journal.prune(leader, keep=5, before=100.0) == 3
    assert await journal.prune(leader, keep=5, before=100.0) == 0
    assert [recorded.event.at for recorded in await journal.read()] == [15.0, 16.0, 17.0, 18.0, 19.0]


async def test_an_event_that_cannot_be_read_is_named(backend: StateBackend, ledger: Ledger) -> None:
    """The log is not skipped over in silence."""
    await backend.commit(Transaction(puts=(Put("shop/production/events/00000001-0000000001/-", b"{}"),)))

    with pytest.raises(StateCorrupt, match="events/00000001-0000000001"):
        await ledger.journal.read()


async def test_a_leader_that_was_replaced_writes_nothing(ledger: Ledger, leader: Leadership) -> None:
    """Whatever it tries: a pass, pruning, a renewal."""
    (stored,) = await create(ledger, leader, Ship("a"))
    await log(ledger, leader, event(1), event(2))
    await ledger.take_over("next", 10.0)
    before = (await ledger.load()).revision

    work = ledger.workspace(leader)
    work.replace(stored, Ship("a", 2.0))
    for attempt in (work.commit(), ledger.journal.prune(leader, keep=0, before=9.0), leader.renew(), leader.confirm()):
        with pytest.raises(LostLeadership, match="next leads"):
            await attempt
    await leader.release()

    assert (await ledger.load()).revision == before


async def take(ledger: Ledger, after: int, count: int) -> list[Changes]:
    """The next so many changes."""
    async with asyncio.timeout(60), contextlib.aclosing(ledger.watch(after)) as changes:
        return [await anext(changes) for _ in range(count)]
