"""Q12: who submitted a job is told of its end, once, and nobody else can be reached that way."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import hashlib
import hmac
import json
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from tests.full_disk import no_file_grows_beyond
from tests.gateway.conftest import FAST, Running, eventually, gateway_at, jobs_route, side
from tests.gateway.test_jobs_api import echo

from flashcore.builtin.sqlite_state import SqliteStores
from flashcore.gateway.settings import Settings
from flashcore.gateway.webhooks.delivery import ROOM, Patience, Webhooks, webhook_key
from flashcore.gateway.webhooks.destination import InvalidWebhook, checked_url, look_up
from flashcore.gateway.webhooks.spool import Spool
from flashcore.gateway.webhooks.turns import Room, Turns
from flashcore.model.errors import Refused
from flashcore.model.job import Job, JobStatus, NewJob, Payload
from flashcore.model.layout import Layout
from flashcore.model.names import EndpointName, JobId
from flashcore.testing.fake_worker import FakeWorker, worker_hello
from flashcore.wire.messages import Assignment, Result

QUICK = dataclasses.replace(FAST, webhook_pause=0.05, webhook_seconds=60.0, webhook_private=1)


@dataclass(frozen=True, slots=True)
class Told:
    """A request that came to the webhook."""

    headers: Mapping[str, str]
    body: bytes


@dataclass(slots=True)
class Listener:
    """A server that webhooks are sent to; it answers with these statuses, the last one again and again."""

    url: str = ""
    statuses: list[int] = field(default_factory=lambda: [200])
    told: list[Told] = field(default_factory=list)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One request."""
        _, *lines = (await reader.readuntil(b"\r\n\r\n")).decode().strip().split("\r\n")
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
        self.told.append(Told(headers, await reader.readexactly(int(headers["content-length"]))))
        status = self.statuses.pop(0) if len(self.statuses) > 1 else self.statuses[0]
        writer.write(f"HTTP/1.1 {status} X\r\nconnection: close\r\ncontent-length: 0\r\n\r\n".encode())
        await writer.drain()
        writer.close()


@pytest.fixture
async def listener() -> AsyncIterator[Listener]:
    """One, on this machine."""
    listener = Listener()
    server = await asyncio.start_server(listener.serve, "127.0.0.1", 0)
    listener.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/told?by=us"
    yield listener
    server.close()
    await server.wait_closed()


async def run_to_end(running: Running, webhook: str) -> Any:
    """A job with a webhook, in its final state."""
    hello = worker_hello("hello")
    running.serve(jobs_route("hello", side(hello)))
    async with FakeWorker(running.gateway.layout.worker_socket, hello, echo):
        return (await running.post("/v2/hello/runsync", {"input": {"a": 1}, "webhook": webhook})).json


async def test_the_end_of_a_job_is_told_once(layout: Layout, listener: Listener) -> None:
    """With the body of a status request, signed."""
    async with gateway_at(layout, QUICK) as running:
        ended = await run_to_end(running, listener.url)
        told = await eventually(lambda: listener.told)
        await eventually(lambda: not list((layout.home / "webhooks").iterdir()))
        status = (await running.get(f"/v2/hello/status/{ended['id']}")).json

    stamp, _, given = told[0].headers["x-flashcore-signature"].partition(",v1=")
    key = bytes.fromhex((layout.home / "webhook.key").read_text())
    expected = hmac.new(key, stamp.removeprefix("t=").encode() + b"." + told[0].body, hashlib.sha256).hexdigest()
    assert len(told) == 1
    assert json.loads(told[0].body) == status
    assert told[0].headers["x-flashcore-job"] == ended["id"]
    assert given == expected


async def test_it_belongs_to_the_trace_of_its_job(layout: Layout, listener: Listener) -> None:
    """Who is told finds what the job was part of."""
    trace = {"traceparent": f"00-{'a' * 32}-{'b' * 16}-01", "tracestate": "vendor=1"}
    order = {"input": 1, "webhook": listener.url, "policy": {"ttl": 50}}
    async with gateway_at(layout, QUICK) as running:
        running.serve(jobs_route("hello", side(worker_hello("hello"))))
        await running.post("/v2/hello/run", order, trace)
        (told,) = await eventually(lambda: listener.told)

    assert {name: told.headers[name] for name in trace} == trace


