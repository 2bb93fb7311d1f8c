"""A platform that asks for tokens: those who own it notice nothing, everybody else needs one."""

from __future__ import annotations

import http.client
import os
import socket
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path

import pytest

from flashcore.gateway.tablefile import kept_table
from flashcore.model.layout import Layout
from flashcore.testing.project import ProjectUnderTest

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

APP = """
from flashcore import LoadBalancedEndpoint, QueueEndpoint, remote

hello = QueueEndpoint("hello")
web = LoadBalancedEndpoint("web")
everybody = LoadBalancedEndpoint("everybody", public=True)


@hello.function
def greet(name: str = "world") -> str:
    return f"hello {name}"


@web.get("/greet")
def relayed() -> str:
    return greet.remote("from inside")


@everybody.get("/")
def come_in() -> str:
    return "welcome"
"""


def status(url: str, token: str = "", path: str = "") -> int:
    """What a caller with this token is answered."""
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    request = urllib.request.Request(url + path, headers=headers)  # noqa: S310 - the address is the platform's own
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310 - as above
            code: int = answer.status
            return code
    except urllib.error.HTTPError as error:
        return error.code


def until(true: Callable[[], bool]) -> None:
    """Return when it is true, as it is once the gateway has its next table."""
    deadline = time.monotonic() + 60
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_owners_call_as_ever_and_others_need_a_token(project: ProjectUnderTest) -> None:
    """The command line, replicas that call others, a token with a scope, a public endpoint, metrics, the log."""
    project.write("flashcore.toml", 'app = "shop"\nauth = "on"\n')
    project.write("app.py", APP)
    project.must("deploy")

    assert project.must("call", "hello", "greet", '{"name": "you"}').out == "hello you\n"
    assert project.must("call", "web", "/greet").out == "hello from inside\n"

    token = project.must("token", "create", "caller", "--scope", "call").out.strip()
    url, api = project.url(), project.must("server", "status", "--json").json
    until(lambda: status(url, token, "/web/greet") == 200)
    assert [status(url, "", path) for path in ("/web/greet", "/everybody/", "/ping")] == [401, 200, 200]
    assert [status(url, token, path) for path in ("/web/greet", "/metrics", "/manifest")] == [200, 403, 200]
    assert api["gateway"] == url

    project.must("token", "revoke", "caller")
    until(lambda: status(url, token, "/web/greet") == 401)
    assert project.must("token", "list", "--json").json == {"tokens": []}

    kept = [path for path in Path(project.root).rglob("*") if path.is_file() and os.access(path, os.R_OK)]
    secret = token.split("_", 2)[2].encode()
    assert [path for path in kept if secret in path.read_bytes()] == []

    inner, shown = b"fci_", project.must("status", "--json").out
    assert [path for path in kept if inner in path.read_bytes()] == []
    assert not any(word in shown for word in ("fci_", token))


def test_a_log_is_followed_for_as_long_as_the_token_is_good(project: ProjectUnderTest) -> None:
    """The answer is cut off, so that its reader does not take that for its end."""
    project.write("flashcore.toml", 'app = "shop"\n')
    project.write("app.py", APP.replace("return f", 'print("called", flush=True)\n    return f'))
    project.must("deploy")
    project.must("call", "hello", "greet")
    token = project.must("token", "create", "reader", "--scope", "read").out.strip()
    api = project.must("server", "status", "--json").json["dashboard"]
    request = urllib.request.Request(  # noqa: S310 - the address is the platform's own
        f"{api}api/v1/deployments/hello/logs?follow=true", headers={"Authorization": f"Bearer {token}"}
    )
    with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310 - as above
        while b"called" not in answer.readline():
            pass
        project.must("token", "revoke", "reader")
        with pytest.raises(http.client.IncompleteRead):
            answer.read()

    log = (Layout(project.root, "production").home / "logs" / "server.log").read_text()
    assert "the token was revoked, GET /api/v1/deployments/hello/logs" in log


def test_a_replica_answers_nobody_but_the_gateway(project: ProjectUnderTest) -> None:
    """Who finds its socket, and may open it, is refused; probes and callers are not."""
    app = APP.replace('LoadBalancedEndpoint("web")', 'LoadBalancedEndpoint("web", probe=HttpProbe())')
    project.write("app.py", app.replace("import Load", "import HttpProbe, Load"))
    project.must("deploy")
    assert project.must("call", "everybody", "/").out == "welcome\n"

    layout = Layout(project.root, "production")
    table = kept_table(layout.table_file, layout.table_changes_file)
    assert table is not None
    replicas = [one for endpoint in table.endpoints for side in endpoint.sides for one in side.replicas]
    answers = []
    for address in filter(None, (one.address for one in replicas)):
        with socket.socket(socket.AF_UNIX) as caller:
            caller.connect(address.removeprefix("unix:"))
            caller.sendall(b"GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
            answers.append(caller.recv(4096).split(b"\r\n")[0])

    assert len(answers) == 2
    assert set(answers) == {b"HTTP/1.1 403 Forbidden"}


def test_a_gateway_does_not_listen_beyond_this_machine_unprotected(project: ProjectUnderTest) -> None:
    """The refusal says what is missing and what to set."""
    project.write("flashcore.toml", 'app = "shop"\nhost = "0.0.0.0"\n')

    refused = project.run("server", "start")

    assert refused.code != 0
    assert "without TLS" in refused.err
    assert "tls.certificate" in refused.err
