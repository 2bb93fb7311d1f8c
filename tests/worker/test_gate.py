"""Back-pressure between generators and the gateway."""

import asyncio
import threading
from collections.abc import Callable

import pytest

from flashcore.worker.gate import WEIGHT, StreamGate


def entering(
    gate: StreamGate, size: int, given_up: Callable[[], bool] = lambda: False
) -> tuple[threading.Thread, list[bool]]:
    """A generator's thread that wants in, and what it was told once it was."""
    told: list[bool] = []
    thread = threading.Thread(target=lambda: told.append(gate.enter(size, given_up)))
    thread.start()
    return thread, told


def test_the_room_is_bounded_and_given_back() -> None:
    """What is inside keeps others out until it has left."""
    gate = StreamGate(room=10)
    gate.set_open(value=True)
    assert gate.enter(10, lambda: False)

    thread, told = entering(gate, 1)
    thread.join(0.1)
    assert told == []
    gate.left(10)
    thread.join(60)

    assert told == [True]


def test_a_chunk_larger_than_the_room_goes_alone() -> None:
    """It is not kept out for ever."""
    gate = StreamGate(room=10)
    gate.set_open(value=True)

    assert gate.enter(1_000, lambda: False)


def test_many_small_chunks_take_room_too() -> None:
    """A million chunks of one byte are many megabytes, here and where they are stored."""
    gate = StreamGate(room=2 * WEIGHT)
    gate.set_open(value=True)

    thread, told = entering(gate, 1)
    thread.join(60)
    second, told_second = entering(gate, 1)
    second.join(60)
    third, told_third = entering(gate, 1)
    third.join(0.1)
    assert (told, told_second, told_third) == ([True], [True], [])

    gate.left(1)
    third.join(60)
    assert told_third == [True]


def test_a_closed_gate_lets_nobody_in_until_it_opens() -> None:
    """While the gateway is away, streams wait."""
    gate = StreamGate()
    thread, told = entering(gate, 1)
    thread.join(0.1)
    assert told == []

    gate.set_open(value=True)
    thread.join(60)

    assert told == [True]


def test_who_gives_up_does_not_wait() -> None:
    """A stopped job is let go, whether the gate opens or not."""
    gate, stopped = StreamGate(), threading.Event()
    thread, told = entering(gate, 1, stopped.is_set)

    stopped.set()
    gate.wake()
    thread.join(60)

    assert told == [False]


@pytest.mark.parametrize("opened", [True, False])
async def test_a_coroutine_waits_without_blocking_its_loop(opened: bool) -> None:  # noqa: FBT001 - a parameter of the table
    """With room it goes on at once; without, others run meanwhile."""
    gate = StreamGate()
    gate.set_open(value=opened)

    waiting = asyncio.create_task(gate.enter_async(1, lambda: False))
    await asyncio.sleep(0)
    assert waiting.done() is opened
    gate.set_open(value=True)

    assert await waiting