async def test_it_is_tried_three_times(layout: Layout, listener: Listener) -> None:
    """Q-C14: the job is done all the while."""
    listener.statuses = [500, 503, 200]
    async with gateway_at(layout, QUICK) as running:
        ended = await run_to_end(running, listener.url)
        await eventually(lambda: len(listener.told) == 3)

    assert ended["status"] == "COMPLETED"
    assert len({one.body for one in listener.told}) == 1


async def test_a_webhook_that_never_works_is_given_up(layout: Layout, listener: Listener) -> None:
    """Nothing is owed for ever."""
    listener.statuses = [500]
    async with gateway_at(layout, QUICK) as running:
        await run_to_end(running, listener.url)
        await eventually(lambda: not list((layout.home / "webhooks").iterdir()))

    assert len(listener.told) == 3


async def test_the_next_gateway_tells_what_the_last_one_owed(layout: Layout, listener: Listener) -> None:
    """A gateway that stops between a job's end and its webhook."""
    listener.statuses = [500, 200]
    url = f"sqlite:///{layout.root}/jobs.db"
    slow = dataclasses.replace(QUICK, webhook_pause=600.0)
    async with gateway_at(layout, slow, await SqliteStores().open_jobs(url)) as running:
        await run_to_end(running, listener.url)
        await eventually(lambda: listener.told)
    async with gateway_at(layout, QUICK, await SqliteStores().open_jobs(url)):
        await eventually(lambda: len(listener.told) == 2)


