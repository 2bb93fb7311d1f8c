"""Checks of streams: each chunk once and in order, whoever reads, whoever repeats."""

from __future__ import annotations

import asyncio

from flashcore.hookspecs.jobs import BLOB_THRESHOLD, READ_AT_ONCE, JobStore, StreamsTogether, WeighsStreams
from flashcore.model.job import Payload, StreamItem
from flashcore.model.names import WorkerId
from flashcore.testing.conformance import require
from flashcore.testing.store_checks.job_samples import OTHER_WORKER, WORKER, claim, finish, give_back, job_id, submit
from flashcore.testing.store_checks.subject import Subject


async def check_streams(subject: Subject) -> None:
    """Chunks are given in order, each once, also after the end; a new attempt begins an empty stream."""
    async with subject.jobs() as jobs:
        await submit(jobs, "a")
        await claim(jobs)
        await _stream(jobs, 0, 5)
        require(await _read(jobs) == list(range(5)), "in order")
        require(await _read(jobs) == [], "once")
        await _stream(jobs, 5, 8)
        await give_back(jobs, "a")
        require(await _read(jobs) == [], "chunks of a lost attempt are dropped")
        await claim(jobs, worker=OTHER_WORKER)
        await _stream(jobs, 8, 10, OTHER_WORKER)
        await finish(jobs, "a", OTHER_WORKER)
        require(await _read(jobs) == [8, 9], "unread chunks outlive the end")


async def check_two_stream_readers(subject: Subject) -> None:
    """Two readers share the chunks out: none is lost, none is given twice."""
    async with subject.jobs() as jobs:
        await submit(jobs, "a")
        await claim(jobs)

        async def read() -> list[int]:
            mine: list[int] = []
            for _ in range(30):
                mine += await _read(jobs)
            return mine

        _, one, two = await asyncio.gather(_stream(jobs, 0, 40), read(), read())
        left = await _read(jobs)
        require(one == sorted(one) and two == sorted(two), "each sees them in order")
        require(sorted(one + two + left) == list(range(40)), "together they see each once", (one, two, left))


async def check_numbered_reads(subject: Subject) -> None:
    """Who says how many chunks it has gets those that follow, again when it asks again; the rest is let go of."""
    async with subject.jobs() as jobs:
        await submit(jobs, "a")
        await claim(jobs)
        await _stream(jobs, 0, 5)
        require(await _read_after(jobs, 0) == [0, 1, 2, 3, 4], "all")
        require(await _read_after(jobs, 0) == [0, 1, 2, 3, 4], "its answer was lost: all of them again")
        require(await _read_after(jobs, 3) == [3, 4], "what it does not have")
        require(await _read_after(jobs, 0) == [3, 4], "what it had is not kept")
        require(await _read_after(jobs, 9) == [], "nothing yet")
        await _stream(jobs, 5, 12)
        require(await _read_after(jobs, 9) == [9, 10, 11], "what came after")
        require(await _read(jobs) == [9, 10, 11], "for a reader who does not count they are unread")
        require(await _read_after(jobs, 9) == [], "who has taken them")
        await finish(jobs, "a")
        require(await _read_after(jobs, 12) == [], "that was all")


