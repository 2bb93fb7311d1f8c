"""The control API over its real socket: who may enter, and how it refuses."""

from __future__ import annotations

import hashlib
import http.client
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import pytest

from flashcore.testing.project import ProjectUnderTest

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


@dataclass(frozen=True, slots=True)
class Answer:
    """Status and JSON body."""

    status: int
    body: Any


class Api:
    """A caller that may leave out the token or lie about the host."""

    def __init__(self, project: ProjectUnderTest) -> None:
        home = project.root / ".flashcore/environments/production"
        self._address = urlsplit(json.loads((home / "server.json").read_text())["url"])
        self.token = (home / "token").read_text().strip()

    def ask(
        self, method: str, path: str, body: bytes | None = None, headers: Mapping[str, str] | None = None
    ) -> Answer:
        """One request; with the token unless headers are given."""
        status, text = self.text(method, path, body, headers)
        return Answer(status, json.loads(text) if text else None)

    def text(
        self, method: str, path: str, body: bytes | None = None, headers: Mapping[str, str] | None = None
    ) -> tuple[int, bytes]:
        """One request; its status and its body as it is."""
        connection = http.client.HTTPConnection(str(self._address.hostname), self._address.port, timeout=30)
        given = {"Authorization": f"Bearer {self.token}"} if headers is None else dict(headers)
        connection.request(method, path, body, given)
        response = connection.getresponse()
        text = response.read()
        connection.close()
        return response.status, text


@pytest.fixture
def api(project: ProjectUnderTest) -> Api:
    """The API of a platform on which nothing is deployed."""
    project.must("server", "start")
    return Api(project)


def test_the_numbers_of_the_control_plane_are_there_to_be_read(api: Api) -> None:
    """In the text that Prometheus reads, and not without a token."""
    status, text = api.text("GET", "/metrics")

    assert (status, text.startswith(b"# HELP flashcore_")) == (200, True)
    assert api.ask("GET", "/metrics", headers={}).status == 401


def test_every_route_but_ping_needs_the_token(api: Api) -> None:
    """Whoever has no token, or another one, learns nothing, also not what there is."""
    assert api.ask("GET", "/ping", headers={}).status == 200
    for method, path in [
        ("GET", "/api/v1/server"),
        ("POST", "/api/v1/server/stop"),
        ("GET", "/api/v1/deployments"),
        ("POST", "/api/v1/deployments"),
        ("DELETE", "/api/v1/deployments/hello"),
        ("GET", "/api/v1/events"),
        ("PUT", f"/api/v1/artifacts/{'0' * 64}"),
        ("GET", "/openapi.json"),
        ("GET", "/nowhere"),
    ]:
        for headers in ({}, {"Authorization": "Bearer wrong"}):
            refused = api.ask(method, path, headers=headers)
            assert (refused.status, refused.body["error"]["code"]) == (401, "unauthorized"), path


def test_a_page_of_another_site_cannot_reach_it_by_a_name_of_its_own(api: Api) -> None:
    """A browser that resolves a foreign name to this machine is turned away before the token is looked at."""
    refused = api.ask("GET", "/api/v1/server", headers={"Host": "evil.example", "Authorization": f"Bearer {api.token}"})

    assert (refused.status, refused.body["error"]["code"]) == (403, "refused")


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "code"),
    [
        ("GET", "/api/v1/deployments/nothing", None, 404, "not_found"),
        ("DELETE", "/api/v1/deployments/nothing", None, 404, "not_found"),
        ("POST", "/api/v1/deployments/nothing/promote", None, 404, "not_found"),
        ("POST", "/api/v1/deployments/nothing/scale", b'{"replicas": "two"}', 422, "usage"),
        ("POST", "/api/v1/deployments/nothing/scale", b'{"replicas": 2, "more": 1}', 422, "usage"),
        ("POST", "/api/v1/deployments", b"{", 422, "usage"),
        ("POST", "/api/v1/deployments", b'{"manifest": {"manifest_version": 99}}', 422, "build"),
        ("POST", "/api/v1/deployments", b'{"manifest": {}}', 422, "build"),
        ("GET", "/api/v1/events?limit=0", None, 422, "usage"),
        ("PUT", "/api/v1/artifacts/..%2F..%2Fetc", b"x", 404, None),
        ("PUT", "/api/v1/artifacts/abc", b"x", 422, "usage"),
        ("PUT", f"/api/v1/artifacts/{'0' * 64}", b"not that digest", 422, "usage"),
    ],
)
def test_what_cannot_be_done_is_refused_with_a_reason(
    api: Api, method: str, path: str, body: bytes | None, status: int, code: str | None
) -> None:
    """Status and code say the kind, the message says the rest."""
    headers = {"Authorization": f"Bearer {api.token}", "Content-Type": "application/json"}

    refused = api.ask(method, path, body, headers)

    assert refused.status == status
    if code is not None:
        assert refused.body["error"]["code"] == code
        assert refused.body["error"]["message"]


