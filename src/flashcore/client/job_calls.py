"""The conversations of queue-based endpoints: RunPod's job routes with flashcore's envelope inside."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from flashcore.client.encoding import encode
from flashcore.client.exchange import IDEMPOTENCY_KEY, Conversation, Pause, Request, Response, ask, insist
from flashcore.client.failures import error_of, remote_error
from flashcore.model.errors import DeadlineExceeded, ProtocolError, RemoteError
from flashcore.model.job import JobStatus
from flashcore.model.names import EndpointName
from flashcore.wire.envelope import Call, unwrap_value, wrap_call

WAIT = 60.0
"""Seconds that the gateway is asked to hold a request for a job that is not finished."""

_SLACK = 30.0
_FIRST_PAUSE = 0.05


@dataclass(frozen=True, slots=True)
class JobCall:
    """A call of a queue-based endpoint. `shown` is how errors name it."""

    endpoint: EndpointName
    call: Call
    shown: str

    def body(self) -> bytes:
        """The request's body. Raises UsageError for arguments that JSON cannot carry."""
        pieces: dict[str, Any] = {"args": self.call.arguments.args, "kwargs": self.call.arguments.kwargs}
        if self.call.constructor is not None:
            pieces |= {
                "constructor args": self.call.constructor.args,
                "constructor kwargs": self.call.constructor.kwargs,
            }
        return encode(
            {"input": wrap_call(self.call)}, {f"{self.shown}: {name}": piece for name, piece in pieces.items()}
        )


def run_within(call: JobCall, timeout: float | None) -> Conversation[Any]:
    """Submit, wait at most `timeout` seconds (None: as long as it takes), return the value.

    It survives a gateway that restarts meanwhile. Raises RemoteError, DeadlineExceeded, Unavailable, NotFound.
    """
    deadline = None if timeout is None else time.monotonic() + timeout
    wait = WAIT if timeout is None else min(WAIT, timeout)
    document = yield from _submit(call, f"runsync?wait={round(wait * 1000)}", wait + _SLACK)
    if not _status(document).final:
        left = None if deadline is None else max(0.0, deadline - time.monotonic())
        document = yield from await_end(call, _id(document), left)
    return value_of(document, call.shown)


def submit(call: JobCall) -> Conversation[str]:
    """Submit; returns the job's id."""
    document = yield from _submit(call, "run", _SLACK)
    return _id(document)


def ask_status(call: JobCall, job: str) -> Conversation[JobStatus]:
    """Where the job is now."""
    document = yield from _get(call, f"status/{job}", _SLACK)
    return _status(document)


def ask_result(call: JobCall, job: str, timeout: float | None) -> Conversation[Any]:
    """Wait for the job's value; `timeout` in seconds, None for as long as it takes."""
    document = yield from await_end(call, job, timeout)
    return value_of(document, call.shown)


def ask_to_cancel(call: JobCall, job: str) -> Conversation[JobStatus]:
    """Cancel; returns the status afterwards, which is another one where the job had ended before."""
    request = Request("POST", f"/v2/{call.endpoint}/cancel/{job}", headers=credentials(), timeout=_SLACK)
    response = yield from ask(request)
    return _status(_document(response, call.shown))


def await_end(call: JobCall, job: str, timeout: float | None) -> Conversation[Mapping[str, Any]]:
    """Ask until the job has its final status; returns the status document. Raises DeadlineExceeded."""
    deadline = None if timeout is None else time.monotonic() + timeout
    pause = _FIRST_PAUSE
    while True:
        asked = time.monotonic()
        wait = WAIT if deadline is None else max(0.0, min(WAIT, deadline - asked))
        document = yield from _get(call, f"status-sync/{job}?wait={round(wait * 1000)}", wait + _SLACK)
        if _status(document).final:
            return document
        now = time.monotonic()
        if deadline is not None and now >= deadline:
            raise DeadlineExceeded(
                f"{call.shown}: job {job} had not ended after {timeout:g} s; it goes on",
                next_step="ask for its result again, or cancel it",
                job=job,
            )
        if now - asked < pause:  # somebody who does not hold requests is not asked without end
            yield Pause(pause if deadline is None else min(pause, deadline - now))
            pause = min(2 * pause, 1.0)


def value_of(document: Mapping[str, Any], shown: str) -> Any:
    """The value of a finished job. Raises RemoteError or DeadlineExceeded."""
    status, job = _status(document), document.get("id")
    if status is JobStatus.COMPLETED:
        return unwrap_value(document.get("output"))
    if status is JobStatus.TIMED_OUT:
        raise DeadlineExceeded(
            f"{shown}: job {job} ran out of time: {document.get('error') or 'its ttl or execution timeout passed'}",
            next_step="raise ttl or execution_timeout of the endpoint",
            job=job,
        )
    if status is JobStatus.CANCELLED:
        raise RemoteError(f"{shown}: job {job} was cancelled", type_name="Cancelled", job=job)
    raise remote_error(document.get("error", "the job failed and left no error"), shown)


def _submit(call: JobCall, route: str, timeout: float) -> Conversation[Mapping[str, Any]]:
    """Submit a job under a key of its own: sent twice, it is the same job."""
    headers = {"Content-Type": "application/json", IDEMPOTENCY_KEY: os.urandom(16).hex(), **credentials()}
    request = Request("POST", f"/v2/{call.endpoint}/{route}", call.body(), headers, timeout)
    return _document((yield from insist(request)), call.shown)


def _get(call: JobCall, route: str, timeout: float) -> Conversation[Mapping[str, Any]]:
    request = Request("GET", f"/v2/{call.endpoint}/{route}", headers=credentials(), timeout=timeout)
    return _document((yield from insist(request)), call.shown)


def credentials() -> dict[str, str]:
    """The header that says who calls, where a token is set."""
    token = os.environ.get("FLASHCORE_TOKEN")
    return {"Authorization": f"Bearer {token}"} if token else {}


def _document(response: Response, shown: str) -> Mapping[str, Any]:
    if response.status >= 400:
        raise error_of(response, shown)
    try:
        document = json.loads(response.body)
    except ValueError as error:
        raise _strange(shown, f"no JSON: {response.body[:80]!r}") from error
    if not isinstance(document, Mapping):
        raise _strange(shown, f"no object: {document!r}")
    return document


def _status(document: Mapping[str, Any]) -> JobStatus:
    try:
        return JobStatus(document.get("status"))
    except ValueError as error:
        raise _strange("the gateway", f"no known status: {document.get('status')!r}") from error


def _id(document: Mapping[str, Any]) -> str:
    job = document.get("id")
    if not isinstance(job, str) or not job:
        raise _strange("the gateway", f"no job id: {job!r}")
    return job


def _strange(shown: str, what: str) -> ProtocolError:
    return ProtocolError(f"{shown}: the answer holds {what}", next_step="is FLASHCORE_GATEWAY_URL a flashcore gateway?")
