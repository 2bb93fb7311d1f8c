"""Who may call what: tokens on every route, scopes, public endpoints, pages of other sites."""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.gateway.conftest import (
    FAST,
    HttpReplica,
    Policies,
    Running,
    gateway_at,
    http_replica,
    http_route,
    jobs_route,
    side,
)

from flashcore.builtin.memory_state import MemoryStores
from flashcore.gateway.assembly import Gateway
from flashcore.gateway.audit import Refusals, Uses
from flashcore.gateway.security import Security, is_loopback, peer_address
from flashcore.model.errors import ConfigurationError
from flashcore.model.layout import Layout
from flashcore.model.token import Token, TokenScope, inner_token, new_token
from flashcore.testing.certificate import make_certificate
from flashcore.wire.hop import hop_key

EVERYWHERE = "0.0.0.0"  # noqa: S104 - nothing listens there
ADMIN = "the environment's own token"


def made(*scopes: TokenScope, now: float = 0.0, lifetime: float | None = None) -> tuple[str, Token]:
    """A token with these scopes."""
    return new_token("test", scopes, now, lifetime)


@dataclass(slots=True)
class Guarded(Running):
    """A gateway and the replica behind it."""

    replica: HttpReplica | None = None

    @property
    def seen(self) -> list[Mapping[str, str]]:
        """The headers of all requests that the replica got."""
        assert self.replica is not None
        return [seen.headers for seen in self.replica.seen]


@asynccontextmanager
async def guarded(layout: Layout, *tokens: Token, auth: bool = True) -> AsyncIterator[Guarded]:
    """A gateway that wants tokens, with an endpoint of each kind and a public one."""
    layout.home.mkdir(parents=True)
    layout.token.write_text(ADMIN + "\n")
    store = await MemoryStores().open_jobs("memory:")
    gateway = Gateway(layout, store, Policies(), FAST, security=Security(auth=auth))
    await gateway.start()
    gateway.keyring.take_over(tokens)
    port = await gateway.http.listen("127.0.0.1", 0)
    gateway.url = f"http://127.0.0.1:{port}"
    try:
        async with http_replica(layout, "web-1") as replica:
            running = Guarded(gateway, store, replica=replica)
            running.serve(
                http_route("web", side(replica.route)),
                http_route("open", side(replica.route), public=True),
                jobs_route("embed"),
                jobs_route("embed-open", public=True),
            )
            yield running
    finally:
        await gateway.close()


def bearer(token: str) -> Mapping[str, str]:
    """The header that clients write."""
    return {"Authorization": f"Bearer {token}"}


ROUTES = [
    "GET /web/",
    "GET /web--preview/",
    "GET /nothing/",
    "GET /manifest",
    "POST /v2/embed/run",
    "GET /v2/embed/health",
    "GET /v2/embed/ping/w",
    "GET /v2/embed-open/ping/w",
    "GET /v2/nothing/status/1",
]


@pytest.mark.parametrize("route", ROUTES)
async def test_every_route_wants_a_token(layout: Layout, route: str) -> None:
    """Without one, and with one that is not valid: 401 in JSON, whether or not there is such an endpoint."""
    method, path = route.split()
    async with guarded(layout) as running:
        without = await running.call(method, path)
        wrong = await running.call(method, path, headers=bearer("fc_0123_abc"))

    assert [(answer.status, answer.json["error"]["code"]) for answer in (without, wrong)] == [(401, "unauthorized")] * 2
    assert without.headers["www-authenticate"] == 'Bearer realm="flashcore"'


UNREAD = [
    "POST /web/",
    "POST /v2/embed/runsync",
    "POST /v2/nothing/run",
    "POST /nothing/",
    "POST /ping",
    "GET /metrics",
]


@pytest.mark.parametrize("framing", ["content-length: 20000000", "transfer-encoding: chunked"])
@pytest.mark.parametrize("route", UNREAD)
async def test_nobody_uploads_what_is_not_looked_at(layout: Layout, route: str, framing: str) -> None:
    """The answer does not wait for the body, of which all who are refused could keep megabytes on the disk."""
    async with guarded(layout) as running:
        told = await _told_before_a_body(running, f"{route} HTTP/1.1\r\nhost: a\r\n{framing}\r\n\r\n")
        asked = await _told_before_a_body(
            running, f"{route} HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\nexpect: 100-continue\r\n\r\n"
        )

    status = b"HTTP/1.1 200 " if route == "POST /ping" else b"HTTP/1.1 401 "
    assert (told[:13], asked[:13]) == (status, status)
    assert b"connection: close\r\n" in told


