"""The jobs between a gateway and a script of RunPod's package, without either."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from flashcore.model.job import Payload
from flashcore.model.names import JobId
from flashcore.wire.messages import Assignment, Chunk, Progress, Result
from flashcore.wire.runpod import Outcome
from flashcore.worker.execution import Stopped
from flashcore.worker.runner import Piece
from flashcore.worker.script.tray import Tray


def job(name: str, *, media: str = "application/json") -> Assignment:
    """A job with that id."""
    return Assignment(JobId(name), 1, 60.0, Payload(b"{}", media))


def done(text: bytes = b"1", error: str | None = None) -> Outcome:
    """What the script posts at the end."""
    return Outcome(Payload(text), error, replace_worker=False)


@dataclass(slots=True)
class Desk:
    """A tray, what came out of it, and how much room its gateway knew of each time that it was told something."""

    tray: Tray
    pieces: list[Piece] = field(default_factory=list)
    rooms: list[int] = field(default_factory=list)

    @property
    def results(self) -> dict[str, Result]:
        """By job."""
        return {piece.id: piece for piece in self.pieces if isinstance(piece, Result)}

    def note(self, pieces: list[Piece]) -> None:
        """What the queue worker would send on."""
        self.pieces += pieces
        self.rooms.append(self.tray.slots - len(self.tray.ids))

    async def ask(self, count: int = 1, *, idle: bool = True, lists: bool = True) -> list[str]:
        """What the script gets."""
        async with asyncio.timeout(60):
            return [one.id for one in await self.tray.next_jobs(count, takes_lists=lists, is_idle=idle)]


def desk() -> Desk:
    """An empty one."""
    made = Desk(Tray(asyncio.get_running_loop()))
    made.tray.produced = made.note
    made.tray.gate.set_open(value=True)
    return made


async def meanwhile(work: Awaitable[list[str]], do: Callable[[], object]) -> list[str]:
    """The answer to a question that is open when something happens."""
    question = asyncio.ensure_future(work)
    await asyncio.sleep(0)
    do()
    return await question


async def test_there_is_room_while_a_question_is_open_and_only_then() -> None:
    """Q30: a script that sleeps between two questions holds back no job that another replica could do."""
    at = desk()
    before = at.tray.slots
    got = await meanwhile(at.ask(3), lambda: at.tray.take([job("a"), job("b")]))
    between = at.tray.slots
    at.tray.ended(JobId("a"), done())

    assert (before, got, between, at.tray.slots) == (0, ["a", "b"], 2, 1)
    assert at.rooms[:2] == [3, 0]
    assert max(at.rooms[1:]) == 0


async def test_a_result_is_the_jobs_and_comes_once() -> None:
    """Q02: what is posted of a job that is not here is forgotten."""
    at = desk()
    at.tray.take([job("a"), job("a")])
    await at.ask()

    at.tray.ended(JobId("a"), done(b'"x"'))
    at.tray.ended(JobId("a"), done(b'"y"'))
    at.tray.progressed(JobId("a"), Payload(b"1"))
    await at.tray.streamed(JobId("a"), Payload(b"1"))

    assert at.pieces == [Result(JobId("a"), 1, Payload(b'"x"'))]


async def test_items_and_progress_come_before_the_result() -> None:
    """Q11: in the order in which they were posted."""
    at = desk()
    at.tray.take([job("a")])
    await at.ask()

    await at.tray.streamed(JobId("a"), Payload(b"1"))
    await at.tray.streamed(JobId("a"), Payload(b"2"))
    at.tray.progressed(JobId("a"), Payload(b'"half"'))
    at.tray.ended(JobId("a"), done())

    assert [type(piece) for piece in at.pieces] == [Chunk, Chunk, Progress, Result]
    assert [piece.number for piece in at.pieces if isinstance(piece, Chunk)] == [0, 1]


async def test_a_job_that_waits_is_given_back_when_it_is_stopped() -> None:
    """Q07: the script never hears of it."""
    at = desk()
    at.tray.take([job("a"), job("b")])

    at.tray.stop([JobId("a")], Stopped.BY_GATEWAY)

    assert at.results["a"].released
    assert at.tray.waiting == ("b",)


async def test_a_running_job_is_stopped_once_and_its_slot_is_free_when_the_script_asks_again() -> None:
    """Q-C9: the package posts nothing of a job that it cancelled; a sibling that runs keeps its slot."""
    at = desk()
    at.tray.take([job("a"), job("b")])
    await at.ask(2)

    at.tray.stop([JobId("a")], Stopped.BY_GATEWAY)
    told = await at.tray.next_stops()
    at.tray.take([job("c")])
    next_one = await at.ask(1, idle=False)

    assert (told, next_one) == (["a"], ["c"])
    assert at.results["a"].released
    assert set(at.tray.ids) == {"b", "c"}


async def test_a_blocked_function_keeps_its_slot_until_it_returns() -> None:
    """Q-C10: what it returns in the end is passed on, and is the gateway's to ignore."""
    at = desk()
    at.tray.take([job("a")])
    await at.ask()

    at.tray.stop([JobId("a")], Stopped.BY_GATEWAY)
    held = at.tray.slots - len(at.tray.ids)
    at.tray.ended(JobId("a"), done())

    assert held == 0
    assert not at.results["a"].released


