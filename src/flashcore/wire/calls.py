"""The link of callers: many calls over one connection, with no request of HTTP for each.

It is opened by a request to the gateway's HTTP port. So it needs no port of its own, works behind TLS, and asks for the
same token:

    GET /v2/-/calls HTTP/1.1
    Host: localhost:8700
    Authorization: Bearer TOKEN
    Connection: Upgrade
    Upgrade: flashcore-calls/1

101 says that both sides send frames from here on. Any other answer says that there are none to be sent, as of gateways
that do not know of it: the caller then uses plain HTTP.

caller     Submit    {"jobs": [[number, endpoint, wait, key, media, more], ...]}, a buffer for each: its input
           Forget    {"numbers": [number, ...]}: nobody waits for these answers any longer; the jobs go on
gateway    Answers   {"jobs": [[number, document, output], ...]}, a buffer for each output that is here
           Refusals  {"jobs": [[number, status, after], ...]}, a buffer for each: the error as in a body of HTTP
           Going     {}: submit over another connection; what was submitted here is answered before this one ends,
                     and what is on its way is refused with status 421
                     {"error": {...}}, as in a body of HTTP: this connection ends now, for what the caller does

`number` is the caller's, and no two calls under way have the same. `wait` is in milliseconds: how long the answer may
be held until the job has ended; with 0 it comes once the job is kept. `key` is the idempotency key, or nothing; a
sealed input has its own. `more` may hold `traceparent`, `tracestate`, `x-request-id`, `lane` (as the header
X-Flashcore-Key) and `policy` (as in a body of HTTP). `document` is the status document; `output` the output's media
type, null where there is none, and true where it, or the document, is too large to hold up others: the status is asked
for over HTTP then. `after` is seconds, or null.

A connection that breaks takes its answers along, not its jobs: a caller submits again under the same key, over another.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias

from flashcore.model.errors import ProtocolError
from flashcore.model.job import Payload
from flashcore.wire.compact import json_text
from flashcore.wire.frames import Frame, FrameLimits, encode_frame
from flashcore.wire.messages import Kind

MISDIRECTED = 421
"""The status of a job that is to be submitted over another connection."""

PATH = "/v2/-/calls"
"""No endpoint has such a name."""

PROTOCOL = "flashcore-calls/1"
"""What the caller wants to change to."""

LARGEST = 1 << 20
"""Bytes of an input or an output that go over a link."""

MOST_JOBS = 1024
"""Jobs in one frame."""

LONGEST_DOCUMENT = 1 << 16
"""Characters of an error and of a progress that go over a link; a longer document is asked for over HTTP."""

LIMITS = FrameLimits(head=4 << 20, buffers=MOST_JOBS, body=4 * LARGEST)
"""What a gateway takes. Frames are closed once they have LARGEST bytes, or MOST_JOBS jobs."""

ANSWER_LIMITS = FrameLimits(head=16 << 20, buffers=MOST_JOBS, body=4 * LARGEST)
"""What a caller takes."""


# Tuples: one is made for each job.


class Submission(NamedTuple):
    """One job that is asked for."""

    number: int
    endpoint: str
    wait: int
    key: str
    input: Payload
    more: Mapping[str, Any]


class Answer(NamedTuple):
    """How a job is."""

    number: int
    document: Mapping[str, Any]
    output: Payload | None
    is_apart: bool = False
    """The whole document is asked for over HTTP, and with it the output."""


class WrittenAnswer(NamedTuple):
    """An answer to be sent."""

    number: int
    document: str
    """Its JSON."""
    output: Payload | None
    is_apart: bool = False


class Refusal(NamedTuple):
    """A job that was not taken, or of which nobody can say anything."""

    number: int
    status: int
    after: float | None
    error: bytes | memoryview


class Going(NamedTuple):
    """The gateway stops, or wants no more of this link, for which it then has a reason."""

    error: Mapping[str, Any] | None = None


FromGateway: TypeAlias = Sequence[Answer] | Sequence[Refusal] | Going


def submit_frame(submissions: Sequence[Submission]) -> Frame:
    """At most MOST_JOBS of them as a frame."""
    jobs = [[one.number, one.endpoint, one.wait, one.key, one.input.media, one.more] for one in submissions]
    return Frame(Kind.SUBMIT, {"jobs": jobs}, tuple([one.input.data for one in submissions]))


def forget_frame(numbers: Sequence[int]) -> Frame:
    """Nobody waits for these."""
    return Frame(Kind.FORGET, {"numbers": list(numbers)})


def encode_answers(answers: Sequence[WrittenAnswer]) -> bytes:
    """At most MOST_JOBS of them as the bytes of a frame. Raises ValueError for half a character."""
    jobs: list[str] = []
    outputs: list[bytes | memoryview] = []
    for number, document, output, is_apart in answers:
        if output is None:
            jobs.append(f"[{number},{document},{'true' if is_apart else 'null'}]")
        else:
            jobs.append(f"[{number},{document},{json_text(output.media)}]")
            outputs.append(output.data)
    return encode_frame(Frame(Kind.ANSWERS, buffers=tuple(outputs)), f'{{"jobs":[{",".join(jobs)}]}}'.encode())


def refusals_frame(refusals: Sequence[Refusal]) -> Frame:
    """At most MOST_JOBS of them as a frame."""
    jobs = [[one.number, one.status, one.after] for one in refusals]
    return Frame(Kind.REFUSALS, {"jobs": jobs}, tuple(one.error for one in refusals))


def going_frame(reason: Mapping[str, Any] | None = None) -> Frame:
    """Submit elsewhere. `reason` is an error as in a body of HTTP, where the link ends for what the caller does."""
    return Frame(Kind.GOING, reason or {})


def read_submissions(frame: Frame) -> list[Submission]:
    """What a Submit frame holds. Raises ProtocolError."""
    items = _items(frame, "jobs")
    if len(items) != len(frame.buffers):
        raise _unfit(f"{len(items)} jobs with {len(frame.buffers)} inputs")
    return [_submission(item, data) for item, data in zip(items, frame.buffers, strict=True)]


def read_forgotten(frame: Frame) -> list[int]:
    """What a Forget frame holds. Raises ProtocolError."""
    numbers = _items(frame, "numbers")
    if any(type(number) is not int for number in numbers):
        raise _unfit("a number that is none")
    return numbers


def read_from_gateway(frame: Frame) -> FromGateway:
    """What a gateway has sent. Raises ProtocolError."""
    if frame.kind == Kind.ANSWERS:
        buffers = list(reversed(frame.buffers))
        answers = [_answer(item, buffers) for item in _items(frame, "jobs")]
        if buffers:
            raise _unfit("more outputs than answers that have one")
        return answers
    if frame.kind == Kind.REFUSALS:
        items = _items(frame, "jobs")
        if len(items) != len(frame.buffers):
            raise _unfit(f"{len(items)} refusals with {len(frame.buffers)} errors")
        return [_refusal(item, error) for item, error in zip(items, frame.buffers, strict=True)]
    if frame.kind == Kind.GOING:
        error = frame.head.get("error")
        if not (error is None or type(error) is dict):
            raise _unfit("an end for an error that is none")
        return Going(error)
    raise ProtocolError(f"a frame of kind {frame.kind} from a gateway", next_step="upgrade the older process")


def _items(frame: Frame, name: str) -> list[Any]:
    items = frame.head.get(name)
    if type(items) is not list or len(items) > MOST_JOBS:
        raise _unfit(f"no {name}, or more than {MOST_JOBS}")
    return items


def _submission(item: Any, data: bytes | memoryview) -> Submission:
    if type(item) is not list or len(item) != 6:
        raise _unfit("a job that is no list of six")
    number, endpoint, wait, key, media, more = item
    if type(number) is not int or type(endpoint) is not str or type(wait) is not int or wait < 0:
        raise _unfit("a job without its number, endpoint or wait")
    if type(key) is not str or type(media) is not str or type(more) is not dict:
        raise _unfit(f"job {number} without its key, media type or what belongs to it")
    return Submission(number, endpoint, wait, key, Payload(data, media), more)


def _answer(item: Any, buffers: list[bytes | memoryview]) -> Answer:
    if type(item) is not list or len(item) != 3:
        raise _unfit("an answer that is no list of three")
    number, document, output = item
    if type(number) is not int or type(document) is not dict:
        raise _unfit("an answer without its number or document")
    if output is None or output is True:
        return Answer(number, document, None, output is True)
    if type(output) is not str or not buffers:
        raise _unfit(f"answer {number} without its output")
    return Answer(number, document, Payload(buffers.pop(), output))


def _refusal(item: Any, error: bytes | memoryview) -> Refusal:
    if type(item) is not list or len(item) != 3:
        raise _unfit("a refusal that is no list of three")
    number, status, after = item
    if type(number) is not int or type(status) is not int or not (after is None or type(after) in (int, float)):
        raise _unfit("a refusal without its number or status")
    return Refusal(number, status, after, error)


def _unfit(what: str) -> ProtocolError:
    return ProtocolError(f"a frame of a calls link does not fit: {what}", next_step="upgrade the older process")