async def _told_before_a_body(running: Guarded, head: str) -> bytes:
    """What is answered to this head, until the gateway ends the connection; of the body nothing is sent."""
    async with _raw(running) as (reader, writer), asyncio.timeout(30):
        writer.write(head.encode())
        return await reader.read()


@asynccontextmanager
async def _raw(running: Guarded) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    reader, writer = await asyncio.open_connection("127.0.0.1", int(running.gateway.url.rpartition(":")[2]))
    try:
        yield reader, writer
    finally:
        writer.close()


async def test_a_connection_goes_on_after_a_refusal_whose_body_was_short(layout: Layout) -> None:
    """Clients keep connections; what they send there is read up to its end."""
    async with guarded(layout) as running, _raw(running) as (reader, writer), asyncio.timeout(30):
        for _ in range(2):
            writer.write(b"POST /web/ HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\n\r\nhello")
            head = await reader.readuntil(b"\r\n\r\n")
            length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
            assert (head[:13], len(await reader.readexactly(length))) == (b"HTTP/1.1 401 ", length)


async def test_it_is_only_told_to_live_without_one(layout: Layout) -> None:
    """A load balancer in front has no token."""
    async with guarded(layout) as running:
        assert (await running.get("/ping")).status == 200


@pytest.mark.parametrize("spelled", [bearer(ADMIN), {"Authorization": ADMIN}, {"authorization": f"bearer  {ADMIN}"},
                                     {"X-Flashcore-Token": ADMIN}])  # fmt: skip
async def test_the_environments_own_token_allows_everything(layout: Layout, spelled: Mapping[str, str]) -> None:
    """As RunPod's clients write it and as its workers do, or in a header of its own."""
    async with guarded(layout) as running:
        answers = [await running.get(path, spelled) for path in ("/web/", "/manifest", "/v2/embed/health")]

    assert [answer.status for answer in answers] == [200, 200, 200]


@pytest.mark.parametrize(
    ("scope", "allowed"),
    [
        (TokenScope.CALL, {"GET /web/", "GET /manifest", "POST /v2/embed/run", "GET /v2/embed/health"}),
        (TokenScope.READ, {"GET /manifest", "GET /v2/embed/health"}),
        (TokenScope.WORK, {"GET /manifest", "GET /v2/embed/ping/w"}),
        (TokenScope.DEPLOY, {"GET /manifest"}),
    ],
)
async def test_a_token_allows_what_its_scopes_say(layout: Layout, scope: TokenScope, allowed: set[str]) -> None:
    """And is told which scope is missing otherwise: 403."""
    text, token = made(scope)
    routes = ["GET /web/", "GET /manifest", "POST /v2/embed/run", "GET /v2/embed/health", "GET /v2/embed/ping/w"]
    async with guarded(layout, token) as running:
        answers = {}
        for route in routes:
            method, path = route.split()
            answers[route] = await running.call(method, path, None, bearer(text))

    refused = {route: answer for route, answer in answers.items() if answer.status in (401, 403)}
    assert answers.keys() - refused.keys() == allowed
    assert {(answer.status, answer.json["error"]["code"]) for answer in refused.values()} <= {(403, "forbidden")}
    steps = [answer.json["error"]["next_step"] for answer in refused.values()]
    assert all(step.startswith("make one that does: flashcore token create NAME --scope ") for step in steps)


