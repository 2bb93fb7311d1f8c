"""A backup is a whole copy as of one revision, which any backend takes in again; what is damaged is refused."""

import asyncio
import json
from pathlib import Path

import pytest

from flashcore.builtin.memory_state import MemoryState
from flashcore.builtin.sqlite_state import SqliteStores
from flashcore.control.kinds import KINDS
from flashcore.control.store import Kind, Ledger
from flashcore.control.store.backup import dump, parse, require_older, restore
from flashcore.control.store.records import decode
from flashcore.hookspecs.state import Entry, Put, StateBackend, Transaction
from flashcore.model.deployment import DeploymentStatus
from flashcore.model.errors import Refused, StateCorrupt, StateTooNew
from flashcore.model.events import Event
from flashcore.model.names import EndpointName, Scope
from flashcore.testing.scenes import watched
from flashcore.testing.simulation import SCOPE, World
from flashcore.testing.virtual_time import VirtualTime, run_virtual

OLD_STATE = Path(__file__).parent.parent / "data" / "state-form-1.backup"
OTHER = Scope("other", "test")


async def filled() -> tuple[StateBackend, Ledger]:
    """A state with a leader, an event, and keys of another scope beside it."""
    state = MemoryState(VirtualTime())
    ledger = Ledger(state, SCOPE, KINDS)
    work = ledger.workspace(await ledger.take_over("somebody", 30.0))
    work.emit(Event("deployment.status", state.now(), EndpointName("web"), message="é"))
    await work.commit()
    await state.commit(Transaction(puts=(Put(f"{OTHER.prefix}records/a", b"theirs"),)))
    return state, ledger


async def contents(state: StateBackend, prefix: str) -> dict[str, bytes]:
    """Keys and values below a prefix."""
    return {entry.key: entry.value for entry in (await state.read(prefix)).entries}


def test_what_is_restored_is_what_was_backed_up() -> None:
    """Byte by byte, but for the lease and the epoch; another scope is left alone."""

    async def scenario() -> None:
        state, ledger = await filled()
        await state.commit(Transaction(puts=(Put(f"{SCOPE.prefix}records/odd", b"\xff no JSON"),)))
        before = await contents(state, SCOPE.prefix)
        lines = await dump(state, SCOPE, "1")
        await state.commit(Transaction(puts=(Put(f"{SCOPE.prefix}records/new", b"{}"),), deletes=(ledger.keys.lease,)))

        await restore(state, SCOPE, parse(lines))

        after = await contents(state, SCOPE.prefix)
        changing = {ledger.keys.lease, ledger.keys.epoch}
        assert {key: after[key] for key in after.keys() - changing} == {
            key: before[key] for key in before.keys() - changing
        }
        assert await contents(state, OTHER.prefix) == {f"{OTHER.prefix}records/a": b"theirs"}

    run_virtual(scenario())


def test_who_leads_after_a_restore_is_newer_than_all_before() -> None:
    """Also than those who led after the backup: gateways and workers remember them."""

    async def scenario() -> None:
        state, ledger = await filled()
        lines = await dump(state, SCOPE, "1")
        await ledger.take_over("somebody", 30.0)
        latest = await ledger.take_over("somebody", 30.0)
        await restore(state, SCOPE, parse(lines))
        assert (await ledger.take_over("somebody", 30.0)).epoch.number > latest.epoch.number
        fresh = MemoryState(VirtualTime())
        await restore(fresh, SCOPE, parse(lines))
        assert (await Ledger(fresh, SCOPE, KINDS).take_over("me", 30.0)).epoch.number > 0

    run_virtual(scenario())


def test_a_backup_of_memory_is_taken_in_by_a_file(tmp_path: Path) -> None:
    """And the other way round: it does not matter where it comes from."""

    async def scenario() -> None:
        state, _ = await filled()
        lines = await dump(state, SCOPE, "1")
        file = await SqliteStores().open_state(f"sqlite:///{tmp_path}/state.db")
        try:
            await restore(file, SCOPE, parse(lines))
            again = await dump(file, SCOPE, "1")
        finally:
            await file.close()
        events = [line for line in lines if '"key":"events' in line]
        assert events
        assert [line for line in again if '"key":"events' in line] == events

    asyncio.run(scenario())