@pytest.mark.parametrize("receivers", [1, 50])
async def test_receivers_that_do_not_answer_keep_nobody_else_from_being_told(
    tmp_path: Path, listener: Listener, receivers: int
) -> None:
    """Each has its first turn, and all of them together few more: fifty filled all that there were."""
    asked, left, gone = 0, 0, asyncio.Event()

    async def hang(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal asked, left
        await reader.readuntil(b"\r\n\r\n")
        asked += 1
        await gone.wait()
        writer.close()
        left += 1

    jobs: dict[JobId, Job] = {}

    async def find(job: JobId) -> Job | None:
        return jobs[job]

    webhooks = Webhooks(tmp_path, Patience(1, 0.0, 600.0, private=True), find)
    async with contextlib.AsyncExitStack() as dead:
        urls = []
        for _ in range(receivers):
            server = dead.enter_context(contextlib.closing(await asyncio.start_server(hang, "127.0.0.1", 0)))
            urls.append(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/")
        many = [f"{url}{number}" for url in urls for number in range(2 * ROOM.further)]
        for number, url in enumerate([*many, listener.url]):
            new = NewJob(JobId(f"job-{number}"), EndpointName("hello"), Payload(b"1"), 0, webhook=url)
            jobs[new.id] = Job(new, JobStatus.COMPLETED, 0.0, finished_at=0.0)
            await webhooks.owe(new)
            webhooks.ended(new.id)
        await eventually(lambda: listener.told)
        await eventually(lambda: asked == receivers + ROOM.further)
        await webhooks.close()
        gone.set()
        await eventually(lambda: left == receivers + ROOM.further)

    assert [one.headers["x-flashcore-job"] for one in listener.told] == [f"job-{len(many)}"]


async def test_the_next_gateway_tells_others_than_those_that_do_not_answer(tmp_path: Path, listener: Listener) -> None:
    """Where an earlier one's webhooks go is looked up before they wait for their turns."""
    jobs: dict[JobId, Job] = {}

    async def find(job: JobId) -> Job | None:
        return jobs[job]

    async def hang(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    server = await asyncio.start_server(hang, "127.0.0.1", 0)
    dead = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
    spool = Spool(tmp_path / "webhooks")
    for number in range(200):
        url = listener.url if number == 199 else dead
        new = NewJob(JobId(f"job-{number:03}"), EndpointName("hello"), Payload(b"1"), 0, webhook=url)
        jobs[new.id] = Job(new, JobStatus.COMPLETED, 0.0, finished_at=0.0)
        spool.add(new.id)
    webhooks = Webhooks(tmp_path, Patience(1, 0.0, 600.0, private=True), find)
    await webhooks.start()

    await eventually(lambda: listener.told)
    await webhooks.close()
    server.close()

    assert [one.headers["x-flashcore-job"] for one in listener.told] == ["job-199"]


async def _at_work(turns: Turns, place: str, most: int, *, well: bool = True) -> int:
    """How many are there at a time, of so many who want to."""
    present, busiest, enough = 0, 0, asyncio.Event()

    async def go() -> None:
        nonlocal present, busiest
        async with turns.at(place) as turn:
            present += 1
            busiest = max(busiest, present)
            if busiest == most:
                enough.set()
            await enough.wait()
            present -= 1
            turn.went_well = well

    tasks = [asyncio.create_task(go()) for _ in range(most + 5)]
    await enough.wait()
    for _ in range(5):
        await asyncio.sleep(0)
    await asyncio.gather(*tasks)
    return busiest


async def test_a_place_that_takes_what_it_is_sent_is_sent_more_at_a_time() -> None:
    """Until it fails."""
    turns = Turns(Room(first=2, proven=10, further=3, at_one_place=8))

    unknown = await _at_work(turns, "a", 1 + 3)
    proven = await _at_work(turns, "a", 8, well=False)
    failed = await _at_work(turns, "a", 1 + 3)

    assert (unknown, proven, failed) == (4, 8, 4)


async def test_a_proven_place_needs_no_first_turn() -> None:
    """Where more receivers do not answer than there are first turns."""
    turns = Turns(Room(first=2, proven=2, further=1, at_one_place=8))
    async with turns.at("good") as turn:
        turn.went_well = True
    async with turns.at("a"), turns.at("b"), turns.at("b"):
        async with turns.at("good") as again:
            again.went_well = True
        other = asyncio.create_task(_go(turns, "other"))
        await asyncio.sleep(0)
        assert not other.done()
    await other


async def test_a_place_that_nobody_wants_is_forgotten() -> None:
    """A caller may name as many as it likes."""
    turns = Turns(Room(first=2, proven=1, further=0, at_one_place=1))
    async with turns.at("a"):
        waiting = asyncio.create_task(_go(turns, "a"))
        await asyncio.sleep(0)
        await _go(turns, "b")
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
    await _go(turns, "a")

    assert len(turns) == 0


async def test_a_turn_of_who_left_at_that_moment_is_the_next_ones() -> None:
    """Cancelled between having it and knowing it."""
    turns = Turns(Room(first=1, proven=0, further=0, at_one_place=1))
    async with turns.at("a"):
        first, second = (asyncio.create_task(_go(turns, place)) for place in "bc")
        await asyncio.sleep(0)
    first.cancel()

    await second
    assert len(turns) == 0


async def _go(turns: Turns, place: str) -> None:
    async with turns.at(place):
        pass


async def test_a_cancelled_job_is_told_of_too(layout: Layout, listener: Listener) -> None:
    """It has ended like any other."""
    async with gateway_at(layout, QUICK) as running:
        running.serve(jobs_route("hello"))
        job = (await running.post("/v2/hello/run", {"input": 1, "webhook": listener.url})).json["id"]
        await running.post(f"/v2/hello/cancel/{job}")
        told = await eventually(lambda: listener.told)

    assert json.loads(told[0].body)["status"] == "CANCELLED"


async def test_a_job_that_is_retried_while_its_failure_is_told_is_told_of_again(
    layout: Layout, listener: Listener
) -> None:
    """Q12, Q-C12: its receiver was away for a moment; of the failure that is true no longer it hears no more."""
    listener.statuses = [500, 200]
    outcomes = iter(["broken", None])
    hello = worker_hello("hello")

    def answer(job: Assignment) -> Result:
        return Result(job.id, job.attempt, Payload(b"1"), error=next(outcomes))

    async with gateway_at(layout, dataclasses.replace(QUICK, webhook_pause=600.0)) as running:
        running.serve(jobs_route("hello", side(hello)))
        async with FakeWorker(layout.worker_socket, hello, answer):
            failed = (await running.post("/v2/hello/runsync", {"input": 1, "webhook": listener.url})).json
            await eventually(lambda: listener.told)
            await running.post(f"/v2/hello/retry/{failed['id']}")
            await eventually(lambda: len(listener.told) == 2)
        await eventually(lambda: not list((layout.home / "webhooks").iterdir()))

    assert [json.loads(one.body)["status"] for one in listener.told] == ["FAILED", "COMPLETED"]


async def test_a_retried_job_that_ends_before_its_retry_is_answered_is_told_of(
    layout: Layout, listener: Listener
) -> None:
    """Q12: a job may be faster than who had it queued again."""
    outcomes = iter(["broken", None])
    hello = worker_hello("hello")

    def answer(job: Assignment) -> Result:
        return Result(job.id, job.attempt, Payload(b"1"), error=next(outcomes))

    async with gateway_at(layout, QUICK) as running:
        running.serve(jobs_route("hello", side(hello)))
        async with FakeWorker(layout.worker_socket, hello, answer):
            job = (await running.post("/v2/hello/runsync", {"input": 1, "webhook": listener.url})).json["id"]
            await eventually(lambda: not list((layout.home / "webhooks").iterdir()))
            retry = running.store.retry

            async def retry_slowly(job: JobId) -> Job | None:
                retried = await retry(job)
                await eventually(lambda: _is_completed(running, job))
                return retried

            running.store.retry = retry_slowly  # type: ignore[method-assign]  # its answer is late
            await running.post(f"/v2/hello/retry/{job}")
            await eventually(lambda: len(listener.told) == 2)

    assert [json.loads(one.body)["status"] for one in listener.told] == ["FAILED", "COMPLETED"]


async def test_a_retried_job_is_told_of_though_the_gateway_ends_at_that_moment(
    layout: Layout, listener: Listener
) -> None:
    """Q12: what it will owe is on disk before it is queued again."""
    url, hello = f"sqlite:///{layout.root}/jobs.db", worker_hello("hello")
    store = await SqliteStores().open_jobs(url)
    retry, is_queued = store.retry, asyncio.Event()

    async def retry_and_hang(job: JobId) -> Job | None:
        await retry(job)
        is_queued.set()
        await asyncio.Event().wait()
        return None

    async with gateway_at(layout, QUICK, store) as running:
        running.serve(jobs_route("hello", side(hello)))
        async with FakeWorker(layout.worker_socket, hello, _fails):
            job = (await running.post("/v2/hello/runsync", {"input": 1, "webhook": listener.url})).json["id"]
            await eventually(lambda: not list((layout.home / "webhooks").iterdir()))
        store.retry = retry_and_hang  # type: ignore[method-assign]  # as if the process ended there
        running.serve(jobs_route("hello"))
        asking = asyncio.create_task(running.gateway.broker.retry(job))
        await is_queued.wait()
        kept = [path.name for path in (layout.home / "webhooks").iterdir()]
        asking.cancel()
    async with gateway_at(layout, QUICK, await SqliteStores().open_jobs(url)) as running:
        again = worker_hello("hello", replica="w2")
        running.serve(jobs_route("hello", side(again)))
        async with FakeWorker(layout.worker_socket, again, echo):
            await eventually(lambda: len(listener.told) == 2)

    assert kept == [job]
    assert [json.loads(one.body)["status"] for one in listener.told] == ["FAILED", "COMPLETED"]


async def test_a_retry_that_cannot_be_kept_changes_nothing(
    layout: Layout, listener: Listener, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Q26: the disk is full. The job stays as it is, and its failure was told once."""
    hello = worker_hello("hello")

    def add(spool: Spool, job: JobId) -> None:
        raise OSError(28, "No space left on device")

    async with gateway_at(layout, QUICK) as running:
        running.serve(jobs_route("hello", side(hello)))
        async with FakeWorker(layout.worker_socket, hello, _fails):
            job = (await running.post("/v2/hello/runsync", {"input": 1, "webhook": listener.url})).json["id"]
            await eventually(lambda: not list((layout.home / "webhooks").iterdir()))
            monkeypatch.setattr(Spool, "add", add)
            refused = await running.post(f"/v2/hello/retry/{job}")
            status = await running.get(f"/v2/hello/status/{job}")

    assert (refused.status, status.json["status"]) == (503, "FAILED")
    assert len(listener.told) == 1


def _fails(job: Assignment) -> Result:
    return Result(job.id, job.attempt, Payload(b"1"), error="broken")


async def _is_completed(running: Running, job: str) -> bool:
    return bool((await running.get(f"/v2/hello/status/{job}")).json["status"] == "COMPLETED")


async def test_private_addresses_are_not_called(layout: Layout, listener: Listener) -> None:
    """Unless that is allowed: a caller would reach through us what it cannot reach itself."""
    async with gateway_at(layout, dataclasses.replace(QUICK, webhook_private=0)) as running:
        ended = await run_to_end(running, listener.url)
        await eventually(lambda: not list((layout.home / "webhooks").iterdir()))

    assert ended["status"] == "COMPLETED"
    assert listener.told == []


@pytest.mark.parametrize(
    "url",
    [
        "",
        "ftp://x/",
        "http://",
        "http://a:b@c/",
        "http://[::1",
        "http://a:99999/",
        "http://x/\nHost: y",
        7,
        "http://x/" + "y" * 3000,
    ],
)
async def test_what_is_no_url_is_refused_before_the_job_is_accepted(running: Running, url: Any) -> None:
    """And leaves no trace."""
    running.serve(jobs_route("hello"))

    answer = await running.post("/v2/hello/run", {"input": 1, "webhook": url})

    assert (answer.status, answer.json["error"]["code"]) == (400, "invalid_webhook")
    assert (await running.get("/v2/hello/health")).json["jobs"]["inQueue"] == 0


@pytest.mark.parametrize(
    "host",
    [
        *("127.0.0.1", "10.1.2.3", "169.254.169.254", "[::1]", "[fe80::1]", "[::]", "[::ffff:10.0.0.1]"),
        *("2130706433", "0x7f.1", "0177.0.0.1", "127.1", "0", "localhost"),
        *("224.0.0.1", "[ff02::1]", "[fec0::1]", "255.255.255.255", "100.64.0.1", "[fd00::1]"),
        # An IPv4 address within one of IPv6, in each of the ways in which a network may take it out again.
        *("[2002:7f00:1::]", "[64:ff9b::a01:203]", "[::ffff:0:127.0.0.1]", "[::127.0.0.1]"),
        "[2001:0:7f00:1::1]",
    ],
)
async def test_addresses_that_are_not_public_are_refused(host: str) -> None:
    """However they are written."""
    with pytest.raises(Refused, match="has no public address"):
        await look_up(f"http://{host}/x", private=False)


async def test_a_destination_is_the_address_and_the_name() -> None:
    """So that what was checked is what is called, and certificates are held against the name."""
    to = await look_up("https://127.0.0.1:8443/a?b=c", private=True)

    assert (to.url, to.host, to.name) == ("https://127.0.0.1:8443/a?b=c", "127.0.0.1:8443", "127.0.0.1")


def test_a_plain_url_is_taken() -> None:
    """As it is."""
    assert checked_url("https://example.org/hook?a=b") == "https://example.org/hook?a=b"
    with pytest.raises(InvalidWebhook):
        checked_url(None)


def test_the_default_is_public_addresses_alone() -> None:
    """As for anybody who has not thought of it."""
    assert Settings().webhook_private == 0


@pytest.mark.parametrize("host", ["x" * 64 + ".org", "x..y", "...", "a b", "a%20b"])
async def test_a_host_that_is_none_is_given_up_like_one_that_does_not_answer(
    layout: Layout, host: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Nothing is owed to it any longer, and nothing has failed in a way of its own."""
    async with gateway_at(layout, QUICK) as running:
        ended = await run_to_end(running, f"http://{host}/")
        if "error" not in ended:
            await eventually(lambda: not list((layout.home / "webhooks").iterdir()))

    assert ended.get("status") == "COMPLETED" or ended["error"]["code"] == "invalid_webhook"
    assert not [record for record in caplog.records if record.exc_info]


async def test_an_address_that_may_not_be_called_is_told_with_the_setting_that_allows_it(
    layout: Layout, caplog: pytest.LogCaptureFixture
) -> None:
    """In the gateway's log: the job was taken, and nobody else hears of it."""
    async with gateway_at(layout, dataclasses.replace(QUICK, webhook_private=0)) as running:
        await run_to_end(running, "http://127.0.0.1:9/")
        await eventually(lambda: bool(caplog.records))

    assert "127.0.0.1 has no public address; allow it with webhook_private = 1" in caplog.text


@pytest.mark.parametrize("pause", [0.0, 0.05], ids=["a flood", "a trickle"])
async def test_an_answer_without_end_is_not_read(layout: Layout, pause: float) -> None:
    """Who is told may say what it likes: the status is all that is looked at, and the connection is closed."""
    sent, gone = 0, asyncio.Event()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 99999999999\r\n\r\n")
        try:
            while True:
                writer.write(bytes(65_536) if pause == 0 else b"x")
                await writer.drain()
                sent += 1
                await asyncio.sleep(pause)
        except (ConnectionError, RuntimeError):  # the second is uvloop's, of a connection that it has closed already
            gone.set()
        finally:
            writer.close()

    async with gateway_at(layout, QUICK) as running:
        with contextlib.closing(await asyncio.start_server(talk, "127.0.0.1", 0)) as server:
            await run_to_end(running, f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/")
            await eventually(gone.is_set)
            await eventually(lambda: not list((layout.home / "webhooks").iterdir()))

    assert sent < 200


async def test_a_head_without_end_is_waited_for_as_long_as_for_any_answer(layout: Layout) -> None:
    """One byte now and then keeps no attempt alive."""
    gone = asyncio.Event()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(b"HTTP/1.1 200 OK\r\nx: ")
            while True:
                writer.write(b"x")
                await writer.drain()
                await asyncio.sleep(0.02)
        except (EOFError, ConnectionError, RuntimeError):  # the last is uvloop's, of a connection it has closed already
            gone.set()
        finally:
            writer.close()

    # An attempt whose time is over before it has connected is followed by another one.
    impatient = dataclasses.replace(QUICK, webhook_seconds=0.2, webhook_attempts=1000)
    async with gateway_at(layout, impatient) as running:
        with contextlib.closing(await asyncio.start_server(talk, "127.0.0.1", 0)) as server:
            await run_to_end(running, f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/")
            await eventually(gone.is_set)


async def test_a_job_whose_webhook_could_not_be_signed_later_is_refused_now(layout: Layout, listener: Listener) -> None:
    """Q26: the key is made with the first one. Where that had no room, the end of its job was told to nobody."""
    async with gateway_at(layout, QUICK) as running:
        running.serve(jobs_route("hello"))
        with no_file_grows_beyond(0):
            refused = await running.post("/v2/hello/run", {"input": 1, "webhook": listener.url})
            owed = Spool(layout.home / "webhooks").owed()
        ended = await run_to_end(running, listener.url)
        await eventually(lambda: listener.told)

    assert (refused.status, refused.json["error"]["code"], owed) == (503, "storage_full", [])
    assert ended["status"] == "COMPLETED"


@pytest.mark.parametrize("damaged", ["", "00" * 8, "no key", "\u00e9"])
def test_a_key_that_anybody_could_guess_signs_nothing(tmp_path: Path, damaged: str) -> None:
    """Q12: nor does one that a power failure cut short; one that somebody chose is kept."""
    file = tmp_path / "webhook.key"
    file.write_text(damaged)

    key = webhook_key(tmp_path)

    assert len(key) == 32
    assert file.read_text() == key.hex()
    file.write_text("ab" * 20)
    assert webhook_key(tmp_path) == b"\xab" * 20
