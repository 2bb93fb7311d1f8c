"""How fast a deployment's loop may go: what only goes back and forth is slowed down, what lives long is not."""

import asyncio
from itertools import count, cycle, islice

from hypothesis import given
from hypothesis import strategies as st

from flashcore.control.pace import FORGIVEN_A_SECOND, MOST_A_SECOND, PATIENCE, Pace
from flashcore.testing.scenes import watched
from flashcore.testing.simulation import World


def passes(pace: Pace, seconds: float) -> int:
    """How many passes of one rollout there are in so long, each of which changes something and wants another."""
    now = 0.0
    for made in count(1):
        now = max(now + 0.001, pace.resume_at(now, "the same"))
        if now >= seconds:
            return made
    raise AssertionError("a count has no end")


def test_what_goes_back_and_forth_is_slowed_down() -> None:
    """After a first burst there is about one pass a second."""
    an_hour = 3600.0

    assert PATIENCE <= passes(Pace(), an_hour) <= PATIENCE + an_hour * FORGIVEN_A_SECOND + MOST_A_SECOND


@given(st.lists(st.integers(1, 100_000), min_size=1, max_size=20))
def test_what_changes_now_and_then_is_never_slowed_down(pauses: list[int]) -> None:
    """However long it lives."""
    pace, now = Pace(), 0.0
    for pause in islice(cycle(pauses), 3 * PATIENCE):
        now += pause / FORGIVEN_A_SECOND
        assert pace.resume_at(now, "the same") == now


def test_progress_is_not_slowed_down() -> None:
    """Beyond what any loop may do in a second."""
    pace, now = Pace(), 0.0
    for marker in islice(count(), 3 * PATIENCE):
        now += 1.0 / MOST_A_SECOND
        assert pace.resume_at(now, marker) <= now + 1e-6


def test_an_endpoint_that_was_scaled_many_times_is_scaled_as_fast_as_ever() -> None:
    """Each pass of its life counted as one without progress, and after some hundred of them each took ten seconds."""

    async def scenario(world: World) -> None:
        await world.deploy("hello", 1, replicas=1)
        await world.ready("hello")
        took = []
        for number in range(100):
            began = world.elapsed()
            wanted = 3 - number % 2
            await world.controller.scale("hello", wanted)
            await world.until("hello", lambda view, wanted=wanted: view.ready == wanted)  # type: ignore[misc]  # a lambda of its own each time
            took.append(world.elapsed() - began)
            await asyncio.sleep(60)

        assert max(took[-10:]) <= max(took[:10])

    watched(scenario)
