"""Whether a worker of RunPod's SDK is there is seen by its connections, also while it asks nothing on any of them."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import pytest
from tests.gateway.conftest import FAST, Running, eventually, gateway_at, jobs_route, side
from tests.gateway.http.conftest import Wire

from flashcore.gateway.settings import Settings
from flashcore.model.job import JobStatus
from flashcore.model.job_steps import expires_at
from flashcore.model.layout import Layout
from flashcore.model.names import EndpointName, JobId

PATIENT = dataclasses.replace(FAST, heartbeat=600.0, poll_seconds=0.05)
"""A question is answered soon, and who is away is waited for until the test is over."""
LOSING = dataclasses.replace(PATIENT, reconnect_grace=0.05)
"""Who is away is given up."""
HOLDING = dataclasses.replace(PATIENT, poll_seconds=600.0)
"""A question is answered when there is something to say."""
UNWATCHED = dataclasses.replace(PATIENT, poll_attendance=0)
OLD, NEW = "1.9.1", "1.10.0"
"""The last version that asks for jobs alone, and the first one that asks for stops, too."""


@dataclass(slots=True)
class Caller:
    """Who speaks as a worker does, on a connection of its own."""

    name: str
    wire: Wire
    version: str
    more: str = ""

    async def ask(self, route: str, job: str = "", body: Any = None) -> Any:
        """The answer's value; None where it has none."""
        await self.begin(route, job, body)
        answer = await self.wire.answer()
        assert answer.status in {200, 204}
        return json.loads(answer.body) if answer.body else None

    async def begin(self, route: str, job: str = "", body: Any = None) -> None:
        """Ask, and wait for nothing."""
        data = b"" if body is None else json.dumps(body).encode()
        line = f"{'GET' if body is None else 'POST'} /v2/hello/{route}/{self.name}{job and '/'}{job}?gpu=X HTTP/1.1"
        agent = f"User-Agent: RunPod-Python-SDK/{self.version} (Linux)"
        length = "" if body is None else f"Content-Length: {len(data)}\r\n"
        await self.wire.send(f"{line}\r\nHost: a\r\n{agent}\r\n{self.more}{length}\r\n".encode() + data)


class Stage:
    """A gateway with a queue, and workers that speak by hand."""

    def __init__(self, running: Running) -> None:
        self.running = running
        self.wires: list[Wire] = []

    async def caller(self, name: str = "w1", version: str = NEW, more: str = "") -> Caller:
        """A new connection of a worker."""
        reader, writer = await asyncio.open_connection("127.0.0.1", int(self.running.gateway.url.rpartition(":")[2]))
        self.wires.append(Wire(reader, writer))
        return Caller(name, self.wires[-1], version, more)

    async def close(self, *callers: Caller) -> None:
        """Close these connections; returns when the gateway has seen it."""
        for caller in callers:
            caller.wire.close()
            with contextlib.suppress(ConnectionError):
                await caller.wire.writer.wait_closed()
            self.wires.remove(caller.wire)
        await eventually(lambda: self.running.gateway.http.connection_count == len(self.wires))

    async def submit(self, **policy: Any) -> str:
        """A job's id."""
        return str((await self.running.post("/v2/hello/run", {"input": {}, "policy": policy})).json["id"])

    async def status(self, job: str) -> Any:
        """How the job stands."""
        return (await self.running.get(f"/v2/hello/status/{job}")).json

    def is_here(self, name: str = "w1") -> bool:
        """Whether the gateway takes the worker for one that is there."""
        desk = self.running.gateway.jobs._polled._desk  # noqa: SLF001 - nothing else tells it from one that is away
        return desk.find(EndpointName("hello"), name) is not None


@pytest.fixture
async def stage(layout: Layout, request: pytest.FixtureRequest) -> AsyncIterator[Stage]:
    """A gateway that waits for workers, unless it is given other settings."""
    async with staged(layout, getattr(request, "param", PATIENT)) as stage:
        yield stage


