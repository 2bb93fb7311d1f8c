"""What /metrics says: names of a good neighbour, numbers that are so, labels that are bounded."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Mapping

from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families
from tests.gateway.conftest import (
    Running,
    eventually,
    http_replica,
    http_route,
    jobs_route,
    side,
)

from flashcore.model.layout import Layout
from flashcore.model.names import EndpointName
from flashcore.model.table import TABLES_PER_EPOCH, RoutingTable
from flashcore.testing.fake_worker import FakeWorker, worker_hello
from flashcore.wire.exposition import CONTENT_TYPE, Exposition, labels

REVISION = "r" * 64


async def scraped(running: Running) -> Mapping[str, Metric]:
    """All families by name, as the official parser reads them."""
    answer = await running.get("/metrics")
    assert (answer.status, answer.headers["content-type"]) == (200, CONTENT_TYPE)
    return {family.name: family for family in text_string_to_metric_families(answer.body.decode())}


def value(family: Metric, suffix: str = "", **wanted: str) -> float:
    """The sample with these labels."""
    found = [
        sample.value
        for sample in family.samples
        if sample.name == family.name + suffix and sample.labels.items() >= wanted.items()
    ]
    assert len(found) == 1, (wanted, family.samples)
    return found[0]


async def test_requests_are_counted_by_the_class_of_their_answers(running: Running, layout: Layout) -> None:
    """With a histogram of how long they took, under the endpoint and the start of the revision."""
    began = time.monotonic()
    async with http_replica(layout, "web-1") as replica:
        running.serve(http_route("web", side(replica.route)))
        for status in (200, 204, 404, 500):
            replica.status = status
            if status != 204:
                await running.get("/web/")
        families = await scraped(running)

    of_web = {"endpoint": "web", "revision": REVISION[:12]}
    requests, took = families["flashcore_requests"], families["flashcore_request_duration_seconds"]
    assert {sample.labels["code"]: sample.value for sample in requests.samples} == {"2xx": 1, "4xx": 1, "5xx": 1}
    assert value(took, "_count", **of_web) == 3
    assert value(took, "_bucket", **of_web, le="+Inf") == 3
    assert 0 < value(took, "_sum", **of_web) < time.monotonic() - began
    assert value(families["flashcore_requests_in_flight"], **of_web) == 0


async def test_what_waits_and_what_is_held_is_seen(running: Running, layout: Layout) -> None:
    """While it does: in flight, in the line, and for how long."""
    async with http_replica(layout, "web-1", concurrency=1) as replica:
        running.serve(http_route("web", side(replica.route)), http_route("held", held=True))
        replica.open.clear()
        calls = [asyncio.create_task(running.get("/web/")) for _ in range(3)]
        await eventually(lambda: len(running.gateway.live.routes.http["web"].room) == 2)
        families = await scraped(running)
        replica.open.set()
        await asyncio.gather(*calls)

    assert value(families["flashcore_requests_in_flight"], endpoint="web") == 1
    assert value(families["flashcore_requests_waiting"], endpoint="web") == 2
    assert value(families["flashcore_requests_waiting_oldest_seconds"], endpoint="web") > 0
    assert [value(families["flashcore_traffic_held"], endpoint=name) for name in ("web", "held")] == [0, 1]
    assert value(families["flashcore_gateway_connections"], side="client", state="busy") == 4


async def test_failing_replicas_show_in_circuits_retries_and_panic(running: Running, layout: Layout) -> None:
    """What the gateway did about them, and how much of it was denied."""
    async with http_replica(layout, "a") as first, http_replica(layout, "b") as second:
        running.serve(http_route("web", side(first.route, second.route)))
        first.status = 503
        for _ in range(8):
            await running.get("/web/")
        one = await scraped(running)
        second.status = 503
        for _ in range(40):
            await running.get("/web/")
        both = await scraped(running)

    assert value(one["flashcore_retries"], "_total", endpoint="web", reason="unavailable") == 5
    assert value(one["flashcore_circuits"], endpoint="web", state="open") == 1
    assert value(one["flashcore_circuit_openings"], "_total", endpoint="web") == 1
    assert [value(seen["flashcore_panic"], endpoint="web") for seen in (one, both)] == [0, 1]


async def test_refusals_are_counted_by_their_reason(running: Running) -> None:
    """Nobody ready, a request that is none, a page of another site."""
    running.serve(http_route("web", side(revision="a")))
    await running.get("/web/")
    await running.get("/web/", {"Origin": "https://evil.example"})
    await running.get("/web/", {"Host": "a b"})
    families = await scraped(running)

    refused = families["flashcore_requests_refused"]
    assert value(refused, "_total", endpoint="web", reason="no_ready_replica") == 1
    assert value(families["flashcore_gateway_bad_requests"], "_total", reason="malformed_host") == 1
    assert value(families["flashcore_gateway_unauthorized"], "_total", reason="a page of another site") == 1


async def test_queues_show_their_depth_and_age(running: Running) -> None:
    """By status, and how long the oldest waits."""
    running.serve(jobs_route("embed"))
    for _ in range(3):
        await running.post("/v2/embed/run", {"input": {}})
    families = await scraped(running)

    assert value(families["flashcore_jobs"], endpoint="embed", status="in_queue") == 3
    assert value(families["flashcore_jobs_oldest_queued_seconds"], endpoint="embed") > 0
    assert value(families["flashcore_workers"], endpoint="embed", state="idle") == 0


async def test_a_revision_that_left_is_told_of_until_four_more_have(running: Running, layout: Layout) -> None:
    """Who reads the numbers now and then hears how a canary failed that was gone after a moment."""
    async with http_replica(layout, "web-1") as replica:
        for revision in "abcdef":
            running.serve(http_route("web", side(replica.route, revision=revision)))
            await running.get("/web/")
        families = await scraped(running)
        running.serve(http_route("web", side(replica.route, revision="c")))
        await running.get("/web/")
        again = await scraped(running)

    told = [(one.labels["revision"], one.value) for one in families["flashcore_requests"].samples]
    assert told == [(revision, 1) for revision in "bcdef"]
    assert value(families["flashcore_request_duration_seconds"], "_count", revision="b") == 1
    assert [one.labels["revision"] for one in families["flashcore_requests_in_flight"].samples] == ["f"]
    assert value(again["flashcore_requests"], "_total", revision="c") == 1


async def test_jobs_of_a_revision_that_left_are_told_of(running: Running, layout: Layout) -> None:
    """Each series once, also where the revision comes back; nothing of an endpoint that is gone."""
    first, second = worker_hello("embed", "a" * 64), worker_hello("embed", "a" * 64, replica="embed-2")
    running.serve(jobs_route("embed", side(first)))
    async with FakeWorker(layout.worker_socket, first, lambda _: b"1"):
        await running.post("/v2/embed/runsync", {"input": {}})
    running.serve(jobs_route("embed", side(revision="b" * 64)))
    await eventually(lambda: not list(running.gateway.broker.books.of(EndpointName("embed"))))
    running.serve(jobs_route("embed", side(revision="c" * 64)))
    left = await scraped(running)
    running.serve(jobs_route("embed", side(second)))
    async with FakeWorker(layout.worker_socket, second, lambda _: b"1"):
        await running.post("/v2/embed/runsync", {"input": {}})
        back = await scraped(running)
    running.serve()
    await eventually(lambda: not list(running.gateway.broker.books.of(EndpointName("embed"))))
    running.serve(http_route("web"))
    gone = await scraped(running)

    ended = {"revision": "a" * 12, "outcome": "succeeded"}
    assert value(left["flashcore_job_attempts"], "_total", **ended) == 1
    assert value(back["flashcore_job_attempts"], "_total", **ended) == 1
    assert not gone["flashcore_job_attempts"].samples


async def test_a_table_after_another_has_another_number(running: Running) -> None:
    """The whole version is longer than a number of Prometheus is exact."""
    shown = []
    for number in (7, 8):
        running.gateway.live.apply(RoutingTable(1_795_434_977 * TABLES_PER_EPOCH + number))
        shown.append(value((await scraped(running))["flashcore_gateway_table_version"]))

    assert shown == [7, 8]


async def test_names_are_those_of_a_good_neighbour(running: Running, layout: Layout) -> None:
    """Base units, _total on counters and on nothing else, a sentence of help; no label grows with the traffic."""
    async with http_replica(layout, "web-1") as replica:
        running.serve(http_route("web", side(replica.route)), jobs_route("embed"))
        await running.get("/web/")
        answer = await running.get("/metrics")
        first = _series(answer.body)
        for number in range(20):
            await running.get(f"/web/{number}", {"x-request-id": f"r{number}"})
            await running.post("/v2/embed/run", {"input": number})
        again = _series((await running.get("/metrics")).body)

    for family in text_string_to_metric_families(answer.body.decode()):
        assert re.fullmatch(r"flashcore_[a-z_]+", family.name)
        assert not re.search(r"_(ms|millis|minutes|kb|mb|total)$", family.name)
        assert family.documentation.endswith(".")
        assert family.type in {"gauge", "counter", "histogram"}
    assert len(again) - len(first) <= 2


def _series(body: bytes) -> set[str]:
    """What is told apart."""
    return {line.rpartition(" ")[0] for line in body.decode().splitlines() if not line.startswith("#")}


@given(st.text(max_size=20), st.floats(allow_nan=False))
def test_any_label_and_any_number_is_read_back(text: str, number: float) -> None:
    """Quotes, backslashes and line ends among them."""
    page = Exposition()
    page.gauge("flashcore_x", "A test.", {labels(name=text): number})

    (family,) = text_string_to_metric_families(page.text().decode())

    assert family.samples[0].labels == {"name": text}
    assert family.samples[0].value == float(f"{number:.10g}")
