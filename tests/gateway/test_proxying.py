"""HTTP endpoints: which replica a request reaches, and what it is told when there is none."""

from __future__ import annotations

import asyncio
import dataclasses
from collections import Counter
from collections.abc import Iterable

import pytest
from tests.gateway.conftest import (
    FAST,
    Running,
    eventually,
    gateway_at,
    hasty,
    http_replica,
    http_route,
    jobs_route,
    side,
)

from flashcore.gateway.security import Security, peer_address
from flashcore.model.layout import Layout
from flashcore.model.parts import PartRef
from flashcore.model.table import ReplicaRoute
from flashcore.registry.near import near_matches


async def test_the_endpoints_name_is_taken_off_the_path(running: Running, layout: Layout) -> None:
    """A replica sees the paths that its author wrote; the query stays."""
    async with http_replica(layout, "web-1") as replica:
        running.serve(http_route("web", side(replica.route)))

        answer = await running.get("/web/items/7?q=a%20b")
        root = await running.get("/web")

    assert answer.status == 200
    assert [seen.target for seen in replica.seen] == ["/items/7?q=a%20b", "/"]
    assert (answer.headers["x-flashcore-replica"], root.status) == ("web-1", 200)


async def test_each_request_says_which_instance_it_is_for(running: Running, layout: Layout) -> None:
    """A replica that is someone else can tell, and a caller cannot pretend."""
    async with http_replica(layout, "web-1", instance="life-2") as replica:
        running.serve(http_route("web", side(replica.route)))

        await running.get("/web/", {"x-flashcore-instance": "forged"})

    assert replica.seen[0].headers["x-flashcore-instance"] == "life-2"


TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
CLAIMS = {
    "traceparent": TRACE,
    "tracestate": "a=b",
    "x-request-id": "mine",
    "x-flashcore-replica": "forged",
    "x-forwarded-for": "1.2.3.4",
    "x-forwarded-proto": "https",
    "x-forwarded-host": "bank",
    "forwarded": "for=1.2.3.4",
    "host": "shop.localhost:80",
}


async def test_a_trace_and_an_id_are_passed_on_and_origins_are_not(running: Running, layout: Layout) -> None:
    """Who asked, and who answered, are the gateway's own words; what a client or a replica claims of it is dropped."""
    async with http_replica(layout, "web-1") as replica:
        replica.headers = "X-Flashcore-Replica: forged\r\nX-Request-Id: forged\r\n"
        running.serve(http_route("web", side(replica.route)))

        answer = await running.get("/web/", CLAIMS)

    seen = replica.seen[0].headers
    assert (seen["traceparent"], seen["tracestate"], seen["x-request-id"]) == (TRACE, "a=b", "mine")
    assert {name: value for name, value in seen.items() if "forwarded" in name} == {
        "x-forwarded-for": "127.0.0.1",
        "x-forwarded-proto": "http",
        "x-forwarded-host": "shop.localhost:80",
    }
    assert (answer.headers["x-flashcore-replica"], answer.headers["x-request-id"]) == ("web-1", "mine")


async def test_an_answer_has_to_begin_within_the_endpoints_execution_timeout(running: Running, layout: Layout) -> None:
    """Whoever calls is told so, instead of waiting for as long as any gateway would."""
    async with http_replica(layout, "web-1") as replica:
        replica.open.clear()
        running.serve(http_route("web", side(replica.route), execution_timeout=0.05))

        answer = await running.get("/web/")
        replica.open.set()

    assert (answer.status, answer.json["error"]["code"]) == (504, "upstream_timed_out")


async def test_a_proxy_that_is_trusted_speaks_for_others(layout: Layout) -> None:
    """It is told by the address that it connects from; its own address is added to the chain."""
    proxies = frozenset({peer_address("127.0.0.1")})
    async with (
        gateway_at(layout, security=Security(proxies=proxies)) as running,
        http_replica(layout, "web-1") as replica,
    ):
        running.serve(http_route("web", side(replica.route)))

        await running.get("/web/", CLAIMS)

    assert {name: value for name, value in replica.seen[0].headers.items() if "forwarded" in name} == {
        "x-forwarded-for": "1.2.3.4, 127.0.0.1",
        "x-forwarded-proto": "https",
        "x-forwarded-host": "bank",
    }


async def test_an_endpoint_is_reached_by_host(running: Running, layout: Layout) -> None:
    """The first label of the host names it, and the path is left whole."""
    async with http_replica(layout, "web-1") as replica:
        running.serve(http_route("web", side(replica.route)))

        await running.get("/web/x", {"host": "web.localhost:8700"})
        await running.get("/ping", {"host": "web.localhost"})

    assert [seen.target for seen in replica.seen] == ["/web/x", "/ping"]