def test_an_artifact_is_stored_once_under_its_digest(api: Api, project: ProjectUnderTest) -> None:
    """What was uploaded is there, nothing of a refused upload is, and no draft is left."""
    data = b"an archive" * 1000
    digest = hashlib.sha256(data).hexdigest()

    assert api.ask("PUT", f"/api/v1/artifacts/{digest}", data).status == 201
    assert api.ask("PUT", f"/api/v1/artifacts/{digest}", data).status == 201
    assert api.ask("PUT", f"/api/v1/artifacts/{'1' * 64}", data).status == 422

    assert api.ask("HEAD", f"/api/v1/artifacts/{digest}").status == 200
    assert list((project.root / ".flashcore/environments/production/uploads").iterdir()) == []


def test_two_servers_of_one_environment_become_one(api: Api, project: ProjectUnderTest) -> None:
    """A second start finds the first; a second process is refused by the state's lock, and says whose it is."""
    before = api.ask("GET", "/api/v1/server").body["pid"]

    again = project.must("server", "start", "--json").json

    assert again["pid"] == before


READ, DEPLOY, ADMIN = "read", "deploy", "admin"
NEEDED = {
    "GET /": None,
    "GET /ping": None,
    "GET /metrics": READ,
    "GET /openapi.json": READ,
    "GET /api/v1/server": READ,
    "GET /api/v1/server/backup": ADMIN,
    "POST /api/v1/server/stop": ADMIN,
    "POST /api/v1/server/gateway/restart": ADMIN,
    "GET /api/v1/tokens": ADMIN,
    "POST /api/v1/tokens": ADMIN,
    "DELETE /api/v1/tokens/x": ADMIN,
    "HEAD /api/v1/artifacts/x": READ,
    "PUT /api/v1/artifacts/x": DEPLOY,
    "GET /api/v1/manifest": READ,
    "PUT /api/v1/manifest": DEPLOY,
    "DELETE /api/v1/manifest": DEPLOY,
    "GET /api/v1/events": READ,
    "GET /api/v1/events/last": READ,
    "GET /api/v1/deployments": READ,
    "POST /api/v1/deployments": DEPLOY,
    "POST /api/v1/deployments/plan": DEPLOY,
    "GET /api/v1/deployments/x": READ,
    "DELETE /api/v1/deployments/x": DEPLOY,
    **{f"GET /api/v1/deployments/x/{what}": READ for what in ("logs", "history", "why")},
    **{
        f"POST /api/v1/deployments/x/{what}": DEPLOY
        for what in (
            *("scale", "promote", "abort", "retry", "pause", "resume", "undo", "restart"),
            *("hold-traffic", "release-traffic", "replicas/x/cordon", "replicas/x/uncordon"),
        )
    },
}
"""The scope that each route needs; None: whoever comes may ask."""


def test_no_route_is_open_to_a_token_without_its_scope(project: ProjectUnderTest, api: Api) -> None:
    """Every route that the server says it has, with a token of each scope: a new one has to say here who may use it."""
    described = json.loads(api.text("GET", "/openapi.json")[1])["paths"]
    there = {
        f"{method.upper()} {re.sub(r'{[^}]*}', 'x', path)}" for path, methods in described.items() for method in methods
    }
    made = {
        scope: json.loads(
            project.must("token", "create", scope, "--scope", scope, "--json").out  # its name is its scope
        )["token"]
        for scope in ("read", "call", "work", "deploy", "admin")
    }

    wrong = []
    for route, needed in NEEDED.items():
        method, path = route.split()
        for scope, token in {**made, "": ""}.items():
            if needed is None or scope in (needed, "admin"):
                continue  # it would do what it says; what is let in is the other tests' affair
            status, _ = api.text(method, path, None, {"Authorization": f"Bearer {token}"} if token else {})
            if status != (403 if token else 401):
                wrong.append((route, scope, status))

    assert wrong == []
    assert there <= NEEDED.keys()
    assert NEEDED.keys() - there <= {"GET /", "GET /openapi.json", "GET /metrics"}