CALLERS = {TokenScope.CALL}
WORKERS = {TokenScope.WORK}
OF_EACH_ROUTE = {
    "/ping": None,
    "/ping/live": None,
    "/ping/ready": None,
    "/manifest": set(TokenScope),
    "/metrics": {TokenScope.READ},
    "/v2/embed/health": {TokenScope.CALL, TokenScope.READ},
    **{f"/v2/embed/{verb}": CALLERS for verb in ("run", "runsync", "purge-queue")},
    **{f"/v2/embed/{verb}/1": CALLERS for verb in ("status", "status-sync", "stream", "cancel", "retry")},
    **{f"/v2/embed/{verb}/w": WORKERS for verb in ("job-take", "job-take-batch", "job-stop", "ping")},
    **{f"/v2/embed/{verb}/w/1": WORKERS for verb in ("job-done", "job-stream")},
}
"""Which tokens each of the gateway's own routes takes; None: it takes whoever comes. `admin` opens all."""


WAITING = {"job-take", "job-take-batch", "job-stop", "runsync", "status-sync"}
"""They answer in their own time."""


def verb_of(path: str) -> str:
    """The part of a path that says which route it is."""
    _, first, *rest = path.split("/")
    return rest[1] if first == "v2" else first


async def test_no_route_is_open_to_a_token_without_its_scope(layout: Layout) -> None:
    """Every route that there is in the code, with a token of each scope: a new one has to say here who may use it."""
    tokens = {scope: made(scope) for scope in TokenScope}
    headers: dict[TokenScope | None, Mapping[str, str]] = {None: {}}
    headers |= {scope: bearer(text) for scope, (text, _) in tokens.items()}
    async with guarded(layout, *(token for _, token in tokens.values())) as running:
        front, jobs = running.gateway.front, running.gateway.jobs
        there = front.own | {f"v2 {verb}" for verb in jobs.of_workers | jobs.of_callers}
        for path, scopes in OF_EACH_ROUTE.items():
            for scope, shown in headers.items():
                enters = scopes is None or scope is TokenScope.ADMIN or scope in scopes
                if enters and verb_of(path) in WAITING:
                    continue
                statuses = {
                    (await running.call(method, path, None, shown)).status for method in ("GET", "POST", "HEAD")
                }
                refused = {401 if scope is None else 403}
                assert statuses.isdisjoint({401, 403}) if enters else statuses == refused, (path, scope, statuses)

    said = {f"v2 {verb_of(path)}" if path.startswith("/v2/") else path for path in OF_EACH_ROUTE}
    assert said == there


async def test_a_public_queue_is_not_everybodys_to_purge(layout: Layout) -> None:
    """Who has a job's id may ask for it; jobs of others are not thrown away without a token."""
    async with guarded(layout) as running:
        job = (await running.post("/v2/embed-open/run", {"input": {}})).json["id"]
        refused = await running.post("/v2/embed-open/purge-queue")
        status = await running.get(f"/v2/embed-open/status/{job}")
        purged = await running.call("POST", "/v2/embed-open/purge-queue", None, bearer(ADMIN))

    assert (refused.status, status.json["status"], purged.json["removed"]) == (401, "IN_QUEUE", 1)


async def test_e76_an_endpoint_that_is_gone_answers_nobody(layout: Layout) -> None:
    """E76: however it went, a token that was good for it opens nothing any longer."""
    async with guarded(layout) as running:
        before = [await running.get(path, bearer(ADMIN)) for path in ("/web/", "/v2/embed/health")]
        running.serve()
        after = [await running.get(path, bearer(ADMIN)) for path in ("/web/", "/v2/embed/health")]
        seen = len(running.seen)

    assert [answer.status for answer in before] == [200, 200]
    assert [answer.status for answer in after] == [404, 404]
    assert seen == 1


async def test_public_endpoints_want_none(layout: Layout) -> None:
    """Of both kinds; a token, or what may be one, is the endpoint's own affair there."""
    async with guarded(layout) as running:
        web = await running.get("/open/", {"Authorization": "Basic x", "Origin": "https://elsewhere.example"})
        job = await running.post("/v2/embed-open/run", {"input": {}})
        seen = running.seen[0]

    assert (web.status, job.status, seen["authorization"]) == (200, 200, "Basic x")


async def test_no_replica_is_shown_the_gateways_token(layout: Layout) -> None:
    """Authorization goes no further, unless the token came in a header of its own."""
    async with guarded(layout) as running:
        await running.get("/web/", bearer(ADMIN))
        await running.get("/web/", {"X-Flashcore-Token": ADMIN, "Authorization": "the endpoint's"})
        first, second = running.seen

    assert "authorization" not in first
    assert second["authorization"] == "the endpoint's"
    assert "x-flashcore-token" not in second


