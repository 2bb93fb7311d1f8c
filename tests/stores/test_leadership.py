"""Who leads: leases that end by the store's clock, epochs that fence."""

import asyncio

import pytest

from flashcore.builtin.memory_state import MemoryStores
from flashcore.control.store import Held, Kind, Leadership, Ledger, LostLeadership
from flashcore.hookspecs.state import StateBackend
from flashcore.model.errors import StateError
from flashcore.model.events import Event
from flashcore.model.names import Scope
from flashcore.testing.clock import VirtualClock

EVENTS: Kind[Event] = Kind("unused", Event, lambda event: event.kind)


@pytest.fixture
def clock() -> VirtualClock:
    """The store's."""
    return VirtualClock()


@pytest.fixture
async def backend(clock: VirtualClock) -> StateBackend:
    """A state that several control planes share."""
    return await MemoryStores(clock).open_state("memory:")


@pytest.fixture
def ledger(backend: StateBackend) -> Ledger:
    """A scope of it."""
    return Ledger(backend, Scope("shop", "production"), (EVENTS,))


async def lead(ledger: Ledger, holder: str, duration: float = 10.0) -> Leadership:
    """Acquire, which must succeed."""
    won = await ledger.acquire(holder, duration)
    assert isinstance(won, Leadership)
    return won


async def test_one_leads_and_the_others_learn_who(ledger: Ledger) -> None:
    """Until when, too."""
    leader = await lead(ledger, "one")

    held = await ledger.acquire("two", duration=10.0)

    assert isinstance(held, Held)
    assert (held.lease.holder, held.lease.until) == ("one", leader.until)


async def test_a_lease_that_ran_out_can_be_taken(ledger: Ledger, clock: VirtualClock) -> None:
    """Epochs count up: a number is never used again."""
    one = await lead(ledger, "one")
    clock.advance(10.0)

    two = await lead(ledger, "two")

    assert two.epoch.number == one.epoch.number + 1
    assert two.epoch.since == clock()
    with pytest.raises(LostLeadership) as lost:
        await one.confirm()
    assert (lost.value.data["epoch"], lost.value.data["leader"]) == (one.epoch.number, "two")
    await two.confirm()


async def test_a_renewed_lease_cannot_be_taken(ledger: Ledger, clock: VirtualClock) -> None:
    """It ends a full duration after the last renewal."""
    one = await lead(ledger, "one")
    for _ in range(5):
        clock.advance(9.0)
        await one.renew()
        assert isinstance(await ledger.acquire("two", duration=10.0), Held)

    assert one.until == clock() + 10.0


async def test_a_frozen_leader_that_wakes_up_changes_nothing(ledger: Ledger, clock: VirtualClock) -> None:
    """E68: its lease was taken over meanwhile; its next write finds out, whatever its own clock says."""
    frozen = await lead(ledger, "frozen")
    clock.advance(60.0)
    await lead(ledger, "next")

    work = ledger.workspace(frozen)
    work.emit(Event("late", 0.0))
    with pytest.raises(LostLeadership):
        await work.commit()

    assert await ledger.journal.read() == ()


async def test_a_late_leader_whom_nobody_replaced_goes_on(ledger: Ledger, clock: VirtualClock) -> None:
    """A lease that ran out is no loss as long as the epoch stands."""
    leader = await lead(ledger, "one")
    clock.advance(60.0)

    await leader.renew()

    assert isinstance(await ledger.acquire("two", duration=10.0), Held)


async def test_of_many_candidates_exactly_one_wins(ledger: Ledger, clock: VirtualClock) -> None:
    """Also at the end of a lease."""
    numbers = []
    for _ in range(3):
        answers = await asyncio.gather(*(ledger.acquire(f"c{n}", duration=10.0) for n in range(12)))
        numbers.append([answer.epoch.number for answer in answers if isinstance(answer, Leadership)])
        clock.advance(11.0)
    [first], *later = numbers
    assert later == [[first + 1], [first + 2]]


