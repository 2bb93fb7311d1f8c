"""What is said of endpoints that are not there, and how much of the gateway's time that may take."""

from __future__ import annotations

import json
from dataclasses import dataclass

from tests.gateway.conftest import Running, jobs_route
from tests.gateway.test_links import job, linked

from flashcore.gateway.misspelt import LOOKS_AT_ONCE, LOOKS_PER_SECOND, Misspelt
from flashcore.wire import calls


@dataclass
class Clock:
    """One that goes when it is told to."""

    now: float = 0.0

    def __call__(self) -> float:
        """The time."""
        return self.now


def hints(misspelt: Misspelt, asked: int) -> int:
    """How many of so many mistakes are told what was meant."""
    answers = [misspelt.answer("resise", ("resize",)).body for _ in range(asked)]
    assert all(isinstance(body, bytes) and b"There is no endpoint 'resise'" in body for body in answers)
    return sum(isinstance(body, bytes) and b"did you mean resize?" in body for body in answers)


def test_what_was_meant_is_looked_for_now_and_then_and_what_is_not_there_is_always_said() -> None:
    """Each look is a hundred times as long as what else is done for a request."""
    clock = Clock()
    misspelt = Misspelt(now=clock)

    at_once = hints(misspelt, 1000)
    clock.now += 2.0
    later = hints(misspelt, 1000)
    clock.now += 3600.0
    much_later = hints(misspelt, 1000)

    assert (at_once, later, much_later) == (LOOKS_AT_ONCE, 2 * LOOKS_PER_SECOND, LOOKS_AT_ONCE)


async def test_a_frame_full_of_mistakes_holds_up_nobody_for_seconds(running: Running) -> None:
    """All of them are refused, and nearly none is looked at any closer."""
    running.serve(*(jobs_route(f"endpoint-{number:03}") for number in range(100)))
    async with linked(running) as caller:
        said = await caller.ask(*(job(number, f"endpoint-{number}x") for number in range(calls.MOST_JOBS)))

    errors = [json.loads(one.error)["error"] for one in said]
    assert {error["code"] for error in errors} == {"unknown_endpoint"}
    assert 0 < sum(bool(error["near_matches"]) for error in errors) < calls.MOST_JOBS / 2