@pytest.mark.parametrize("auth", [True, False])
@pytest.mark.parametrize("path", ["/web/", "/open/"])
async def test_a_token_goes_no_further_wherever_it_is_shown(layout: Layout, path: str, auth: bool) -> None:  # noqa: FBT001 - a parameter
    """Where none is needed, too: the owner's client shows the one that allows everything."""
    text, token = made(TokenScope.CALL)
    async with guarded(layout, token, auth=auth) as running:
        for shown in (ADMIN, text, inner_token(ADMIN)):
            assert (await running.get(path, bearer(shown))).status == 200

    assert not any("authorization" in headers for headers in running.seen)


TWICE = {
    "equal": ["Authorization: Bearer {0}", "Authorization: Bearer {0}"],
    "different": ["Authorization: Bearer {0}", "authorization: Basic eDp5"],
    "the other first": ["authorization: Basic eDp5", "Authorization: Bearer {0}"],
    "our own header": ["X-Flashcore-Token: {0}", "x-flashcore-token: {0}"],
    "and no value": ["Authorization: Bearer {0}", "Authorization:"],
}


@pytest.mark.parametrize("auth", [True, False])
@pytest.mark.parametrize("path", ["/web/", "/open/", "/v2/embed/health", "/v2/embed-open/health", "/ping"])
@pytest.mark.parametrize("lines", TWICE.values(), ids=TWICE)
async def test_credentials_that_come_twice_are_refused(layout: Layout, lines: list[str], path: str, auth: bool) -> None:  # noqa: FBT001 - a parameter
    """RFC 9110 5.3: each reader might take another one for the sender's, and a replica would be sent our token."""
    text, token = made(TokenScope.CALL)
    sent = "\r\n".join(lines).format(text)
    async with guarded(layout, token, auth=auth) as running:
        told = await _told_before_a_body(running, f"GET {path} HTTP/1.1\r\nhost: localhost\r\n{sent}\r\n\r\n")

    assert told.startswith(b"HTTP/1.1 400 ")
    assert b'"code":"repeated_credentials"' in told
    assert running.seen == []


async def test_requests_carry_the_key_of_the_replicas_revision(layout: Layout) -> None:
    """And not one that the caller made up."""
    layout.home.mkdir(parents=True)
    layout.hop_key.write_text("the platform's secret")
    async with gateway_at(layout) as running, http_replica(layout, "a") as one, http_replica(layout, "b") as other:
        running.serve(
            http_route("a", side(one.route, revision="ra")), http_route("b", side(other.route, revision="rb"))
        )
        for path in ("/a/", "/b/"):
            await running.get(path, {"x-flashcore-hop": "made up"})

    seen = [replica.seen[0].headers["x-flashcore-hop"] for replica in (one, other)]
    assert seen == [hop_key("the platform's secret", revision) for revision in ("ra", "rb")]


async def test_a_replica_that_knows_another_key_is_told_of_and_another_one_is_asked(layout: Layout) -> None:
    """`hop.key` was lost and made anew: callers were told 403 for good, as if they had asked for too much."""
    async with gateway_at(layout) as running, http_replica(layout, "a") as one, http_replica(layout, "b") as other:
        one.status, one.headers = 403, "x-flashcore-hop: refused\r\n"
        running.serve(http_route("web", side(one.route, revision="r")))
        alone = [await running.get("/web/"), await running.post("/web/", {})]
        running.serve(http_route("web", side(one.route, other.route, revision="r")))
        both = [await running.get("/web/") for _ in range(3)]

    assert [(told.status, told.json["error"]["code"]) for told in alone] == [(502, "upstream_key_refused")] * 2
    assert "flashcore rollout restart" in alone[0].json["error"]["message"]
    assert [told.json["replica"] for told in both] == ["b"] * 3


async def test_a_replicas_own_403_is_its_answer(layout: Layout) -> None:
    """Nobody else is asked."""
    async with gateway_at(layout) as running, http_replica(layout, "a") as one, http_replica(layout, "b") as other:
        one.status = other.status = 403
        running.serve(http_route("web", side(one.route, other.route, revision="r")))
        told = await running.get("/web/")

    assert told.status == 403
    assert len(one.seen) + len(other.seen) == 1