async def test_a_standby_leads_as_soon_as_the_lease_is_released(ledger: Ledger) -> None:
    """No time passes: the release wakes it."""
    one = await lead(ledger, "one")
    standby = asyncio.ensure_future(ledger.campaign("two", duration=10.0))
    await asyncio.sleep(0.01)
    assert not standby.done()

    await one.release()

    async with asyncio.timeout(60):
        assert (await standby).epoch.holder == "two"


async def test_a_standby_leads_when_the_lease_has_run_out(backend: StateBackend) -> None:
    """Without a release: the leader has died."""
    real = Ledger(await MemoryStores().open_state("memory:"), Scope("shop", "production"), ())
    one = await lead(real, "one", duration=0.2)

    async with asyncio.timeout(60):
        assert (await real.campaign("two", duration=10.0)).epoch.number == one.epoch.number + 1


async def test_the_owner_of_the_store_need_not_wait_for_a_lease(ledger: Ledger) -> None:
    """Where only one process can have the store open, that is the lock."""
    died = await lead(ledger, "died")

    leader = await ledger.take_over("next", duration=10.0)

    assert leader.epoch.number == died.epoch.number + 1
    await leader.confirm()


async def test_keeping_renews_until_leadership_is_lost(ledger: Ledger, clock: VirtualClock) -> None:
    """Three times a lease; it ends with the reason."""
    leader = await lead(ledger, "one")
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)
        clock.advance(seconds)
        if len(slept) == 30:
            await ledger.take_over("next", duration=10.0)

    with pytest.raises(LostLeadership, match="next leads"):
        await leader.keep(sleep)

    assert set(slept) == {10.0 / 3}
    assert leader.until > clock()


async def test_keeping_outlasts_a_store_that_is_away_for_a_while(ledger: Ledger, clock: VirtualClock) -> None:
    """It ends when the lease has run out: then others may lead, and this one cannot ask."""
    backend = Flaky(ledger.backend, clock)
    leader = await lead(Ledger(backend, Scope("shop", "production"), ()), "one")
    times = []

    async def sleep(seconds: float) -> None:
        clock.advance(seconds)
        times.append(clock())
        backend.away = len(times) in (3, 4) or len(times) > 10

    with pytest.raises(LostLeadership, match="ran out while the store was away"):
        await leader.keep(sleep)

    assert len(times) == 13


async def test_where_the_open_store_is_the_lock_a_store_that_is_away_for_long_is_no_loss(
    ledger: Ledger, clock: VirtualClock
) -> None:
    """Nobody else can lead: a disk that is full for an hour must not end the control plane."""
    backend = Flaky(ledger.backend, clock)
    leader = await Ledger(backend, Scope("shop", "production"), ()).take_over("one", duration=10.0)
    times: list[float] = []

    async def sleep(seconds: float) -> None:
        clock.advance(seconds)
        times.append(clock())
        backend.away = len(times) < 1000
        if len(times) == 1001:
            await ledger.take_over("next", duration=10.0)

    with pytest.raises(LostLeadership, match="next leads"):
        await leader.keep(sleep)


class Flaky:
    """A state that is away now and then."""

    def __init__(self, backend: StateBackend, clock: VirtualClock) -> None:
        self.away = False
        self._backend = backend
        self.now = clock
        self.read = backend.read
        self.watch = backend.watch
        self.close = backend.close

    async def commit(self, transaction: object) -> int:
        """Commit, unless it is away."""
        if self.away:
            raise StateError("the store is away")
        return await self._backend.commit(transaction)  # type: ignore[arg-type]  # whatever was asked


async def test_a_new_state_begins_after_all_epochs_of_a_lost_one() -> None:
    """What remembers the old state, such as a gateway with its table, takes the new one's leader for newer."""
    clock = VirtualClock(1_000_000.0)
    old = Ledger(await MemoryStores(clock).open_state("memory:"), Scope("shop", "production"), ())
    await old.take_over("one", duration=10.0)
    last = await old.take_over("two", duration=10.0)
    clock.advance(60.0)

    new = Ledger(await MemoryStores(clock).open_state("memory:"), Scope("shop", "production"), ())

    assert (await new.take_over("three", duration=10.0)).epoch.number > last.epoch.number
