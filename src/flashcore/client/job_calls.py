"""The conversations of queue-based endpoints: RunPod's job routes with flashcore's envelope inside."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator, Mapping
from typing import Any

from flashcore.client.encoding import encode
from flashcore.client.exchange import Conversation, Pause, Request, Response, Submission, ask, hand_in, insist
from flashcore.client.failures import error_of, remote_error
from flashcore.client.locate import own_token
from flashcore.client.tracing import trace_headers
from flashcore.model.errors import DeadlineExceeded, FlashcoreError, ProtocolError, RemoteError, Unserializable
from flashcore.model.job import JobStatus
from flashcore.model.light import light
from flashcore.model.names import EndpointName
from flashcore.wire import documents, seal
from flashcore.wire.envelope import Call, unwrap_item, unwrap_value, wrap_call
from flashcore.wire.home import MAIN, own_home
from flashcore.wire.seal import Bytes, SigningKey, Stamp
from flashcore.wire.sealed import open_item, open_reply, seal_call

WAIT = 60.0
"""Seconds that the gateway is asked to hold a request for a job that is not finished."""

ITEMS_WAIT = 20.0
"""Seconds that the gateway is asked to hold a request for a stream that yields nothing."""

_SLACK = 30.0
_FIRST_PAUSE = 0.05


@light
class JobCall:
    """A call of a queue-based endpoint, submitted once. `shown` is how errors name it.

    With a key it is sealed, and so is the reply; without one both are JSON.
    """

    endpoint: EndpointName
    call: Call
    shown: str
    key: SigningKey | None = None
    stamp: Stamp | None = None
    """Of the sealed call; None for one that somebody else submitted."""
    home: str | None = None
    """The module that replicas know as what is `__main__` here, for functions that stand there."""
    limit: int = seal.LARGEST_JOB
    """Bytes that it may have."""

    def sealed(self, key: SigningKey, stamp: Stamp) -> list[Bytes]:
        """The request's body for whom has the key. Raises Unserializable for arguments that cannot be pickled."""
        try:
            pieces = seal_call(key, self.endpoint, self.call, stamp, self.home)
            seal.check_size(seal.size_of(pieces), self.limit, "arguments")
        except Unserializable as error:
            raise Unserializable(f"{self.shown}: {error.message}", next_step=error.next_step, path=error.path) from None
        return pieces

    def plain(self) -> bytes:
        """The job's input as JSON. Raises Unserializable for arguments that JSON cannot carry."""
        pieces: dict[str, Any] = {"args": self.call.arguments.args, "kwargs": self.call.arguments.kwargs}
        if self.call.constructor is not None:
            pieces |= {
                "constructor args": self.call.constructor.args,
                "constructor kwargs": self.call.constructor.kwargs,
            }
        return encode(wrap_call(self.call), {f"{self.shown}: {name}": piece for name, piece in pieces.items()})


def home_of(target: Any) -> str | None:
    """The module that replicas have a function's code in, where it stands in `__main__` here."""
    return own_home() if getattr(target, "__module__", None) == MAIN else None


def run_within(call: JobCall, timeout: float | None) -> Conversation[Any]:
    """Submit, wait at most `timeout` seconds (None: as long as it takes), return the value.

    It survives a gateway that restarts meanwhile. Raises RemoteError, DeadlineExceeded, Unavailable, NotFound.
    """
    deadline = None if timeout is None else time.monotonic() + timeout
    wait = WAIT if timeout is None else min(WAIT, timeout)
    document = yield from _submit(call, wait)
    if not _status(document).final:
        left = None if deadline is None else max(0.0, deadline - time.monotonic())
        document = yield from await_end(call, _id(document), left, of=timeout)
    return value_of(call, document)


def submit(call: JobCall) -> Conversation[str]:
    """Submit; returns the job's id."""
    document = yield from _submit(call, None)
    return _id(document)