async def test_replicas_may_call_others_and_no_more(layout: Layout) -> None:
    """What they are given allows calls of endpoints, not the taking of jobs."""
    async with guarded(layout) as running:
        called = await running.get("/web/", bearer(inner_token(ADMIN)))
        taken = await running.get("/v2/embed/ping/w", bearer(inner_token(ADMIN)))

    assert (called.status, taken.status) == (200, 403)


async def test_a_token_that_was_revoked_or_expired_is_refused(layout: Layout) -> None:
    """From the moment that the gateway hears of it, and by the clock."""
    text, token = made(TokenScope.CALL)
    late, over = made(TokenScope.CALL, now=0.0, lifetime=1.0)
    async with guarded(layout, token, over) as running:
        valid = (await running.get("/web/", bearer(text))).status
        expired = (await running.get("/web/", bearer(late))).status
        running.gateway.keyring.take_over(())
        revoked = (await running.get("/web/", bearer(text))).status

    assert (valid, expired, revoked) == (200, 401, 401)


async def test_refusals_are_counted_and_logged_without_the_token(
    layout: Layout, caplog: pytest.LogCaptureFixture
) -> None:
    """One line for many, with the public part of what was shown and nothing else of it."""
    text, _ = made(TokenScope.CALL)
    with caplog.at_level(logging.WARNING):
        async with guarded(layout) as running:
            for _ in range(5):
                await running.get("/web/", bearer(text))
            counts = running.gateway.keyring.refusals.counts

    lines = [record.getMessage() for record in caplog.records if "refused" in record.getMessage()]
    assert counts == {"the token is not valid here": 5}
    assert len(lines) == 1
    assert text[:12] in lines[0]
    assert text.split("_", 2)[2] not in caplog.text


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"Authorization": "Bearer whatever"}, 200),
        ({"Origin": "http://localhost:3000"}, 200),
        ({"Origin": "http://127.0.0.1:8700"}, 200),
        ({"Origin": "http://[::1]:1"}, 200),
        ({"Origin": "https://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": "http://localhost.evil.example"}, 403),
        ({"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors"}, 403),
        ({"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"}, 200),
        ({"Sec-Fetch-Site": "same-origin"}, 200),
    ],
)
async def test_without_tokens_pages_of_other_sites_are_refused(
    layout: Layout, headers: Mapping[str, str], status: int
) -> None:
    """On a developer's machine no token is needed, but whoever lures them to a page must not be able to call."""
    async with guarded(layout, auth=False) as running:
        answers = [await running.get("/web/", headers), await running.get("/v2/embed/health", headers)]

    assert [answer.status for answer in answers] == [status, status]


PAGE = {"Authorization": "Bearer whatever", "Sec-Fetch-Site": "same-origin"}
"""What a page can have its browser send to where it comes from."""

BARE_PAGE = {"Sec-Fetch-Site": "same-origin"}
"""What the browser sends of itself."""


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("localhost:8700", 200),
        ("web.localhost", 200),
        ("LOCALHOST.", 200),
        ("127.0.0.1:8700", 200),
        ("192.168.0.7", 200),
        ("[::1]:8700", 200),
        ("gateway:8700", 200),
        ("evil.example:8700", 403),
        ("evil.example.", 403),
        ("localhost.evil.example", 403),
        ("127.0.0.1.evil.example", 403),
        ("7.example", 403),
        ("notlocalhost.example", 403),
    ],
)
async def test_without_tokens_a_page_whose_name_leads_here_is_refused(layout: Layout, host: str, status: int) -> None:
    """Whoever owns a name can have it lead to this machine; its pages are then of the gateway's own site."""
    async with guarded(layout, auth=False) as running:
        answers = [
            await running.get(path, {"Host": host, **headers})
            for path in ("/web/", "/v2/embed/health", "/manifest")
            for headers in ({}, PAGE, BARE_PAGE)
        ]
        public = await running.get("/open/", {"Host": host})

    assert [answer.status for answer in answers] == [status] * 9
    assert status == 200 or answers[0].json["error"]["code"] == "foreign_name"
    assert public.status == 200