async def check_long_streams(subject: Subject) -> None:
    """A reader is given no more than so much at once, and the rest when it asks again, however it asks."""
    async with subject.jobs() as jobs:
        await submit(jobs, "a")
        await claim(jobs)
        quarter = b"7" * (READ_AT_ONCE // 4)
        for _ in range(10):
            require(await jobs.append_stream(WORKER, job_id("a"), Payload(quarter)), "a chunk is taken")
        first, same = [await jobs.read_stream(job_id("a"), 0) for _ in range(2)]
        require(4 <= len(first) < 10, "some of them", len(first))
        require(first == same, "the same ones, as nobody says that it has them")
        numbers: list[int] = []
        while items := await jobs.read_stream(job_id("a")):
            numbers += [item.number for item in items]
            require(len(items) <= len(first), "never more", len(items))
        require(numbers == list(range(10)), "all of them, each once and in order", numbers)
        large = Payload(b"8" * (2 * READ_AT_ONCE))
        require(await jobs.append_stream(WORKER, job_id("a"), large), "a chunk larger than that is taken")
        require(len(await jobs.read_stream(job_id("a"))) == 1, "and given alone")


async def check_repeated_chunks(subject: Subject) -> None:
    """A chunk that is repeated by its number is there once, whether or not somebody has read it meanwhile."""
    async with subject.jobs() as jobs:
        await submit(jobs, "a")
        await claim(jobs)
        for number in (0, 1, 0, 1, 2):
            require(await _append(jobs, number), "it is there")
        require(await _read(jobs) == [0, 1, 2], "once")
        for number in (1, 2, 3):
            require(await _append(jobs, number), "also what was read")
        require(await _read_after(jobs, 0) == [3], "the new one alone")
        await give_back(jobs, "a")
        require(not await _append(jobs, 4), "the attempt is over")
        await claim(jobs, worker=OTHER_WORKER)
        require(await _append(jobs, 0, OTHER_WORKER), "the next attempt counts from 0")
        require(await _read_after(jobs, 0) == [0], "anew")


async def check_chunks_together(subject: Subject) -> None:
    """Many chunks in one call are as so many calls, repeated ones too; who takes one at a time need not care."""
    async with subject.jobs() as jobs:
        if not isinstance(jobs, StreamsTogether):
            return
        await submit(jobs, "a")
        await claim(jobs)
        chunks = [StreamItem(number, Payload(b"%d" % number)) for number in range(6)]
        require(await _append(jobs, 0), "the first is there")
        require(await jobs.append_chunks(WORKER, job_id("a"), chunks[:4]), "they are taken")
        require(await jobs.append_chunks(WORKER, job_id("a"), chunks[2:]), "and those that follow")
        require(await _read(jobs) == list(range(6)), "each once and in order")
        large = [StreamItem(6, Payload(b"7" * (BLOB_THRESHOLD + 1))), StreamItem(7, Payload(b"7"))]
        require(await jobs.append_chunks(WORKER, job_id("a"), large), "whatever their size")
        require(await jobs.read_stream(job_id("a")) == tuple(large), "as they were given")
        await give_back(jobs, "a")
        require(not await jobs.append_chunks(WORKER, job_id("a"), chunks), "the attempt is over")
        require(await _read(jobs) == [], "and leaves nothing")


async def check_stream_sizes(subject: Subject) -> None:
    """A store that can tell how much of a stream it keeps leaves out what was read, and what is of another attempt."""
    async with subject.jobs() as jobs:
        if not isinstance(jobs, WeighsStreams):
            return
        await submit(jobs, "a", "other")
        await claim(jobs, count=2)
        require(await jobs.stream_size(job_id("nobody's")) == 0, "an unknown job has none")
        require(await jobs.stream_size(job_id("a")) == 0, "nothing yet")
        for size in (1000, 1000, BLOB_THRESHOLD + 1, 1000):
            require(await jobs.append_stream(WORKER, job_id("a"), Payload(b"7" * size)), "a chunk is taken")
        await jobs.append_stream(WORKER, job_id("other"), Payload(b"7" * 50_000))
        whole = await jobs.stream_size(job_id("a"))
        require(BLOB_THRESHOLD < whole < BLOB_THRESHOLD + 9000, "about what they have, but for the first", whole)
        await jobs.read_stream(job_id("a"), 3)
        require(await jobs.stream_size(job_id("a")) < 3000, "those are passed by")
        await jobs.append_stream(WORKER, job_id("a"), Payload(b"7" * 30_000))
        require(30_000 <= await jobs.stream_size(job_id("a")) < 33_000, "one more")
        await _take_all(jobs)
        require(await jobs.stream_size(job_id("a")) == 0, "all were taken")
        await jobs.append_stream(WORKER, job_id("a"), Payload(b"7" * 9000))
        await give_back(jobs, "a")
        require(await jobs.stream_size(job_id("a")) == 0, "the attempt is over")


async def check_stream_sizes_after_reopening(subject: Subject) -> None:
    """How much is kept of a stream outlives the process."""
    subject.ask("durable", given=subject.durable)
    async with subject.jobs() as jobs:
        if not isinstance(jobs, WeighsStreams):
            return
        await submit(jobs, "a")
        await claim(jobs)
        for _ in range(3):
            await jobs.append_stream(WORKER, job_id("a"), Payload(b"7" * 1000))
    async with subject.jobs() as jobs:
        require(isinstance(jobs, WeighsStreams) and 2000 <= await jobs.stream_size(job_id("a")) < 5000, "it is known")


async def check_repeated_chunks_after_reopening(subject: Subject) -> None:
    """Which chunks were stored outlives the process, those that somebody has read included."""
    subject.ask("durable", given=subject.durable)
    async with subject.jobs() as jobs:
        await submit(jobs, "a")
        await claim(jobs)
        await _append(jobs, 0)
        await _read(jobs)
        await _append(jobs, 1)
    async with subject.jobs() as jobs:
        for number in (0, 1, 2):
            await _append(jobs, number)
        require(await _read_after(jobs, 0) == [1, 2], "none twice, none missing")


async def _stream(jobs: JobStore, first: int, last: int, worker: WorkerId = WORKER) -> None:
    for n in range(first, last):
        require(await jobs.append_stream(worker, job_id("a"), Payload(b"%d" % n)), "a chunk is taken")


async def _read(jobs: JobStore) -> list[int]:
    return [int(item.value.data) for item in await jobs.read_stream(job_id("a"))]


async def _append(jobs: JobStore, number: int, worker: WorkerId = WORKER) -> bool:
    return await jobs.append_stream(worker, job_id("a"), Payload(b"%d" % number), number)


async def _take_all(jobs: JobStore) -> None:
    while await jobs.read_stream(job_id("a")):
        pass


async def _read_after(jobs: JobStore, after: int) -> list[int]:
    items = await jobs.read_stream(job_id("a"), after)
    values = [int(item.value.data) for item in items]
    require([item.number for item in items] == values, "each has its number", items)
    return values