@pytest.mark.parametrize("damage", ["cut", "changed", "empty", "no_json", "footless"])
def test_what_is_damaged_is_refused(damage: str) -> None:
    """Before anything is touched."""

    async def scenario() -> None:
        state, _ = await filled()
        lines = await dump(state, SCOPE, "1")
        spoilt = {
            "cut": lines[:-2],
            "changed": [lines[0].replace('"app":', '"app" :'), *lines[1:]],
            "empty": [],
            "no_json": ["not a backup"],
            "footless": lines[:-1],
        }[damage]
        with pytest.raises(StateCorrupt, match="nothing was changed"):
            parse(spoilt)

    run_virtual(scenario())


def test_a_newer_format_is_refused_with_a_way_out() -> None:
    """It names the version that wrote it."""

    async def scenario() -> None:
        state, _ = await filled()
        first_line, *rest = await dump(state, SCOPE, "9.9")
        header = json.loads(first_line)
        header["flashcore_backup"]["format"] = 99
        with pytest.raises(StateTooNew, match=r"flashcore 9\.9"):
            parse([json.dumps(header), *rest])

    run_virtual(scenario())


def test_another_app_and_a_newer_state_are_refused() -> None:
    """The second can be forced: that is whoever calls `restore` without asking."""

    async def scenario() -> None:
        state, ledger = await filled()
        kept = parse(await dump(state, SCOPE, "1"))
        with pytest.raises(Refused, match="is a backup of 'simulated'"):
            await restore(state, OTHER, kept)
        await require_older(state, SCOPE, kept)
        await asyncio.sleep(5)
        work = ledger.workspace(await ledger.take_over("somebody", 30.0))
        work.emit(Event("deployment.status", state.now()))
        await work.commit()
        with pytest.raises(Refused, match="has changed since"):
            await require_older(state, SCOPE, kept)

    run_virtual(scenario())


def test_a_state_that_an_older_flashcore_wrote_is_taken_over() -> None:
    """A rollout that waited for its promotion when the file was made goes on from there: additions have defaults."""

    async def scenario(world: World) -> None:
        await world.controller.close()
        kept = parse(OLD_STATE.read_text(encoding="utf-8").splitlines())
        await restore(world.backend, SCOPE, kept)
        await world.start()
        view = world.view("hello")
        assert view.status is DeploymentStatus.AWAITING_PROMOTION
        assert [revision.number for revision in view.revisions] == [2, 1]
        assert view.rollout is not None
        assert (view.rollout.checkpoint, view.goal) == ("promotion", 2)

    watched(scenario)


def test_records_of_an_older_form_are_brought_up_step_by_step() -> None:
    """And one of no form, or of a newer one, is refused."""
    kind = Kind(
        "words",
        Event,
        lambda event: event.message,
        schema=3,
        steps=(lambda old: {"kind": old["name"], "at": 0.0}, lambda old: {**old, "message": "brought up"}),
    )

    def entry(schema: int, value: object) -> Entry:
        return Entry("words/a", json.dumps({"schema": schema, "value": value}).encode(), 1)

    assert decode(kind, entry(1, {"name": "x"})).value == Event("x", 0.0, message="brought up")
    assert decode(kind, entry(2, {"kind": "x", "at": 1.0})).value == Event("x", 1.0, message="brought up")
    assert decode(kind, entry(3, {"kind": "x", "at": 2.0})).value == Event("x", 2.0)
    with pytest.raises(StateTooNew):
        decode(kind, entry(4, {}))
    with pytest.raises(StateCorrupt):
        decode(kind, entry(0, {}))
    with pytest.raises(ValueError, match="need 1 steps"):
        Kind("words", Event, lambda event: event.kind, schema=2)