async def test_who_has_a_token_may_ask_by_any_name(layout: Layout) -> None:
    """No page of others has one."""
    text, token = made(TokenScope.CALL)
    async with guarded(layout, token, auth=False) as running:
        answer = await running.get("/web/", {"Host": "shop.example", "Authorization": f"Bearer {text}"})

    assert answer.status == 200


@pytest.mark.parametrize("security", [Security(exposed=True), Security(proxies=frozenset({"127.0.0.1"}))])
async def test_a_gateway_that_is_published_has_any_name(layout: Layout, security: Security) -> None:
    """Somebody has said that others reach it, by names that it cannot know."""
    async with gateway_at(layout, security=security) as running:
        answer = await running.get("/manifest", {"Host": "shop.example"})

    assert answer.status == 200


async def test_tokens_outlast_the_control_plane(layout: Layout) -> None:
    """A gateway that starts alone knows those that it last heard of."""
    text, token = made(TokenScope.CALL)
    async with guarded(layout) as running:
        link = running.gateway._link  # noqa: SLF001 - what a control plane says comes in here
        from flashcore.model.codec import to_json
        from flashcore.wire.messages import Access

        link.granted(Access((to_json(token),)))
    layout.token.unlink()
    store = await MemoryStores().open_jobs("memory:")
    again = Gateway(layout, store, Policies(), FAST, security=Security(auth=True))
    await again.start()
    again.url = f"http://127.0.0.1:{await again.http.listen('127.0.0.1', 0)}"
    try:
        answer = await Running(again, store).get("/manifest", bearer(text))
    finally:
        await again.close()

    assert answer.status == 200
    assert text.split("_", 2)[2] not in layout.access_file.read_text()


async def test_a_connection_that_goes_on_is_asked_again_each_time(layout: Layout) -> None:
    """The same bytes: allowed, refused once the token is revoked, unknown once the endpoint is gone."""
    text, token = made(TokenScope.CALL)
    request = f"GET /web/ HTTP/1.1\r\nhost: a\r\nauthorization: Bearer {text}\r\n\r\n".encode()
    async with guarded(layout, token) as running:
        reader, writer = await asyncio.open_connection("127.0.0.1", int(running.gateway.url.rpartition(":")[2]))

        async def status() -> int:
            writer.write(request)
            head = await reader.readuntil(b"\r\n\r\n")
            length = next(line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length"))
            await reader.readexactly(int(length.split(b": ")[1]))
            return int(head.split(b" ")[1])

        statuses = [await status(), await status()]
        running.gateway.keyring.take_over(())
        statuses.append(await status())
        running.gateway.keyring.take_over((token,))
        statuses.append(await status())
        running.serve()
        statuses.append(await status())
        writer.close()

    assert statuses == [200, 200, 401, 200, 404]
    assert all("authorization" not in headers for headers in running.seen)


# -- where it may listen -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("host", "ok"),
    [("127.0.0.1", True), ("::1", True), ("localhost", True), (EVERYWHERE, False), ("10.0.0.1", False), ("x", False)],
)
def test_only_the_loopback_interface_is_this_machines_own(host: str, ok: bool) -> None:  # noqa: FBT001 - a parameter
    """Names are anybody's."""
    assert is_loopback(host) is ok


def test_a_trusted_proxy_is_an_address() -> None:
    """In the form that connections tell it in; a name would be looked up by nobody."""
    assert [peer_address(text) for text in ("10.0.0.1", "[::1]", "0:0::1")] == ["10.0.0.1", "::1", "::1"]
    with pytest.raises(ConfigurationError, match="no IP address"):
        peer_address("proxy.example")


def test_beyond_loopback_tokens_and_tls_are_needed_or_somebodys_word(tmp_path: Path) -> None:
    """The refusal names what is missing and what to set."""
    files = (tmp_path / "c", tmp_path / "k")
    for fine in (Security(auth=True, certificate=files[0], key=files[1]), Security(exposed=True)):
        fine.check(EVERYWHERE)
    Security().check("127.0.0.1")

    with pytest.raises(ConfigurationError, match="without tokens and without TLS"):
        Security().check(EVERYWHERE)
    with pytest.raises(ConfigurationError, match="without TLS"):
        Security(auth=True).check(EVERYWHERE)
    with pytest.raises(ConfigurationError, match="both"):
        Security(certificate=files[0]).check("127.0.0.1")
    with pytest.raises(ConfigurationError, match="cannot be used"):
        Security(certificate=files[0], key=files[1]).context()


