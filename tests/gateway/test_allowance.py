"""How many jobs may be queued, and submitted by one caller: never one too many, and none too few."""

from __future__ import annotations

import dataclasses

import pytest
from tests.gateway.conftest import FAST, eventually, gateway_at, jobs_route, side

from flashcore.builtin.sqlite_state import SqliteStores
from flashcore.gateway.allowance import Allowance, TooManyJobs
from flashcore.gateway.files import make_private_directory
from flashcore.gateway.tablefile import TableFile
from flashcore.model.layout import Layout
from flashcore.model.names import EndpointName
from flashcore.model.table import RoutingTable
from flashcore.testing.fake_worker import FakeWorker, worker_hello


async def test_a_full_queue_takes_no_more_until_there_is_room(layout: Layout) -> None:
    """Q13: 429 with Retry-After; a refused job leaves no trace, others go on, and room that is made is used."""
    async with gateway_at(layout, dataclasses.replace(FAST, queued_limit=3)) as running:
        running.serve(jobs_route("hello"), jobs_route("other"))
        taken = [await running.post("/v2/hello/run", {"input": 1}) for _ in range(3)]
        refused = await running.post("/v2/hello/run", {"input": 1})
        waiting = await running.post("/v2/hello/runsync", {"input": 1})
        other = await running.post("/v2/other/run", {"input": 1})
        queued = (await running.get("/v2/hello/health")).json["jobs"]["inQueue"]
        await running.post(f"/v2/hello/cancel/{taken[0].json['id']}")

        async def room() -> bool:
            return (await running.post("/v2/hello/run", {"input": 1})).status == 200

        await eventually(room)
        again = (await running.get("/v2/hello/health")).json["jobs"]["inQueue"]

    assert [answer.status for answer in taken] == [200] * 3
    assert (refused.status, refused.json["error"]["code"], waiting.status) == (429, "too_many_jobs", 429)
    assert int(refused.headers["retry-after"]) >= 1
    assert (other.status, queued, again) == (200, 3, 3)


async def test_a_full_queue_takes_more_as_soon_as_it_is_worked_off(layout: Layout) -> None:
    """Q13: no caller is told that a queue is full which is empty, however long ago somebody looked."""
    hello = worker_hello("hello")
    settings = dataclasses.replace(FAST, queued_limit=2, sweep_interval=600.0)
    async with gateway_at(layout, settings) as running:
        running.serve(jobs_route("hello", side(hello)))
        async with FakeWorker(layout.worker_socket, hello, lambda _: b"1"):
            answers = [await running.post("/v2/hello/runsync", {"input": 1}) for _ in range(6)]
        queued = [await running.post("/v2/hello/run", {"input": 1}) for _ in range(3)]
        purged = await running.post("/v2/hello/purge-queue")
        after = [await running.post("/v2/hello/run", {"input": 1}) for _ in range(3)]

    assert [answer.status for answer in answers] == [200] * 6
    assert [answer.status for answer in queued] == [200, 200, 429]
    assert purged.json["removed"] == 2
    assert [answer.status for answer in after] == [200, 200, 429]


async def test_a_queue_is_as_full_after_a_restart(layout: Layout) -> None:
    """Q13: what an earlier gateway took in counts, and what is sent again under its key is no further job."""
    settings = dataclasses.replace(FAST, queued_limit=3, sweep_interval=600.0)
    make_private_directory(layout.home)
    TableFile(layout.table_file, layout.table_changes_file).keep(RoutingTable(1, (jobs_route("hello"),)))
    statuses = []
    for keys in (("same", "same", "other"), ("third", "fourth", "fifth")):
        store = await SqliteStores().open_jobs(f"sqlite:///{layout.jobs_db}")
        async with gateway_at(layout, settings, store) as running:
            answers = [await running.post("/v2/hello/run", {"input": 1}, {"idempotency-key": key}) for key in keys]
            statuses.append([answer.status for answer in answers])

    assert statuses == [[200, 200, 200], [200, 429, 429]]


def test_there_is_never_one_too_many_however_many_submit_at_once() -> None:
    """Q13: also where the jobs are counted while some are on their way into the store, or out of it to a worker."""
    allowance, hello = Allowance(queued=3, rate=0.0, recount=1.0), EndpointName("hello")

    def submits() -> bool:
        try:
            allowance.take(hello, "ci")
        except TooManyJobs:
            return False
        return True

    assert [submits(), submits()] == [True, True]
    allowance.counted(hello, 0, allowance.stand(hello))  # neither is stored yet
    assert [submits(), submits()] == [True, False]
    allowance.counted(hello, 3, allowance.stand(hello))  # all are, and nobody has heard of it
    for _ in range(2):
        allowance.kept(hello)
    allowance.refused(hello)
    assert [submits(), submits()] == [True, False]
    allowance.kept(hello)

    allowance.asks(hello, 10)
    allowance.counted(hello, 1, allowance.stand(hello))  # a worker has got two, and nobody has heard of that
    allowance.claimed(hello, 10, 2)
    assert [submits(), submits(), submits()] == [True, True, False]
    allowance.returned(hello)
    allowance.refused(hello)
    assert not submits()
    allowance.refused(hello)
    allowance.counted(hello, 0, allowance.stand(hello))  # others have taken all
    assert [submits(), submits(), submits(), submits()] == [True, True, True, False]


@pytest.mark.parametrize("is_told_first", [True, False])
def test_there_is_never_one_too_many_where_the_first_count_comes_after_the_first_job(*, is_told_first: bool) -> None:
    """Q13: jobs of an earlier gateway are not taken for those that are on their way."""
    allowance, hello = Allowance(queued=3, rate=0.0, recount=1.0), EndpointName("hello")

    before = allowance.stand(hello)
    allowance.take(hello, "ci")
    if is_told_first:
        allowance.kept(hello)
    allowance.counted(hello, 2, before)
    if not is_told_first:
        allowance.kept(hello)

    with pytest.raises(TooManyJobs):
        allowance.take(hello, "ci")
    allowance.counted(hello, 2, allowance.stand(hello))  # the job that was coming was one of the two
    allowance.take(hello, "ci")


async def test_one_caller_cannot_submit_for_all(layout: Layout) -> None:
    """Q13: so many jobs in ten seconds, and the answer says when there will be room; reading is not counted."""
    async with gateway_at(layout, dataclasses.replace(FAST, caller_rate=0.5)) as running:
        running.serve(jobs_route("hello"))
        answers = [await running.post("/v2/hello/run", {"input": 1}) for _ in range(7)]
        status = await running.get(f"/v2/hello/status/{answers[0].json['id']}")

    assert [answer.status for answer in answers] == [200] * 5 + [429] * 2
    seconds = answers[-1].headers["retry-after"]
    assert 1 <= int(seconds) <= 10
    assert answers[-1].json["error"]["next_step"] == f"send it again in {seconds} s"
    assert status.status == 200


def test_callers_are_counted_apart_and_anew_after_a_while() -> None:
    """Q13: also where somebody invents ten thousand of them."""
    now = 0.0
    allowance = Allowance(queued=0, rate=0.2, recount=1.0, now=lambda: now)
    hello = EndpointName("hello")

    def submits(caller: str) -> bool:
        try:
            allowance.take(hello, caller)
        except TooManyJobs:
            return False
        return True

    assert [submits("ci"), submits("ci"), submits("ci"), submits("web")] == [True, True, False, True]
    now = 10.0
    assert submits("ci")
    assert all(submits(f"caller {number}") for number in range(20_000))