async def test_an_endpoint_is_asked_as_a_whole(running: Running, layout: Layout) -> None:
    """By host, twice in a row; under a path there is no such question (RFC 9112 3.2.4)."""
    async with http_replica(layout, "web-1") as replica:
        running.serve(http_route("web", side(replica.route)))
        async with asyncio.timeout(60):
            reader, writer = await asyncio.open_connection(*running.gateway.url.removeprefix("http://").split(":"))
            for _ in range(2):
                writer.write(b"OPTIONS * HTTP/1.1\r\nhost: web.localhost\r\n\r\n")
                await reader.readuntil(b"}")
            writer.close()
        elsewhere = await running.call("OPTIONS", "*")

    assert [seen.target for seen in replica.seen] == ["*", "*"]
    assert elsewhere.status == 404


async def test_an_address_as_host_is_no_name(running: Running, layout: Layout) -> None:
    """127.0.0.1 has a first label too."""
    async with http_replica(layout, "127") as replica:
        running.serve(http_route("127", side(replica.route)))

        answer = await running.get("/ping")

    assert answer.json["status"] == "ok"


async def test_the_preview_is_reached_by_suffix_and_by_header(running: Running, layout: Layout) -> None:
    """An unpromoted revision gets only who asks for it."""
    async with http_replica(layout, "old") as old, http_replica(layout, "new") as new:
        running.serve(http_route("web", side(old.route, revision="a"), side(new.route, revision="b", preview=True)))

        for _ in range(5):
            await running.get("/web/")
        suffix = await running.get("/web--preview/x")
        header = await running.get("/web/y", {"X-Flashcore-Revision": "preview"})

    assert (len(old.seen), [seen.target for seen in new.seen]) == (5, ["/x", "/y"])
    assert suffix.json["replica"] == header.json["replica"] == "new"


async def test_a_preview_that_is_not_there_is_said(running: Running, layout: Layout) -> None:
    """The stable side never answers for it."""
    async with http_replica(layout, "old") as old:
        running.serve(http_route("web", side(old.route)))

        answer = await running.get("/web--preview/")

    assert (answer.status, answer.json["error"]["code"]) == (404, "no_preview")


async def test_weights_share_the_requests(running: Running, layout: Layout) -> None:
    """Percent(n) sends about n of 100 requests to the target."""
    async with http_replica(layout, "old") as old, http_replica(layout, "new") as new:
        running.serve(
            http_route("web", side(old.route, revision="a", weight=75), side(new.route, revision="b", weight=25))
        )
        service = running.gateway.live.routes.http["web"]
        assert service.routing is not None

        drawn = Counter(next(iter(service.routing.pools(draw)[0].targets)) for draw in range(100))

    assert drawn == {"old": 75, "new": 25}


async def test_a_side_with_nobody_left_gives_its_share_away(running: Running, layout: Layout) -> None:
    """Between two tables a request is served by whoever is there."""
    gone = ReplicaRoute("gone", "i1", f"unix:{layout.root}/nobody.sock", 10)  # type: ignore[arg-type]  # ids are texts
    async with http_replica(layout, "old") as old:
        running.serve(http_route("web", side(old.route, revision="a", weight=1), side(gone, revision="b", weight=99)))

        answers = [await running.get("/web/") for _ in range(5)]

    assert [answer.status for answer in answers] == [200] * 5


async def test_by_capacity_all_sides_are_one(running: Running, layout: Layout) -> None:
    """Without weights the policy chooses among all replicas."""
    async with http_replica(layout, "old") as old, http_replica(layout, "new") as new:
        running.serve(http_route("web", side(old.route, revision="a"), side(new.route, revision="b")))
        old.open.clear()
        new.open.clear()

        calls = [asyncio.create_task(running.get("/web/")) for _ in range(4)]
        await eventually(lambda: len(old.seen) == 2 and len(new.seen) == 2)
        old.open.set()
        new.open.set()
        await asyncio.gather(*calls)

    assert (old.busiest, new.busiest) == (2, 2)


async def test_nobody_ready_is_its_own_error(running: Running) -> None:
    """S61: not the same as all busy."""
    running.serve(http_route("web", side(revision="a")))

    answer = await running.get("/web/")

    assert (answer.status, answer.json["error"]["code"]) == (503, "no_ready_replica")
    assert answer.headers["retry-after"] == "1"


async def test_a_replica_never_has_more_than_its_limit(running: Running, layout: Layout) -> None:
    """S58: the others wait in line, and are served in their order."""
    async with http_replica(layout, "web-1", concurrency=2) as replica:
        running.serve(http_route("web", side(replica.route)))
        service = running.gateway.live.routes.http["web"]
        replica.open.clear()

        calls = [asyncio.create_task(running.get(f"/web/{number}")) for number in range(6)]
        await eventually(lambda: len(service.room) == 4)
        replica.open.set()
        answers = await asyncio.gather(*calls)

    assert replica.busiest == 2
    assert [answer.status for answer in answers] == [200] * 6
    assert len(service.room) == 0