async def test_tls_is_spoken_and_replicas_hear_of_it(layout: Layout, tmp_path: Path) -> None:
    """x-forwarded-proto says https, and so do the URLs of the manifest; the rest works as it does without."""
    files = await asyncio.to_thread(make_certificate, tmp_path)
    certificate, key = files.certificate, files.key
    context = Security(certificate=certificate, key=key).context()
    async with guarded(layout, auth=False) as running:
        port = await running.gateway.http.listen("127.0.0.1", 0, context)
        trusting = ssl.create_default_context(cafile=str(certificate))
        reader, writer = await asyncio.open_connection("localhost", port, ssl=trusting)
        heads: list[bytes] = []
        bodies: list[bytes] = []
        for path in (b"/web/a", b"/web/b", b"/manifest", b"nonsense"):
            writer.write(b"GET %b HTTP/1.1\r\nhost: localhost\r\n\r\n" % path)
            head = await reader.readuntil(b"\r\n\r\n")
            heads.append(head.split(b"\r\n")[0])
            length = next(line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length"))
            bodies.append(await reader.readexactly(int(length.split(b": ")[1])))
        assert await reader.read() == b""
        writer.close()
        seen = [headers["x-forwarded-proto"] for headers in running.seen]

    assert heads == [*[b"HTTP/1.1 200 OK"] * 3, b"HTTP/1.1 400 Bad Request"]
    assert b'"url":"https://localhost/web"' in bodies[2]
    assert seen == ["https", "https"]


async def test_uses_of_a_token_are_logged_by_its_name_and_not_each_of_them(
    layout: Layout, caplog: pytest.LogCaptureFixture
) -> None:
    """Who, for what, from where; never the secret, nor the query, nor a second line that somebody else wrote."""
    text, token = made(TokenScope.CALL, TokenScope.READ)
    with caplog.at_level(logging.INFO, "flashcore.audit"):
        async with guarded(layout, token) as running:
            for _ in range(5):
                await running.get("/web/?key=hidden", bearer(text))
            await running.get("/metrics", bearer(text))
            await running.get("/v2/embed/ping/w", bearer(text))

    lines = [record.getMessage() for record in caplog.records if record.name == "flashcore.audit"]
    who = f"'test' (fc_{token.id})"
    assert lines == [
        f"used: token {who}, for call, GET /web/, from 127.0.0.1 (1 requests since the last such line)",
        f"used: token {who}, for read, GET /metrics, from 127.0.0.1 (1 requests since the last such line)",
        (
            f"refused: the token lacks the scope, GET /v2/embed/ping/w, from 127.0.0.1, token {who}"
            " (1 requests since the last such line)"
        ),
    ]
    assert text.split("_", 2)[2] not in caplog.text
    assert "hidden" not in caplog.text


def test_the_log_of_uses_and_refusals_says_how_many_it_left_out(caplog: pytest.LogCaptureFixture) -> None:
    """A line in a while for each token and scope, one for all refusals together."""
    now = 0.0
    uses, refusals = Uses(lambda: now), Refusals(lambda: now)
    with caplog.at_level(logging.INFO, "flashcore.audit"):
        for second in range(150):
            now = float(second)
            if uses.note(use := uses.of("ci", "call")):
                uses.tell(use, "GET /web/" + "x" * 1000 + "\n", "10.0.0.1")
            refusals.note("there is no token", "GET /\nused: token forged", f"10.0.0.{second}", "")

    lines = [record.getMessage() for record in caplog.records]
    assert sum(line.startswith("used") for line in lines) == 3
    assert sum(line.startswith("refused") for line in lines) == 15
    assert [int(line.split("(")[1].split()[0]) for line in lines if line.startswith("used")] == [1, 60, 60]
    assert all("\n" not in line and len(line) < 400 for line in lines)
    assert refusals.counts == {"there is no token": 150}
