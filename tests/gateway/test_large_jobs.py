"""Large payloads go through the gateway by way of the disk: its memory stays what it is."""

from __future__ import annotations

import asyncio
import base64
import json
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from tests.full_disk import no_file_grows_beyond
from tests.gateway.conftest import fetch, gateway_at, jobs_route, side
from tests.gateway.test_process import GatewayProcess, listening, serving

from flashcore.builtin.sqlite_state import SqliteStores
from flashcore.gateway.decoding import SpillingDecoder
from flashcore.model.job import JobStatus, Payload
from flashcore.model.layout import Layout
from flashcore.model.names import EndpointName
from flashcore.testing.fake_worker import FakeWorker, worker_hello
from flashcore.wire import documents, seal
from flashcore.wire.frames import Frame, encode_frame
from flashcore.wire.messages import Assignment, Result
from flashcore.wire.spill import SPILLED_FROM

LARGE = SPILLED_FROM + 12_345
SEALED = {"Content-Type": seal.MEDIA, "Accept": documents.MEDIA}
JOBS = 20
SIZE = int(os.environ.get("FLASHCORE_TEST_LARGE_MB", "6")) << 20
KEY = seal.SigningKey("secret")


def package(number: int, size: int) -> bytes:
    """A sealed call of about that size."""
    content = bytes([number]) * size
    stamp = seal.Stamp(number.to_bytes(16, "big"), 2e9)
    bond = seal.Bond("hello", "f", seal.Direction.CALL)
    return b"".join(seal.seal(KEY, bond, seal.Content.VALUE, (content, ()), stamp))


def doubled(job: Assignment) -> Result:
    """The input twice, but for its last byte: neither is the other."""
    data = bytes(job.input.data)
    return Result(job.id, job.attempt, Payload(data + data[:-1], job.input.media))


class Memory:
    """The most that a process had in memory of its own: pages of files are not counted, the kernel may drop those."""

    def __init__(self, gateway: GatewayProcess) -> None:
        self._status = Path(f"/proc/{gateway.process.pid}/status")
        self.first = self.most = self._now()

    async def watch(self) -> None:
        """Look until cancelled."""
        while True:
            self.most = max(self.most, self._now())
            await asyncio.sleep(0.005)

    def _now(self) -> int:
        line = next(line for line in self._status.read_text().splitlines() if line.startswith("RssAnon"))
        return int(line.split()[1]) << 10


@pytest.mark.slow
async def test_twenty_large_jobs_at_once_leave_the_gateways_memory_flat(layout: Layout) -> None:
    """Q09: in by HTTP, out to workers, back again and out to the caller, all at the same time."""
    sizes: dict[int, bytes] = {number: package(number, SIZE) for number in range(JOBS)}
    hello = worker_hello("hello", slots=JOBS)
    async with (
        listening(layout, "--set", "lease=60", "--set", "heartbeat=20") as gateway,
        serving(layout, jobs_route("hello", side(hello))),
        FakeWorker(layout.worker_socket, hello, doubled),
    ):
        url, memory = gateway.presence.url, Memory(gateway)
        watching = asyncio.create_task(memory.watch())
        with ThreadPoolExecutor(JOBS) as pool:

            def call(data: bytes) -> tuple[int, bool]:
                answer = fetch(url, "POST", "/v2/hello/runsync", data, SEALED, 240.0)
                document, ((_, output),) = documents.decode_document(answer.body)
                return answer.status, document["status"] == "COMPLETED" and output == data + data[:-1]

            loop = asyncio.get_running_loop()
            ends = await asyncio.gather(*(loop.run_in_executor(pool, call, data) for data in sizes.values()))
        watching.cancel()

    assert ends == [(200, True)] * JOBS
    through, grown = 3 * JOBS * SIZE, memory.most - memory.first
    assert grown < 48 << 20, f"{through >> 20} MB went through, {grown >> 20} MB more of memory were needed"


