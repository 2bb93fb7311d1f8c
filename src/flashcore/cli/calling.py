"""Calls from the command line, over the same client as user code."""

from __future__ import annotations

import json
import os
import string
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from flashcore.cli.connecting import connect
from flashcore.client.carry import Carrier
from flashcore.client.discovery import served_manifest
from flashcore.client.exchange import IDEMPOTENCY_KEY, Conversation, Request, ask, insist
from flashcore.client.failures import error_of
from flashcore.client.job_calls import JobCall, authorization, credentials, failure_of, run_within
from flashcore.model.errors import DeadlineExceeded, NotFound, Unavailable, UsageError
from flashcore.model.names import EndpointName
from flashcore.presence import Presence
from flashcore.server.daemon import running_gateway, running_server, was_cut_off
from flashcore.server.token import read_token
from flashcore.settings import Project
from flashcore.wire.envelope import Arguments, Call
from flashcore.wire.seal import new_nonce

GATEWAY_IS_BACK_WITHIN = 15.0
"""Seconds that a call waits for a gateway that is being started again."""


@dataclass(frozen=True, slots=True)
class Reachable:
    """An endpoint that can be called now: the gateway's address, and how calls reach it (`jobs` or `http`)."""

    endpoint: EndpointName
    ingress: str
    gateway: str

    def carrier(self) -> Carrier:
        """A client that talks to that gateway."""
        return Carrier(lambda: self.gateway, authorization=authorization)


def described_endpoint(project: Project, endpoint: str) -> Reachable:
    """What the gateway says of the endpoint, or of the one whose preview it names.

    Raises Unavailable when no gateway runs, NotFound for an endpoint that it does not know.
    """
    presence = _gateway(project)
    _show_token(project)
    manifest = Carrier(lambda: presence.url).carry(served_manifest())
    served = manifest.endpoint(endpoint.removesuffix("--preview"))
    if served is None:
        deployed = ", ".join(one.name for one in manifest.endpoints) or "none"
        raise NotFound(
            f"there is no endpoint {endpoint!r}; deployed: {deployed}", next_step="check the name, or deploy it first"
        )
    return Reachable(EndpointName(endpoint), served.ingress, presence.url)


def _show_token(project: Project) -> None:
    """Let what this process calls know that it is the owner of this machine's platform who calls."""
    if project.layout.token.exists():
        os.environ.setdefault("FLASHCORE_TOKEN", read_token(project.layout.token))


def _gateway(project: Project) -> Presence:
    """The gateway that runs. One that ended is back in a moment where there is a control plane that starts it again."""
    if running_gateway(project) is None and was_cut_off(project):
        connect(project)
    deadline = time.monotonic() + GATEWAY_IS_BACK_WITHIN
    while (presence := running_gateway(project)) is None:
        if running_server(project) is None or time.monotonic() > deadline:
            raise Unavailable(
                f"no gateway runs for {project.settings.app}/{project.settings.environment}",
                next_step="start it: flashcore deploy, or flashcore server start",
            )
        time.sleep(0.05)  # it gives no signal to strangers
    return presence


def call_queue(found: Reachable, function: str | None, arguments: Any, timeout: float) -> Any:
    """Call a queue-based endpoint and wait for its value. Raises RemoteError, DeadlineExceeded, NotFound."""
    name, _, method = (function or "").partition(".")
    call = Call(function=name or None, method=method or None, arguments=_arguments(arguments))
    shown = f"{found.endpoint} {function}" if function else str(found.endpoint)
    return found.carrier().carry(run_within(JobCall(found.endpoint, call, shown), timeout))


def call_with_input(found: Reachable, value: Any, timeout: float) -> Any:
    """Submit a job with that input and wait for its output. Raises RemoteError, DeadlineExceeded."""
    return found.carrier().carry(_job(found.endpoint, json.dumps({"input": value}).encode(), timeout))


def _job(endpoint: EndpointName, body: bytes, timeout: float) -> Conversation[Any]:
    deadline = time.monotonic() + timeout
    headers = {**credentials(), "Content-Type": "application/json", IDEMPOTENCY_KEY: new_nonce().hex()}
    response = yield from insist(Request("POST", f"/v2/{endpoint}/run", body, headers))
    while response.status < 400:
        job = json.loads(response.body)
        if job["status"] == "COMPLETED":
            return job.get("output")
        if job["status"] not in ("IN_QUEUE", "IN_PROGRESS"):
            raise failure_of(job, str(endpoint))
        left = deadline - time.monotonic()
        if left <= 0:
            raise DeadlineExceeded(
                f"{endpoint}: job {job['id']} had not ended after {timeout:g} s; it goes on",
                next_step=f"see what keeps it: flashcore why {endpoint}; GET /v2/{endpoint}/status/{job['id']}",
                job=job["id"],
            )
        wait = min(left, 20.0)
        target = f"/v2/{endpoint}/status-sync/{job['id']}?wait={max(1000, int(wait * 1000))}"
        response = yield from insist(Request("GET", target, None, credentials(), wait + 10))
    raise error_of(response, str(endpoint))


def call_http(found: Reachable, what: str | None, body: Any, timeout: float) -> Any:
    """Send one HTTP request to a load-balanced endpoint and return what it answers, JSON decoded."""
    method, path = method_and_path(what, has_body=body is not None)
    data = None if body is None else json.dumps(body).encode()
    headers = {**credentials(), **({"Content-Type": "application/json"} if data else {})}
    request = Request(method, f"/{found.endpoint}{path}", data, headers, timeout)
    return found.carrier().carry(_answer(request, f"{found.endpoint} {method} {path}"))


def _answer(request: Request, shown: str) -> Conversation[Any]:
    response = yield from ask(request)
    if response.status >= 400:
        raise error_of(response, shown)
    if response.headers.get("content-type", "").startswith("application/json"):
        return json.loads(response.body)
    return response.body.decode("utf-8", errors="replace")


def _arguments(given: Any) -> Arguments:
    if given is None:
        return Arguments()
    if isinstance(given, Mapping):
        return Arguments(kwargs=given)
    if isinstance(given, list):
        return Arguments(args=tuple(given))
    raise UsageError(
        f"arguments are a JSON object or array, not {json.dumps(given)}", next_step=f"as in '[{json.dumps(given)}]'"
    )


def method_and_path(what: str | None, *, has_body: bool) -> tuple[str, str]:
    """What to send where, of `/items/3` or `POST /items`. Raises UsageError."""
    words = (what or "/").split()
    if len(words) == 1:
        words = ["POST" if has_body else "GET", *words]
    if len(words) != 2 or not words[1].startswith("/"):
        raise UsageError(f"{what!r} is no path", next_step="as in /items/3, or 'POST /items'")
    return words[0].upper(), quote(words[1], safe=string.punctuation)  # as a browser sends what is not ASCII
