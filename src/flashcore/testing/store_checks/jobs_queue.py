"""Checks of submitting and claiming: order, lanes, pins, keys, counts, purge."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator
from itertools import chain

from flashcore.hookspecs.jobs import JobStore, Recalling, RingsAtOnce, lane_share, remaining_lanes
from flashcore.model.errors import Conflict
from flashcore.model.job import Claimed, Job, JobStatus, Payload
from flashcore.model.names import EndpointName, WorkerId
from flashcore.testing.conformance import require
from flashcore.testing.store_checks.job_samples import (
    ENDPOINT,
    OTHER_ENDPOINT,
    OTHER_REVISION,
    OTHER_WORKER,
    REVISION,
    WORKER,
    claim,
    finish,
    give_back,
    job_id,
    names,
    new_job,
    status,
    submit,
)
from flashcore.testing.store_checks.subject import PATIENCE, Subject

_MANY = 1500


async def check_empty_store(subject: Subject) -> None:
    """A new store has no jobs, and nothing that is asked of it is an error."""
    async with subject.jobs() as jobs:
        counts = await jobs.counts(ENDPOINT)
        require(set(counts.by_status) == set(JobStatus), "counts name every status", counts)
        require(not any(counts.by_status.values()) and not counts.retried and not counts.oldest_queued, "all are 0")
        require(await claim(jobs, 10) == () and await jobs.submit([]) == (), "there is nothing to claim")
        require(await jobs.get(job_id("x")) is None, "an unknown job is None")
        require(
            await jobs.cancel(job_id("x")) is None and await jobs.retry(job_id("x")) is None, "also to cancel, retry"
        )
        require(await jobs.read_stream(job_id("x")) == (), "an unknown stream is empty")
        require(await jobs.purge(ENDPOINT) == 0 and await jobs.forget(ENDPOINT) == 0, "nothing can be purged")
        require(await jobs.sweep() == () and await jobs.held() == (), "nothing happens")
        require(not await finish(jobs, "x") and await give_back(jobs, "x") is None, "unknown attempts are stale")


async def check_fields_survive(subject: Subject) -> None:
    """What was submitted comes back field by field, and reaches the worker."""
    new = new_job(
        "full",
        77,
        input=Payload(bytes(range(256)), "application/x-flashcore"),
        ttl=1000.5,
        execution_timeout=50.25,
        retention=70.0,
        priority=-3,
        idempotency_key="schlüssel €",
        pin=REVISION,
        webhook="https://example.org/hook?a=b",
        max_attempts=5,
        context={"traceparent": "00-ab", "note": "ü"},
    )
    async with subject.jobs() as jobs:
        before = jobs.now()
        (job,) = await jobs.submit([new])
        require(job == Job(new, JobStatus.IN_QUEUE, job.submitted_at), "submit gives the job", job)
        require(before <= job.submitted_at <= jobs.now(), "submitted now", job.submitted_at)
        require(await jobs.get(new.id) == job, "get gives the same")
        (claimed,) = await claim(jobs)
        seen = (claimed.id, claimed.worker, claimed.attempt, claimed.input, dict(claimed.context))
        require(seen == (new.id, WORKER, 1, new.input, dict(new.context)), "the worker gets input and context", claimed)
        running = await jobs.get(new.id)
        require(running is not None and running.new == new, "running, it is still the same", running)
        taken = running and (running.status, running.worker, running.revision, running.attempt)
        require(taken == (JobStatus.IN_PROGRESS, WORKER, REVISION, 1), "and shows who has it", taken)


async def check_first_in_first_out(subject: Subject) -> None:
    """Jobs are handed out in the order of submission, over all lanes, never more than asked for."""
    async with subject.jobs() as jobs:
        for n, lane in enumerate((5, 99, 0, 5, 42, 0, 99, 7)):
            await submit(jobs, n, lane=lane)
        taken = [names(await claim(jobs, count)) for count in (3, 0, 1, 10, 10)]
        require(taken == [["0", "1", "2"], [], ["3"], ["4", "5", "6", "7"], []], "oldest first, at most count", taken)


async def check_priorities(subject: Subject) -> None:
    """A higher priority goes first; within one, the older submission."""
    async with subject.jobs() as jobs:
        for n, priority in enumerate((0, -1, 5, 0, 5, -1)):
            await submit(jobs, n, lane=n, priority=priority)
        order = names(await claim(jobs, 10))
        require(order == ["2", "4", "0", "3", "1", "5"], "by priority, then by age", order)


async def check_lanes(subject: Subject) -> None:
    """A claim takes only from its lanes, and two shares of the lanes share out all jobs."""
    async with subject.jobs() as jobs:
        for n in range(100):
            await submit(jobs, n, lane=n)
        for share, mine in ((lane_share(30), range(30)), (remaining_lanes(30), range(30, 100))):
            taken = names(await claim(jobs, 200, lanes=share))
            require(taken == [str(n) for n in mine], f"the jobs of the lanes {share}", taken)
        await submit(jobs, "late", lane=3)
        require(await claim(jobs, lanes=lane_share(3)) == (), "lane 3 is not below 3")
        require(names(await claim(jobs, lanes=lane_share(4))) == ["late"], "but below 4")


async def check_pins(subject: Subject) -> None:
    """A pinned job goes to its revision only, whatever the lanes; a preview takes pinned jobs only."""
    async with subject.jobs() as jobs:
        await submit(jobs, "free", lane=50)
        await submit(jobs, "pinned", lane=90, pin=REVISION)
        await submit(jobs, "others", lane=1, pin=OTHER_REVISION)
        require(names(await claim(jobs, 9, pinned_only=True)) == ["pinned"], "a preview takes what is addressed to it")
        await submit(jobs, "pinned again", lane=90, pin=REVISION)
        taken = names(await claim(jobs, 9, lanes=lane_share(51)))
        require(taken == ["free", "pinned again"], "lanes do not matter to pinned jobs", taken)
        require((await jobs.counts(ENDPOINT)).pinned_to == {OTHER_REVISION}, "the counts say what jobs are pinned to")
        await submit(jobs, "low", lane=2, pin=OTHER_REVISION, priority=-1)
        await submit(jobs, "anybody's", lane=3)
        pressing = (await jobs.counts(ENDPOINT)).pressing
        told = {pin: waiting.jobs for pin, waiting in pressing.items()}
        require(not told or told == {None: 1, OTHER_REVISION: 1}, "those that press are told apart by it", told)
        for name in ("low", "anybody's"):
            await jobs.cancel(job_id(name))
        require(names(await claim(jobs, 9, revision=OTHER_REVISION)) == ["others"], "each pin has its revision")
        await submit(jobs, "cancelled", pin=REVISION)
        await jobs.cancel(job_id("cancelled"))
        require(not (await jobs.counts(ENDPOINT)).pinned_to, "nothing that is queued is pinned")


async def check_endpoints_do_not_mix(subject: Subject) -> None:
    """Queues, counts, keys and purges are of one endpoint; an id belongs to one."""
    async with subject.jobs() as jobs:
        await submit(jobs, "mine", idempotency_key="k")
        await submit(jobs, "theirs", endpoint=OTHER_ENDPOINT, idempotency_key="k")
        await submit(jobs, "mine too")
        try:
            await jobs.submit([new_job("fresh"), new_job("theirs")])
        except Conflict as refusal:
            require("theirs" in str(refusal), "the refusal names the job", str(refusal))
        else:
            require(None, "an id of another endpoint is refused")
        require(await status(jobs, "fresh") is None, "a refused call leaves no trace")
        require(await jobs.purge(ENDPOINT) == 2, "a purge is of one endpoint")
        require(names(await claim(jobs, 9)) == [], "the purged queue is empty")
        require(names(await claim(jobs, 9, endpoint=OTHER_ENDPOINT)) == ["theirs"], "the other one is not")
        require((await jobs.counts(ENDPOINT)).by_status[JobStatus.IN_PROGRESS] == 0, "counts are of one endpoint")


async def check_idempotency(subject: Subject) -> None:
    """A known key gives the job that has it, whatever its state, also within one call and in one instant."""
    async with subject.jobs() as jobs:
        one, two = await jobs.submit([new_job(n, idempotency_key="k") for n in ("a", "b")])
        require(one.id == two.id == job_id("a"), "twice in one call is one job", (one.id, two.id))
        together = [jobs.submit([new_job(f"t{n}", idempotency_key="together")]) for n in range(10)]
        given = {job.id for job in chain.from_iterable(await asyncio.gather(*together))}
        require(len(given) == 1, "ten in one instant are one job", given)
        await jobs.purge(ENDPOINT)
        (free,) = await jobs.submit([new_job("c", idempotency_key="k")])
        require(free.id == job_id("c"), "the key of a purged job is free", free.id)
        await claim(jobs)
        (running,) = await jobs.submit([new_job("d", idempotency_key="k")])
        require(running.id == job_id("c"), "the key of a running job is taken", running)
        await finish(jobs, "c")
        (done,) = await jobs.submit([new_job("e", idempotency_key="k")])
        require(done.id == job_id("c") and done.output is not None, "and of a finished one, as it is now", done)
        require(await status(jobs, "d") is None, "nothing was added")


async def check_a_key_comes_before_an_id(subject: Subject) -> None:
    """Who submits the id of one job and the key of another gets the latter; one call may have both of one job."""
    async with subject.jobs() as jobs:
        await submit(jobs, "a", "theirs", endpoint=OTHER_ENDPOINT)
        await submit(jobs, "b", idempotency_key="k")
        await submit(jobs, "c")
        given = await jobs.submit([new_job(name, idempotency_key="k") for name in ("a", "c", "b")])
        require(names(given) == ["b"] * 3, "the key gives its job, whosever the id is", names(given))
        (by_id,) = await jobs.submit([new_job("c", idempotency_key="free")])
        (fresh,) = await jobs.submit([new_job("d", idempotency_key="free")])
        require(names([by_id, fresh]) == ["c", "d"], "a job that was there gets no key", names([by_id, fresh]))
        try:
            await jobs.submit([new_job("e"), new_job("e", endpoint=OTHER_ENDPOINT)])
        except Conflict:
            require(await status(jobs, "e") is None, "a refused call leaves no trace")
        else:
            require(None, "one call gives an id to one endpoint")


async def check_recalling(subject: Subject) -> None:
    """What a store has at hand it gives as `get` does, and never what is not stored; one without it need not care."""
    async with subject.jobs() as jobs:
        if not isinstance(jobs, Recalling):
            return
        require(jobs.recall(job_id("a")) is None, "an unknown job is not at hand")
        under_way = asyncio.ensure_future(jobs.submit([new_job("a")]))
        await asyncio.sleep(0)
        require(under_way.done() or jobs.recall(job_id("a")) is None, "a job that is not stored is not at hand")
        await under_way
        for step in (claim(jobs), finish(jobs, "a"), jobs.cancel(job_id("a")), jobs.purge(ENDPOINT)):
            await step
            require(
                jobs.recall(job_id("a")) in (None, await jobs.get(job_id("a"))), "what is at hand is what is stored"
            )
        await jobs.forget(ENDPOINT)
        require(jobs.recall(job_id("a")) is None, "what is forgotten is not at hand")


async def check_same_id(subject: Subject) -> None:
    """Submitting an id again gives the job that has it: a forwarder that got no answer may repeat itself."""
    async with subject.jobs() as jobs:
        (first,) = await jobs.submit([new_job("a")])
        (again,) = await jobs.submit([new_job("a", 9, input=Payload(b"another"))])
        require(again == first, "the stored job counts", again)
        await claim(jobs)
        both = await asyncio.gather(jobs.submit([new_job("a")]), jobs.submit([new_job("b")]))
        require(both[0][0].status is JobStatus.IN_PROGRESS, "as it is now", both[0])
        require(names(await claim(jobs, 9)) == ["b"], "neighbours in the same instant are unharmed")


async def check_many_jobs_in_order(subject: Subject) -> None:
    """Far more jobs than anybody keeps in memory come out in order, while others are put back and added."""
    shuffled = random.Random(4)  # noqa: S311  # a schedule, no secret
    async with subject.jobs() as jobs:
        for start in range(0, _MANY, 250):
            await jobs.submit([new_job(f"{n:05d}", shuffled.randrange(100)) for n in range(start, start + 250)])
        require((await jobs.counts(ENDPOINT)).by_status[JobStatus.IN_QUEUE] == _MANY, "all are counted")
        first = names(await claim(jobs, 40))
        for name in shuffled.sample(first, 20):
            await give_back(jobs, name)
        await submit(jobs, "zzz", lane=1)
        kept = set(first) - set(names(await claim(jobs, 20, OTHER_WORKER)))
        require(len(kept) == 20, "what was given back comes before all that is younger", sorted(kept))
        rest: list[str] = []
        while taken := names(await claim(jobs, shuffled.choice((1, 7, 90)))):
            rest += taken
        require(rest == [*(f"{n:05d}" for n in range(40, _MANY)), "zzz"], "the rest comes in order", rest[:5])


async def check_narrow_lanes_of_a_long_queue(subject: Subject) -> None:
    """One lane of a long queue is served as if the others were not there."""
    async with subject.jobs() as jobs:
        await jobs.submit([new_job(f"{n:05d}", n % 100) for n in range(_MANY)])
        taken: list[str] = []
        while some := names(await claim(jobs, 4, lanes=range(17, 18))):
            taken += some
        require(taken == [f"{n:05d}" for n in range(17, _MANY, 100)], "all of the lane, in order", taken)


async def check_worker_that_had_many(subject: Subject) -> None:
    """A worker that has given many jobs back is given none of them again, but gets what is behind them."""
    async with subject.jobs() as jobs:
        await jobs.submit([new_job(f"{n:05d}", n % 2) for n in range(200)])
        mine = names(await claim(jobs, 200))
        await submit(jobs, "behind", lane=1)
        for name in mine:
            await give_back(jobs, name)
        require(names(await claim(jobs, 500)) == ["behind"], "none of those it had")
        others = names(await claim(jobs, 500, OTHER_WORKER))
        require(others == mine, "another one gets them all, in order", len(others))


async def check_purge(subject: Subject) -> None:
    """A purge removes what is queued now, and says how many; running, finished and later jobs stay."""
    async with subject.jobs() as jobs:
        await submit(jobs, "running", "done", *range(300))
        await claim(jobs, 2)
        await finish(jobs, "done")
        require(await jobs.purge(ENDPOINT) == 300, "the number of queued jobs")
        counts = (await jobs.counts(ENDPOINT)).by_status
        left = (counts[JobStatus.IN_QUEUE], counts[JobStatus.IN_PROGRESS], counts[JobStatus.COMPLETED])
        require(left == (0, 1, 1), "running and finished jobs stay", left)
        require([await status(jobs, n) for n in (0, 299)] == [None, None], "purged jobs are gone")
        await submit(jobs, "later", 7)
        await submit(jobs, 250, idempotency_key="k")
        await give_back(jobs, "running")
        for _ in range(5):
            await jobs.sweep()
        taken = names(await claim(jobs, 400, OTHER_WORKER))
        require(
            taken == ["running", "later", "7", "250"], "later ones, and those that came back, are not purged", taken
        )
        require(await jobs.purge(ENDPOINT) == 0, "now nothing is queued")
        await give_back(jobs, "later", OTHER_WORKER)
        require(await jobs.purge(ENDPOINT) == 1, "a job that was queued twice is one")


async def check_forget(subject: Subject) -> None:
    """A forgotten endpoint leaves no trace, whatever its jobs were doing; its name can be used anew."""
    async with subject.jobs() as jobs:
        await submit(jobs, "running", "done", *range(50))
        await submit(jobs, "theirs", endpoint=OTHER_ENDPOINT)
        await claim(jobs, 2)
        await finish(jobs, "done")
        require(await jobs.forget(ENDPOINT) == 51, "the number of jobs that were not finished")
        gone = [await status(jobs, name) for name in ("running", "done", 3)]
        require(gone == [None] * 3, "all of its jobs are gone", gone)
        require(not await finish(jobs, "running"), "what still runs is stale")
        counts = await jobs.counts(ENDPOINT)
        require(not any(counts.by_status.values()) and not counts.retried, "nothing is counted", counts)
        await submit(jobs, "running", "fresh")
        for _ in range(5):
            await jobs.sweep()
        require(names(await claim(jobs, 9)) == ["running", "fresh"], "the name begins anew")
        require(names(await claim(jobs, 9, endpoint=OTHER_ENDPOINT)) == ["theirs"], "others are untouched")


async def check_counts(subject: Subject) -> None:
    """Counts follow every step of every job."""
    async with subject.jobs() as jobs:
        await submit(jobs, *"abcdefg")
        await claim(jobs, 6)
        await finish(jobs, "a")
        await finish(jobs, "b", error="no")
        await jobs.cancel(job_id("c"))
        await jobs.cancel(job_id("g"))
        await give_back(jobs, "d")
        require(not (await jobs.counts(ENDPOINT)).retried, "what no worker is to blame for is no retry")
        await give_back(jobs, "e", charged=True)
        await jobs.retry(job_id("b"))
        counts = await jobs.counts(ENDPOINT)
        wanted = dict.fromkeys(JobStatus, 0) | {
            JobStatus.IN_QUEUE: 3,
            JobStatus.IN_PROGRESS: 1,
            JobStatus.COMPLETED: 1,
            JobStatus.CANCELLED: 2,
        }
        require(dict(counts.by_status) == wanted, "each job is counted once, where it is", counts.by_status)
        require(counts.retried == 2, "jobs that lost their worker or were asked for again are counted", counts.retried)


async def check_contended_queue(subject: Subject) -> None:
    """Many workers that claim at once get every job, and each job once."""
    async with subject.jobs() as jobs:
        await jobs.submit([new_job(n, n % 100) for n in range(400)])

        async def work(number: int) -> list[str]:
            mine: list[str] = []
            while taken := await claim(jobs, 1 + number % 5, _worker(number)):
                mine += names(taken)
            return mine

        taken = list(chain.from_iterable(await asyncio.gather(*(work(n) for n in range(16)))))
        require(sorted(taken, key=int) == [str(n) for n in range(400)], "each job is handed out once", len(taken))


async def check_enqueued(subject: Subject) -> None:
    """Those who wait for work hear of jobs that were queued before, of new ones, and of those that come back."""
    async with subject.jobs() as jobs:
        await submit(jobs, "before")
        async with contextlib.aclosing(jobs.enqueued()) as rings, asyncio.timeout(PATIENCE):
            require(ENDPOINT in await anext(rings), "what was queued before")
            await submit(jobs, "theirs", endpoint=OTHER_ENDPOINT)
            await _heard(rings, OTHER_ENDPOINT)
            await claim(jobs, 1)
            await give_back(jobs, "before")
            await _heard(rings, ENDPOINT)
            await claim(jobs, 1, OTHER_WORKER)
            await finish(jobs, "before", OTHER_WORKER, error="no")
            await jobs.retry(job_id("before"))
            await _heard(rings, ENDPOINT)
        waiting = asyncio.ensure_future(_all(jobs))
        await asyncio.sleep(0.05)
    async with asyncio.timeout(PATIENCE):
        await waiting


async def check_fewer_are_all(subject: Subject) -> None:
    """A claim that gets fewer jobs than it asks for has got all that there are: nobody asks again without a ring."""
    async with subject.jobs() as jobs:
        await jobs.submit([new_job(str(number), 7 * (number % 2)) for number in range(150)])
        taken = [len(await claim(jobs, 100)) for _ in range(3)]
        require(taken == [100, 50, 0], "a claim takes what is there, as far as it asked for it", taken)


async def check_ringing_at_once(subject: Subject) -> None:
    """A store that rings from within does so when a claim that begins then finds the job; others need not care."""
    async with subject.jobs() as jobs:
        if not isinstance(jobs, RingsAtOnce):
            return
        claims: list[asyncio.Future[tuple[Claimed, ...]]] = []
        jobs.on_enqueued(lambda endpoints: claims.extend(asyncio.ensure_future(claim(jobs)) for _ in endpoints))
        await submit(jobs, "a")
        require(len(claims) == 1, "one ring for one job", len(claims))
        require(names(await claims[0]) == ["a"], "the job is found by a claim that begins with the ring")
        await give_back(jobs, "a")
        require(len(claims) == 2, "a job that comes back is rung for", len(claims))
        await claims[1]


async def _heard(rings: AsyncIterator[frozenset[EndpointName]], endpoint: EndpointName) -> None:
    async for rung in rings:
        if endpoint in rung:
            return


async def _all(jobs: JobStore) -> None:
    async for _ in jobs.enqueued():
        pass


def _worker(number: int) -> WorkerId:
    return WorkerId(f"replica-{number}/life")