@pytest.mark.parametrize("text", ["a", "\u00e9"], ids=["plain", "accents"])
async def test_a_large_json_value_comes_back_as_it_went_in(layout: Layout, text: str) -> None:
    """Q09: in the answer of runsync, in a status, and to HEAD, whose length is that of GET."""
    value = {"x": text * LARGE}
    hello = worker_hello("hello")
    async with gateway_at(layout, store=await SqliteStores().open_jobs(f"sqlite:///{layout.root}/jobs.db")) as running:
        running.serve(jobs_route("hello", side(hello)))
        async with FakeWorker(layout.worker_socket, hello, lambda job: bytes(job.input.data)):
            done = await running.post("/v2/hello/runsync", {"input": value})
            status = await running.get(f"/v2/hello/status/{done.json['id']}")
            head = await running.call("HEAD", f"/v2/hello/status/{done.json['id']}")

    assert (done.json["output"], status.json["output"]) == (value, value)
    assert int(head.headers["content-length"]) == len(status.body) > LARGE


async def test_a_caller_whose_jobs_input_was_lost_hears_so_when_it_is_found_out(layout: Layout) -> None:
    """Q09: runsync, and who waits for a status: long before their wait is over, with the reason."""
    store = await SqliteStores().open_jobs(f"sqlite:///{layout.root}/jobs.db")
    hello = worker_hello("hello")
    async with gateway_at(layout, store=store) as running:
        running.serve(jobs_route("hello", side(hello)))
        waiting = [
            asyncio.create_task(running.post("/v2/hello/runsync?wait=300000", {"input": {"x": letter * LARGE}}))
            for letter in "ab"
        ]
        async with asyncio.timeout(60):
            while (await store.counts(EndpointName("hello"))).by_status[JobStatus.IN_QUEUE] < 2:  # noqa: ASYNC110 - who waits is told nothing yet
                await asyncio.sleep(0.01)
        for file in (layout.root / "jobs.db.blobs").iterdir():
            file.unlink()
        async with FakeWorker(layout.worker_socket, hello, lambda job: bytes(job.input.data)):
            answers = await asyncio.gather(*waiting)

    assert [answer.json["status"] for answer in answers] == ["FAILED"] * 2
    assert all("jobs.db.blobs" in answer.json["error"] for answer in answers)


async def test_large_bytes_are_told_in_base64(layout: Layout) -> None:
    """To a client that cannot read our frames; also an item of a stream."""
    output = Payload(os.urandom(LARGE), "application/x-own")
    hello = worker_hello("hello")
    async with gateway_at(layout) as running:
        running.serve(jobs_route("hello", side(hello)))
        async with FakeWorker(layout.worker_socket, hello, lambda job: Result(job.id, job.attempt, output)) as worker:
            done = await running.post("/v2/hello/runsync", {"input": 1})
            worker.seen.clear()
            second = await running.post("/v2/hello/run", {"input": 1})
            stream = await running.get(f"/v2/hello/stream/{second.json['id']}?wait=50000")

    assert done.json["output"] == {"media": output.media, "base64": base64.b64encode(output.data).decode()}
    assert stream.json["stream"] == []


async def test_large_items_of_a_stream_come_whole_and_in_order(layout: Layout) -> None:
    """Q09, Q11: as JSON, and as a frame."""
    items = [json.dumps(letter * LARGE).encode() for letter in "ab"]
    hello = worker_hello("hello")
    async with gateway_at(layout) as running:
        running.serve(jobs_route("hello", side(hello)))
        workers: list[FakeWorker] = []

        async def answer(job: Assignment) -> bytes:
            for item in items:
                workers[0].chunk(job, item)
            return b"null"

        async with FakeWorker(layout.worker_socket, hello, answer) as worker:
            workers.append(worker)
            done = await running.post("/v2/hello/runsync", {"input": 1})
            shown = await running.get(f"/v2/hello/stream/{done.json['id']}")
            again = await running.post("/v2/hello/runsync", {"input": 1})
            framed = await running.get(f"/v2/hello/stream/{again.json['id']}", {"Accept": documents.MEDIA})

    assert [item["output"] for item in shown.json["stream"]] == [json.loads(item) for item in items]
    assert [bytes(value) for _, value in documents.decode_document(framed.body)[1]] == items