def ask_status(call: JobCall, job: str) -> Conversation[JobStatus]:
    """Where the job is now."""
    document = yield from _get(call, f"status/{job}", _SLACK)
    return _status(document)


def ask_progress(call: JobCall, job: str) -> Conversation[Any]:
    """What the function said of its progress last, None if it said nothing."""
    document = yield from _get(call, f"status/{job}", _SLACK)
    if "progress" in document or _status(document).final:
        return document.get("progress")
    return document.get("output")


def ask_result(call: JobCall, job: str, timeout: float | None) -> Conversation[Any]:
    """Wait for the job's value; `timeout` in seconds, None for as long as it takes."""
    document = yield from await_end(call, job, timeout)
    return value_of(call, document)


def ask_to_wait(call: JobCall, job: str, timeout: float | None) -> Conversation[JobStatus]:
    """Wait for the job's end; `timeout` in seconds, None for as long as it takes. Raises DeadlineExceeded."""
    document = yield from await_end(call, job, timeout)
    return _status(document)


def ask_items(call: JobCall, job: str, known: int) -> Conversation[tuple[list[Any], bool]]:
    """What the job has yielded after the first `known` items, and whether that is all. Waits for news for a while.

    Items are numbered, and the job's output has all of them: an answer that got lost, or a second attempt that began
    anew, neither loses nor doubles any. Raises what the function raised.
    """
    document = yield from _get(call, f"stream/{job}?wait={round(ITEMS_WAIT * 1000)}&after={known}", ITEMS_WAIT + _SLACK)
    fresh: list[Any] = []
    whole = True
    for number, item in _items(call, document):
        position = known + len(fresh)
        if number is not None and number > position:
            whole = False
            break
        if number is None or number == position:
            fresh.append(item)
    if whole and (fresh or not _status(document).final):
        return fresh, False
    document = yield from await_end(call, job, None)
    value = value_of(call, document)
    items = value if isinstance(value, list) else [value]
    return items[known:], True


def ask_to_cancel(call: JobCall, job: str) -> Conversation[JobStatus]:
    """Cancel; returns the status afterwards, which is another one where the job had ended before."""
    request = Request("POST", f"/v2/{call.endpoint}/cancel/{job}", headers=credentials(), timeout=_SLACK)
    response = yield from ask(request)
    return _status(_document(response, call))


def await_end(
    call: JobCall, job: str, timeout: float | None, of: float | None = None
) -> Conversation[Mapping[str, Any]]:
    """Ask until the job has its final status; returns the status document. Raises DeadlineExceeded.

    `of` is what was asked for, where a part of it is over already.
    """
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
                f"{call.shown}: job {job} had not ended after {of or timeout:g} s; it goes on",
                next_step=f"see what keeps it: flashcore why {call.endpoint}; GET /v2/{call.endpoint}/status/{job}",
                job=job,
            )
        if now - asked < pause:  # somebody who does not hold requests is not asked without end
            yield Pause(pause if deadline is None else min(pause, deadline - now))
            pause = min(2 * pause, 1.0)


def value_of(call: JobCall, document: Mapping[str, Any]) -> Any:
    """The value of a finished job. Raises what the function raised, RemoteError or DeadlineExceeded."""
    output, shown = document.get("output"), call.shown
    if isinstance(output, Sealed):
        # An exception, too, comes this way.
        return open_reply(output.key, call.endpoint, output.data, _answers(call), shown)
    if _status(document) is JobStatus.COMPLETED:
        return unwrap_value(output)
    raise failure_of(document, shown)


def failure_of(document: Mapping[str, Any], shown: str) -> FlashcoreError:
    """Why a job has ended without a value."""
    status, job = _status(document), document.get("id")
    if status is JobStatus.TIMED_OUT:
        return DeadlineExceeded(
            f"{shown}: job {job} ran out of time: {document.get('error') or 'its ttl or execution timeout passed'}",
            next_step="raise ttl or execution_timeout of the endpoint",
            job=job,
        )
    if status is JobStatus.CANCELLED:
        return RemoteError(f"{shown}: job {job} was cancelled", type_name="Cancelled", job=job)
    return remote_error(document.get("error", "the job failed and left no error"), shown)