@hasty
async def test_who_waits_too_long_is_told(running: Running, layout: Layout) -> None:
    """The line has a deadline, and the place is given back."""
    async with http_replica(layout, "web-1", concurrency=1) as replica:
        running.serve(http_route("web", side(replica.route)))
        replica.open.clear()

        first = asyncio.create_task(running.get("/web/first"))
        await eventually(lambda: replica.seen)
        second = await running.get("/web/second")
        replica.open.set()

        assert (await first).status == 200
    assert (second.status, second.json["error"]["code"]) == (504, "held_too_long")
    assert len(running.gateway.live.routes.http["web"].room) == 0


async def test_held_requests_wait_for_the_table_that_serves_them(running: Running, layout: Layout) -> None:
    """Scaled to zero, or traffic held: the request is answered when a replica comes."""
    running.serve(http_route("web", side(revision="a"), held=True))
    call = asyncio.create_task(running.get("/web/x"))
    service = running.gateway.live.routes.http["web"]
    await eventually(lambda: len(service.room) == 1)

    async with http_replica(layout, "web-1") as replica:
        running.serve(http_route("web", side(replica.route, revision="a")))
        answer = await call

    assert (answer.status, replica.seen[0].target) == (200, "/x")


async def test_who_waits_when_the_endpoint_goes_is_told(running: Running) -> None:
    """Nobody waits for what was undeployed."""
    running.serve(http_route("web", held=True))
    call = asyncio.create_task(running.get("/web/x"))
    service = running.gateway.live.routes.http["web"]
    await eventually(lambda: len(service.room) == 1)

    running.serve()

    answer = await call
    assert (answer.status, answer.json["error"]["code"]) == (404, "endpoint_gone")


async def test_a_full_line_takes_nobody_else(layout: Layout) -> None:
    """S58: waiting is bounded, and says so at once."""
    settings = dataclasses.replace(FAST, waiting_limit=1, hold_seconds=60.0)
    async with gateway_at(layout, settings) as running, http_replica(layout, "web-1", concurrency=1) as replica:
        running.serve(http_route("web", side(replica.route)))
        replica.open.clear()
        calls = [asyncio.create_task(running.get("/web/"))]
        await eventually(lambda: replica.seen)
        calls.append(asyncio.create_task(running.get("/web/")))
        await eventually(lambda: len(running.gateway.live.routes.http["web"].room) == 1)

        crowded = await running.get("/web/")
        running.serve(http_route("web", side(replica.route), held=True))
        held = await running.get("/web/")
        running.serve(http_route("web", side(replica.route)))
        replica.open.set()

        assert [answer.status for answer in await asyncio.gather(*calls)] == [200, 200]
    assert (crowded.status, crowded.json["error"]["code"]) == (429, "too_many_requests")
    assert (held.status, held.json["error"]["code"]) == (503, "too_many_held")


async def test_a_caller_who_leaves_gives_the_place_back(running: Running) -> None:
    """A closed connection does not wait in line."""
    running.serve(http_route("web", held=True))
    service = running.gateway.live.routes.http["web"]
    port = int(running.gateway.url.rpartition(":")[2])

    _, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"GET /web/ HTTP/1.1\r\nhost: x\r\n\r\n")
    await eventually(lambda: len(service.room) == 1)
    writer.close()

    await eventually(lambda: len(service.room) == 0)


async def test_in_flight_is_counted_over_a_change_of_the_table(running: Running, layout: Layout) -> None:
    """S47: a new table that lists the same life of a replica forgets nothing of it."""
    async with http_replica(layout, "web-1", concurrency=1) as replica:
        running.serve(http_route("web", side(replica.route)))
        replica.open.clear()
        first = asyncio.create_task(running.get("/web/first"))
        await eventually(lambda: replica.seen)

        running.serve(http_route("web", side(replica.route)))
        second = asyncio.create_task(running.get("/web/second"))
        service = running.gateway.live.routes.http["web"]
        await eventually(lambda: len(service.room) == 1)
        replica.open.set()
        await asyncio.gather(first, second)

    assert replica.busiest == 1


async def test_a_new_life_of_a_replica_starts_afresh(running: Running, layout: Layout) -> None:
    """S60: nothing that was known of the old process is believed of the new one."""
    async with http_replica(layout, "web-1") as replica:
        running.serve(http_route("web", side(replica.route)))
        before = running.gateway.live.routes.http["web"].routing
        again = ReplicaRoute(replica.route.replica, "i2", replica.route.address, 10)  # type: ignore[arg-type]  # a text
        running.serve(http_route("web", side(again)))
        after = running.gateway.live.routes.http["web"].routing

    assert before is not None
    assert after is not None
    assert before.targets[0] is not after.targets[0]