async def test_a_large_body_that_no_disk_takes_is_refused_with_a_reason(layout: Layout) -> None:
    """Q26: 503, and the next one that there is room for is served."""
    async with gateway_at(layout) as running:
        running.serve(jobs_route("hello"))
        with no_file_grows_beyond(SPILLED_FROM // 2):
            refused = await running.post("/v2/hello/run", {"input": "a" * LARGE})
            small = await running.post("/v2/hello/run", {"input": 1})
        large = await running.post("/v2/hello/run", {"input": "a" * LARGE})

    assert (refused.status, refused.json["error"]["code"], refused.headers["retry-after"]) == (503, "no_room", "1")
    assert (small.status, large.status) == (200, 200)


async def test_a_body_of_unknown_length_is_refused_once_it_is_too_long(layout: Layout) -> None:
    """Q13: 413, whatever has been written by then; nothing is left of it."""
    async with gateway_at(layout) as running:
        running.serve(jobs_route("hello"))
        before = set(layout.home.iterdir())
        answer = await running.call("POST", "/v2/hello/run", b"a" * 21_000_000)

        assert (answer.status, set(layout.home.iterdir()) - before) == (413, set())


def frames_of(sizes: list[int]) -> list[Frame]:
    """One frame for each size, with a small buffer beside one of that size."""
    return [Frame(7, {"n": n}, (b"small", os.urandom(size))) for n, size in enumerate(sizes)]


@pytest.mark.parametrize("piece", [1000, 300_000, 10_000_000])
def test_large_frames_are_read_as_small_ones_are(tmp_path: Path, piece: int) -> None:
    """However the bytes are cut up, whatever is before and behind them."""
    sent = frames_of([10, LARGE, 0, LARGE, 2 * LARGE, 5])
    stream = b"".join(map(encode_frame, sent))
    decoder = SpillingDecoder(tmp_path)

    got = [frame for at in range(0, len(stream), piece) for frame in decoder.feed(stream[at : at + piece])]

    assert got == sent
    large = [type(frame.buffers[1]) is memoryview for frame in got]
    assert large == ([False, True, False, True, True, False] if piece < LARGE else [False] * 6)
    assert all(type(frame.buffers[0]) is bytes for frame in got)


def test_a_large_frame_that_no_disk_takes_stays_in_memory(tmp_path: Path) -> None:
    """A worker's result is not to be lost because a disk is full for a moment: it is held until the store has room."""
    sent = frames_of([LARGE, 10, 3 * LARGE, 10])
    stream = b"".join(map(encode_frame, sent))
    decoder = SpillingDecoder(tmp_path)

    with no_file_grows_beyond(SPILLED_FROM + 50_000):
        got = [frame for at in range(0, len(stream), 70_001) for frame in decoder.feed(stream[at : at + 70_001])]
    nowhere = SpillingDecoder(tmp_path / "missing")
    kept = [frame for at in range(0, len(stream), 70_001) for frame in nowhere.feed(stream[at : at + 70_001])]

    assert (got, kept) == (sent, sent)


async def test_a_file_that_changed_is_read_from_end_to_end_again(tmp_path: Path) -> None:
    """A payload is checked once, not with each question for its job; one that is spoilt later is not passed on."""
    from flashcore.builtin.sqlite.blobs import Blobs
    from flashcore.model.errors import StateCorrupt

    blobs = Blobs(tmp_path / "blobs")
    content = os.urandom(LARGE)
    async with blobs.stored([memoryview(content)], lambda release: release()) as (digest,):
        assert await blobs.read(digest) == content
        assert await blobs.read(digest) == content
        file = tmp_path / "blobs" / digest
        file.write_bytes(content[:-1] + b"?")
        # The system's times go by ticks of some milliseconds, and this test may be through within one of them.
        os.utime(file, ns=(0, file.stat().st_mtime_ns + 1))

        with pytest.raises(StateCorrupt):
            await blobs.read(digest)