def _submit(call: JobCall, wait: float | None) -> Conversation[Mapping[str, Any]]:
    """Submit a job under a key of its own: sent twice, it is the same job."""
    timeout = _SLACK + (wait or 0.0)
    pieces: tuple[Bytes, ...]
    if call.key is not None and call.stamp is not None:
        media, key = seal.MEDIA, call.stamp.nonce.hex()
        pieces = tuple(call.sealed(call.key, call.stamp))
    else:
        media, key = "application/json", seal.new_nonce().hex()
        pieces = (call.plain(),)
    told = yield from hand_in(Submission(call.endpoint, wait, pieces, media, key, trace_headers(), timeout))
    if isinstance(told, Response):
        return _document(told, call)
    if told.is_apart:
        return (yield from _get(call, f"status/{_id(told.document)}", _SLACK))
    if told.output is None:
        return told.document
    return {**told.document, "output": _output(call, *told.output)}


def _get(call: JobCall, route: str, timeout: float) -> Conversation[Mapping[str, Any]]:
    request = Request("GET", f"/v2/{call.endpoint}/{route}", headers=_headers(call), timeout=timeout)
    return _document((yield from insist(request)), call)


def _headers(call: JobCall) -> dict[str, str]:
    """Who calls, and what it can read."""
    return credentials() if call.key is None else {"Accept": documents.MEDIA, **credentials()}


def credentials() -> dict[str, str]:
    """The header that says who calls: by FLASHCORE_TOKEN, or by the token of the project whose gateway is called."""
    shown = authorization()
    return {"Authorization": shown} if shown else {}


def authorization() -> str:
    """The same header's value; empty where there is no token."""
    token = os.environ.get("FLASHCORE_TOKEN") or own_token()
    return f"Bearer {token}" if token else ""


@light
class Sealed:
    """An output that nobody has looked into yet."""

    key: SigningKey
    data: memoryview


def _document(response: Response, call: JobCall) -> Mapping[str, Any]:
    shown = call.shown
    if response.status >= 400:
        raise error_of(response, shown)
    if response.headers.get("content-type") == documents.MEDIA:
        return _from_frame(response, call)
    try:
        document = json.loads(response.body)
    except ValueError as error:
        raise _strange(shown, f"no JSON: {response.body[:80]!r}") from error
    if not isinstance(document, Mapping):
        raise _strange(shown, f"no object: {document!r}")
    return document


def _from_frame(response: Response, call: JobCall) -> Mapping[str, Any]:
    """A document whose outputs stood beside it; what a stream yielded stands under `stream` again."""
    document, outputs = documents.decode_document(response.package)
    values = [_output(call, media, data) for media, data in outputs]
    shown = {"output": values[0]} if len(values) == 1 else {}
    return {**document, **shown, "stream": [{"output": value} for value in values]}


def _output(call: JobCall, media: str, data: memoryview) -> Any:
    if media == seal.MEDIA and call.key is not None:
        return Sealed(call.key, data)
    if media == "application/json":
        return json.loads(bytes(data))
    raise _strange(call.shown, f"an output of type {media}")


def _items(call: JobCall, document: Mapping[str, Any]) -> Iterator[tuple[int | None, Any]]:
    """Number and value of each item; those of others' endpoints have no numbers."""
    for piece in document.get("stream", ()):
        output = piece.get("output") if isinstance(piece, Mapping) else piece
        if isinstance(output, Sealed):
            yield open_item(output.key, call.endpoint, output.data, _answers(call))
        else:
            yield unwrap_item(output)


def _answers(call: JobCall) -> bytes | None:
    return None if call.stamp is None else call.stamp.nonce


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