@asynccontextmanager
async def staged(layout: Layout, settings: Settings) -> AsyncIterator[Stage]:
    """A gateway with these settings; every connection is closed in the end."""
    async with gateway_at(layout, settings) as running:
        running.serve(jobs_route("hello", side(revision="r" * 64)))
        stage = Stage(running)
        yield stage
        await stage.close(*(Caller("", wire, NEW) for wire in list(stage.wires)))


losing = pytest.mark.parametrize("stage", [pytest.param(LOSING, id="losing")], indirect=True)


async def taken(stage: Stage, caller: Caller) -> str:
    """The job that the worker is given; it asks on what else it asks on first."""
    job: str = (await eventually(lambda: caller.ask("job-take")))["id"]
    return job


@losing
async def test_a_worker_that_is_killed_between_two_questions_loses_its_job(stage: Stage) -> None:
    """Q-C16: nothing that it asked is open, and what it left behind goes on naming the job."""
    job = await stage.submit()
    taking, stopping = await stage.caller(), await stage.caller()
    await taken(stage, taking)
    await stopping.ask("job-stop")

    await stage.close(taking, stopping)
    await stage.running.get(f"/v2/hello/ping/w1?gpu=X&job_id={job}")
    other = await stage.caller("w2")
    again = await taken(stage, other)
    await other.ask("job-done", job, {"output": 1})
    ended = await stage.status(job)

    assert again == job
    assert (ended["status"], ended["retries"]) == ("COMPLETED", 1)


@losing
async def test_a_worker_that_is_killed_before_it_asked_for_stops_loses_its_job(stage: Stage) -> None:
    """Q-C16: its version says that it would have; so it is to blame, whether it had read the job or not."""
    job = await stage.submit()
    taking = await stage.caller()
    await taken(stage, taking)

    await stage.close(taking)
    other = await stage.caller("w2")

    assert await taken(stage, other) == job
    assert (await stage.status(job))["retries"] == 1


async def test_a_worker_is_here_as_long_as_one_of_its_connections_is(stage: Stage) -> None:
    """Its client closes those that it has not used for a while."""
    taking, stopping, third = await stage.caller(), await stage.caller(), await stage.caller()
    await stopping.ask("job-stop")
    await taking.ask("job-take")
    await third.ask("job-done", "no-such-job", {"output": 1})

    await stage.close(taking)
    after_one = stage.is_here()
    await stage.close(stopping)
    after_two = stage.is_here()
    await stage.close(third)

    assert (after_one, after_two, stage.is_here()) == (True, True, False)


@pytest.mark.parametrize("stage", [pytest.param(HOLDING, id="holding")], indirect=True)
async def test_a_question_that_is_held_keeps_its_worker(stage: Stage) -> None:
    """It was asked on a new connection before the old one was closed."""
    await stage.submit()
    old, new = await stage.caller(), await stage.caller()
    await old.ask("job-done", await taken(stage, old), {"output": 1})
    asking = asyncio.create_task(new.ask("job-take"))
    await eventually(lambda: stage.running.gateway.http.busy_count)

    await stage.close(old)

    assert stage.is_here()
    job = await stage.submit()
    assert (await asking)["id"] == job


async def test_a_worker_that_was_blocked_closes_all_it_had_and_reports(stage: Stage) -> None:
    """Its client finds its connections too old, once the function lets it: the result counts, once."""
    job = await stage.submit()
    taking, stopping = await stage.caller(), await stage.caller()
    await taken(stage, taking)
    await stopping.ask("job-stop")
    await stage.close(taking, stopping)
    was_here = stage.is_here()

    await (await stage.caller()).ask("job-done", job, {"output": 7})
    ended = await stage.status(job)

    assert not was_here
    assert (ended["status"], ended["output"]) == ("COMPLETED", 7)
    assert "retries" not in ended