async def test_a_job_that_the_script_lost_has_failed() -> None:
    """Q-C15: it asks twice for work with empty hands and has posted nothing: a result that is not JSON, for one."""
    at = desk()
    at.tray.take([job("a")])
    await at.ask()
    at.tray.works_on(())
    after_one = dict(at.results)
    at.tray.take([job("b")])
    got = await at.ask()

    assert after_one == {}
    assert got == ["b"]
    assert "posted no result" in (at.results["a"].error or "")


async def test_a_ping_that_names_a_job_keeps_it() -> None:
    """The package's pings say what it works on."""
    at = desk()
    at.tray.take([job("a"), job("b")])
    await at.ask(2)
    for named in ([JobId("a")], [JobId("a")]):
        at.tray.works_on(named)

    assert list(at.results) == ["b"]
    assert at.tray.ids == ("a",)


async def test_short_jobs_come_as_lists() -> None:
    """Q-C18: the package would sleep for a second after each of them."""
    at = desk()
    at.tray.take([job("first")])
    await at.ask()
    at.tray.ended(JobId("first"), done())

    got = await meanwhile(at.ask(1), lambda: at.tray.take([job(str(n)) for n in range(30)]))

    assert len(got) == 30


async def test_a_long_job_holds_up_no_short_ones() -> None:
    """Q25, Q30: the slots beside it are free, be it one that was cancelled, of which nothing is ever posted."""
    at = desk()
    at.tray.take([job("long"), job("short")])
    await at.ask(50)
    at.tray.ended(JobId("short"), done())
    at.tray.take([job("next")])

    assert await at.ask(49, idle=False) == ["next"]


async def test_a_package_that_takes_no_lists_gets_one_job() -> None:
    """The oldest versions read one job where they asked for one."""
    at = desk()
    at.tray.take([job("first")])
    await at.ask(lists=False)
    at.tray.ended(JobId("first"), done())
    at.tray.take([job("a"), job("b")])

    assert await at.ask(lists=False) == ["a"]


async def test_what_is_not_json_is_refused() -> None:
    """A sealed call means nothing to a script of RunPod's."""
    at = desk()
    at.tray.take([job("a", media="application/x-sealed")])

    assert "reads JSON" in (at.results["a"].error or "")
    assert at.tray.ids == ()


async def test_at_the_end_everything_goes_back_and_questions_are_answered() -> None:
    """Q21: what did not end within the grace is released."""
    at = desk()
    at.tray.take([job("a")])
    await at.ask()

    left = at.tray.give_up()
    nothing = await meanwhile(at.ask(), at.tray.close)

    assert [(one.id, one.released) for one in left] == [("a", True)]
    assert nothing == []
    assert await at.tray.next_stops() == []


async def test_a_job_that_comes_twice_is_here_once() -> None:
    """A gateway that restarts sends what it does not know to have arrived."""
    at = desk()
    at.tray.take([job("a")])
    at.tray.take([job("a")])
    waiting = at.tray.waiting
    await at.ask()
    at.tray.take([job("a")])

    assert (waiting, at.tray.waiting) == (("a",), ())


async def test_a_stop_is_told_once() -> None:
    """The package would log a job that it does not know, each second."""
    at = desk()
    at.tray.take([job("a")])
    await at.ask()
    at.tray.stop([JobId("a")], Stopped.BY_GATEWAY)
    first = await at.tray.next_stops()
    question = asyncio.ensure_future(at.tray.next_stops())
    await asyncio.sleep(0)
    at.tray.close()

    assert (first, await question) == (["a"], [])


async def test_a_stopped_job_that_the_script_no_longer_names_is_released() -> None:
    """Q-C9: it was cancelled, so that nothing is wrong with it."""
    at = desk()
    at.tray.take([job("a")])
    await at.ask()
    at.tray.stop([JobId("a")], Stopped.BY_GATEWAY)
    for _ in range(2):
        at.tray.works_on(())

    assert at.results["a"].released