async def test_a_replica_that_drains_or_is_someone_else_is_passed_over(running: Running, layout: Layout) -> None:
    """421 and a draining 503 go to another replica, and the caller sees neither."""
    async with http_replica(layout, "a") as first, http_replica(layout, "b") as second:
        running.serve(http_route("web", side(first.route, second.route)))
        first.status = 421

        answers = [await running.get("/web/") for _ in range(4)]

    assert {answer.json["replica"] for answer in answers} == {"b"}


async def test_a_policy_that_fails_is_named(running: Running, layout: Layout) -> None:
    """A plugin's mistake takes down its own endpoint's requests, with a reason."""
    async with http_replica(layout, "web-1") as replica:
        running.serve(
            http_route("web", side(replica.route), routing=PartRef("failing")), http_route("ok", side(replica.route))
        )

        failed = await running.get("/web/")
        fine = await running.get("/ok/")

    assert (failed.status, failed.json["error"]["code"], fine.status) == (500, "routing_failed", 200)
    assert "FailingPolicy failed: ZeroDivisionError: a mistake" in failed.json["error"]["message"]


async def test_an_unknown_endpoint_is_told_what_was_perhaps_meant(running: Running) -> None:
    """404 in JSON, with names that look alike."""
    running.serve(http_route("shop-web"), jobs_route("resize"))

    answer = await running.get("/shop-wed/x")

    assert answer.status == 404
    assert answer.json["error"]["near_matches"] == ["shop-web"]


async def test_a_queue_endpoint_called_as_http_is_explained(running: Running) -> None:
    """The error says how to call it."""
    running.serve(jobs_route("resize"))

    answer = await running.get("/resize/x")

    assert (answer.status, answer.json["error"]["code"]) == (400, "not_http")
    assert answer.json["error"]["next_step"] == "POST /v2/resize/runsync"


@pytest.mark.parametrize("path", ["/", "/api/x", "/metrics/x", "/%2e%2e/", "/v2", "/v2/"])
async def test_paths_of_nobody_are_answered_in_json(running: Running, path: str) -> None:
    """Every error is JSON."""
    running.serve(jobs_route("resize"))

    answer = await running.get(path)

    assert answer.status == 404
    assert answer.json["error"]["code"] == "unknown_endpoint"


@pytest.mark.parametrize(
    ("proxies", "base"), [(("127.0.0.1",), "https://shop.example"), ((), "http://gateway.localhost")]
)
async def test_the_manifest_says_where_a_proxy_of_ours_was_called(
    layout: Layout, proxies: tuple[str, ...], base: str
) -> None:
    """What anybody else claims is not believed."""
    claimed = {"Host": "gateway.localhost", "X-Forwarded-Proto": "https", "X-Forwarded-Host": "shop.example"}
    async with gateway_at(layout, security=Security(proxies=frozenset(proxies))) as running:
        running.serve(http_route("web"))
        answer = await running.get("/manifest", claimed)

    assert answer.json["endpoints"][0]["url"] == f"{base}/web"


async def test_the_manifest_comes_from_the_last_table(running: Running) -> None:
    """B54, B55: replicas find other endpoints here while the control plane is away, and how many could answer."""
    running.serve(http_route("web"), jobs_route("resize"))

    answer = await running.get("/manifest")

    base = running.gateway.url
    assert answer.json == {
        "version": 1,
        "endpoints": [
            {"name": "resize", "ingress": "jobs", "url": f"{base}/v2/resize", "ready": 0},
            {"name": "web", "ingress": "http", "url": f"{base}/web", "ready": 0},
        ],
    }


async def test_a_mistake_among_a_thousand_endpoints_costs_no_more_than_among_a_hundred(
    running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A misspelt name is compared with its neighbours, and one that cannot be a name with none."""
    running.serve(*(http_route(f"endpoint-{number:04}") for number in range(1000)))
    compared: list[int] = []

    def counting(name: str, known: Iterable[str]) -> tuple[str, ...]:
        compared.append(len(names := list(known)))
        return near_matches(name, names)

    monkeypatch.setattr("flashcore.gateway.misspelt.near_matches", counting)

    near = [await running.get(f"/endpoint-{number:04}x/") for number in range(0, 1000, 20)]
    far = await running.get("/" + "endpoint-" * 5000)

    assert {answer.json["error"]["near_matches"][0] for answer in near} == {
        f"endpoint-{n:04}" for n in range(0, 1000, 20)
    }
    assert (far.status, far.json["error"]["near_matches"], len(far.body) < 400) == (404, [], True)
    assert (len(compared), max(compared)) == (len(near), 100)