async def test_a_worker_that_asks_again_keeps_its_job(stage: Stage) -> None:
    """And streams its items, before and after."""
    job = await stage.submit()
    taking = await stage.caller()
    await taken(stage, taking)
    await stage.close(taking)
    for item in range(2):
        streaming = await stage.caller()
        await streaming.ask("job-stream", job, {"output": item})
        await stage.close(streaming)
    was_here = stage.is_here()

    stopping = await stage.caller()
    await stopping.ask("job-stop")
    shown = await stage.running.get(f"/v2/hello/stream/{job}")

    assert (was_here, stage.is_here()) == (False, True)
    assert [one["output"] for one in shown.json["stream"]] == [0, 1]
    assert shown.json["status"] == "IN_PROGRESS"


async def test_a_version_that_asks_for_jobs_alone_may_close_what_it_has(stage: Stage) -> None:
    """It has no connection while it works: its client closes what was idle for 15 s."""
    await stage.submit()
    taking = await stage.caller(version=OLD)
    await taken(stage, taking)

    await stage.close(taking)

    assert stage.is_here()


@pytest.mark.parametrize("header", ["Via: 1.1 proxy", "Forwarded: for=192.0.2.1", "X-Forwarded-For: 192.0.2.1"])
async def test_what_a_proxy_closes_says_nothing_of_the_worker(stage: Stage, header: str) -> None:
    """It keeps connections, or not, as it likes."""
    await stage.submit()
    taking = await stage.caller(more=f"{header}\r\n")
    await taken(stage, taking)

    await stage.close(taking)

    assert stage.is_here()


@pytest.mark.parametrize("stage", [pytest.param(UNWATCHED, id="unwatched")], indirect=True)
async def test_where_something_between_closes_connections_it_can_be_said_so(stage: Stage) -> None:
    """`poll_attendance = 0`."""
    await stage.submit()
    taking = await stage.caller()
    await taken(stage, taking)

    await stage.close(taking)

    assert stage.is_here()


async def test_a_connection_on_which_another_worker_asks_is_no_longer_the_firsts(stage: Stage) -> None:
    """Its end says nothing of the first."""
    shared = await stage.caller()
    await shared.ask("job-stop")
    await dataclasses.replace(shared, name="w2").ask("job-stop")

    await stage.close(shared)

    assert (stage.is_here("w1"), stage.is_here("w2")) == (True, False)


async def test_an_answer_that_ends_its_connection_says_nothing_of_the_worker(stage: Stage) -> None:
    """The gateway closes it, as the worker had asked."""
    once = await stage.caller(more="Connection: close\r\n")
    await once.ask("job-stop")
    assert await once.wire.ends()
    await stage.close(once)

    assert stage.is_here()


@losing
async def test_a_worker_that_leaves_properly_is_not_to_blame(stage: Stage) -> None:
    """Q-C18: it asked to be replaced with one job done and another at hand."""
    first, second = await stage.submit(), await stage.submit()
    caller = await stage.caller()
    for _ in range(2):
        await taken(stage, caller)
    await caller.ask("job-done", first, {"output": 1, "stopPod": True})

    await stage.close(caller)

    assert await taken(stage, await stage.caller("w2")) == second
    assert "retries" not in await stage.status(second)


async def test_a_job_that_no_worker_ever_gets_to_know_ends_with_its_time(layout: Layout) -> None:
    """None that died over it is blamed for what it had not read, and none is given it twice; its ttl bounds that."""
    settings = dataclasses.replace(FAST, heartbeat=0.05, poll_seconds=0.05, sweep_interval=3600.0)
    async with staged(layout, settings) as stage:
        job = JobId(await stage.submit(ttl=60_000))
        for name in ("w1", "w2", "w3"):
            caller = await stage.caller(name, OLD)
            await taken(stage, caller)
            await stage.close(caller)
            while (await stage.status(job))["status"] == "IN_PROGRESS":
                await stage.running.get(f"/v2/hello/ping/{name}?gpu=X")
        again = await (await stage.caller("w1", OLD)).ask("job-take")
        stored = await stage.running.store.get(job)

    assert stored is not None
    assert (again, stored.status, stored.attempt, stored.charged) == (None, JobStatus.IN_QUEUE, 3, 0)
    assert expires_at(stored) == stored.submitted_at + 60
