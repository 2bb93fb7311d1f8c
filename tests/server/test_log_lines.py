"""The output of several replicas in one stream."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from flashcore.model.errors import NotFound
from flashcore.server.log_lines import one_after_the_other, side_by_side

NAMES = ("a", "b", "none", "broken")


async def two_lines(replica: str) -> AsyncIterator[str]:
    """Of `none` there is no log, and that of `broken` cannot be read."""
    if replica == "none":
        raise NotFound("there is no log of replica none")
    yield "one"
    if replica == "broken":
        raise OSError(5, "Input/output error")
    await asyncio.sleep(0)
    yield "two"


async def test_one_replica_without_a_log_cuts_off_no_other() -> None:
    """It is being installed, or has just gone: the answer has begun, and says so in its place."""
    said = [line async for line in one_after_the_other(NAMES, two_lines)]

    assert said == [
        *("a  one\n", "a  two\n", "b  one\n", "b  two\n", "none  (there is no log of replica none)\n"),
        *("broken  one\n", "broken  ([Errno 5] Input/output error)\n"),
    ]


async def test_who_follows_is_told_when_all_have_ended() -> None:
    """Nobody waits for lines that no replica is there to write."""
    async with asyncio.timeout(30):
        said = [line async for line in side_by_side(NAMES, two_lines)]
        nothing = [line async for line in side_by_side((), two_lines)]

    assert sorted(said) == sorted([line async for line in one_after_the_other(NAMES, two_lines)])
    assert nothing == []


async def test_what_nobody_reads_any_more_is_not_followed() -> None:
    """A client that hangs up leaves no task, also where lines wait for it."""

    async def endless(_: str) -> AsyncIterator[str]:
        while True:
            yield "again"
            await asyncio.sleep(0)

    before = asyncio.all_tasks()
    lines = side_by_side(("a", "b"), endless)
    assert await anext(lines) == "a  again\n"

    await lines.aclose()

    assert asyncio.all_tasks() == before
