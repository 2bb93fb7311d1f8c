"""The messages of flashcore's own connections, and their frames.

control socket   the replica listens, its provider connects
                 replica: Hello, then Status at every change;  provider: Drain
worker socket    the gateway listens, queue replicas connect
                 worker: Hello; gateway: Welcome or Refusal; gateway: Work, Stop, Received, Taken; worker: Serves,
                 Results, Chunk, Progress, Beat, Leaving. Results are kept by the worker until they are Received, chunks
                 until they are Taken, and sent again after a reconnect
data plane       the gateway listens, the control plane connects
                 control: ControlHello; gateway: ControlWelcome. A gateway of before they were there hangs up, and is
                 called again without a hello
                 control: Table, TableUpdate, Access, Quiesce; gateway: Applied, Signals, Trouble, Quiesced
                 control: Part, of a Table or TableUpdate that is too long for a frame
calls            the gateway listens, callers connect: see `calls`, which has its own messages
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any

from flashcore.model.codec import CodecError, from_json, known_part, to_json
from flashcore.model.errors import ProtocolError
from flashcore.model.job import Payload
from flashcore.model.light import light
from flashcore.model.names import EndpointName, JobId
from flashcore.wire.frames import Frame
from flashcore.wire.hello import Hello, Status
from flashcore.wire.versions import VersionRange


class Kind(IntEnum):
    """Numbers of the messages on the wire; never reused."""

    HELLO = 1
    STATUS = 2
    DRAIN = 3
    WELCOME = 10
    REFUSAL = 11
    WORK = 12
    STOP = 13
    RECEIVED = 14
    RESULTS = 15
    CHUNK = 16
    PROGRESS = 17
    BEAT = 18
    LEAVING = 19
    SERVES = 20
    TAKEN = 21
    TABLE = 30
    APPLIED = 31
    SIGNALS = 32
    ACCESS = 33
    TABLE_UPDATE = 34
    CONTROL_HELLO = 35
    CONTROL_WELCOME = 36
    TROUBLE = 37
    QUIESCE = 38
    QUIESCED = 39
    SUBMIT = 41
    FORGET = 42
    ANSWERS = 43
    REFUSALS = 44
    GOING = 45
    PART = 46


@dataclass(frozen=True, slots=True)
class Drain:
    """Stop: take nothing new, finish within `grace` seconds, then end with status 0."""

    grace: float


@dataclass(frozen=True, slots=True)
class Welcome:
    """The gateway accepts the worker; it wants to hear something every `heartbeat` seconds."""

    protocol: int
    heartbeat: float


@dataclass(frozen=True, slots=True)
class Refusal:
    """The gateway does not want this worker. `final`: it should end; otherwise it may come again later."""

    reason: str
    final: bool


@light
class Assignment:
    """One job. `timeout` is in seconds from now; `input` is a Payload without its bytes, which travel as a buffer."""

    id: JobId
    attempt: int
    timeout: float
    input: Payload
    context: Mapping[str, str] = field(default_factory=dict)


@light
class Work:
    """Jobs for a worker, never more than it has free slots."""

    jobs: tuple[Assignment, ...]


@light
class Stop:
    """These jobs are cancelled, out of time, or no longer this worker's."""

    ids: tuple[JobId, ...]


@light
class Received:
    """The results of these jobs are stored (or were stale): the worker may forget them."""

    ids: tuple[JobId, ...]


@light
class Result:
    """The end of one attempt. `error` set means that the function failed.

    `released`: it did not run to its end, through no fault of the job (a drain); it goes back to the queue uncharged.
    `unfit`: the function cannot be called so, and did not begin; it takes this, as in `greet(name, loud)`.
    """

    id: JobId
    attempt: int
    output: Payload | None = None
    error: str | None = None
    released: bool = False
    unfit: str | None = None


@light
class Results:
    """Ends of attempts, several in one frame."""

    results: tuple[Result, ...]


@light
class Chunk:
    """One item of a generator's stream. The items of an attempt are numbered from 0; None: nobody counts."""

    id: JobId
    attempt: int
    value: Payload
    number: int | None = None


@light
class Taken:
    """The first `chunks` chunks of that attempt are stored: the worker may forget them."""

    id: JobId
    attempt: int
    chunks: int


@dataclass(frozen=True, slots=True)
class Serves:
    """What the worker's functions take, by name: `greet` -> `greet(name, loud)`."""

    takes: Mapping[str, str]


@light
class Progress:
    """The latest progress of a job."""

    id: JobId
    attempt: int
    value: Payload


@light
class Beat:
    """The worker lives and works on these jobs."""

    ids: tuple[JobId, ...]
    slots: int | None = None
    """Jobs that it takes at the same time from now on, where that is not what its hello said."""


@dataclass(frozen=True, slots=True)
class Leaving:
    """The worker takes no more work; the connection stays until its results are Received."""


@dataclass(frozen=True, slots=True)
class Table:
    """A routing table (the JSON form of model.table.RoutingTable), whole; a gateway keeps the newest version."""

    version: int
    table: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class TableUpdate:
    """What makes a table out of the one that the gateway acknowledged: the JSON form of model.table.TableChange.

    A gateway that serves by another table than its base says by which (Applied), and is sent the whole one.
    """

    version: int
    change: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class ControlHello:
    """The versions of the data plane that a control plane speaks; its first message."""

    protocol: VersionRange


@dataclass(frozen=True, slots=True)
class ControlWelcome:
    """The version that the gateway chose."""

    protocol: int


@dataclass(frozen=True, slots=True)
class Applied:
    """The gateway serves by this version now, or refuses it and keeps the old one (`refused` says why)."""

    version: int
    refused: str | None = None


@dataclass(frozen=True, slots=True)
class Trouble:
    """Why the gateway cannot keep jobs at present; empty when it can. Only to who said hello."""

    reason: str


@dataclass(frozen=True, slots=True)
class Quiesce:
    """Take no new work from callers, and say when what they have asked for is answered: within `grace` seconds.

    It holds for as long as the connection that it came over.
    """

    grace: float


@dataclass(frozen=True, slots=True)
class Quiesced:
    """The gateway takes nothing new, and `left` requests are still under way after the grace."""

    left: int


@dataclass(frozen=True, slots=True)
class Part:
    """A piece of the JSON text of a message of that kind; `wire.parts` puts them together."""

    of: int
    piece: Payload
    last: bool


@dataclass(frozen=True, slots=True)
class Signals:
    """What a gateway sees of one endpoint: the JSON form of model.table.EndpointSignals."""

    endpoint: EndpointName
    signals: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Access:
    """All tokens but the environment's own: the JSON forms of model.token.Token, which hold no secret."""

    tokens: tuple[Mapping[str, Any], ...]


Message = (
    Hello | Status | Drain | Welcome | Refusal | Work | Stop | Received | Results | Chunk | Progress | Beat | Leaving
    | Serves | Taken | Table | TableUpdate | Applied | Signals | Access | ControlHello | ControlWelcome | Trouble
    | Quiesce | Quiesced | Part
)  # fmt: skip

_KIND_OF: Mapping[type, Kind] = {
    Hello: Kind.HELLO,
    Status: Kind.STATUS,
    Drain: Kind.DRAIN,
    Welcome: Kind.WELCOME,
    Refusal: Kind.REFUSAL,
    Work: Kind.WORK,
    Stop: Kind.STOP,
    Received: Kind.RECEIVED,
    Results: Kind.RESULTS,
    Chunk: Kind.CHUNK,
    Progress: Kind.PROGRESS,
    Beat: Kind.BEAT,
    Leaving: Kind.LEAVING,
    Serves: Kind.SERVES,
    Taken: Kind.TAKEN,
    Table: Kind.TABLE,
    Applied: Kind.APPLIED,
    Signals: Kind.SIGNALS,
    Access: Kind.ACCESS,
    TableUpdate: Kind.TABLE_UPDATE,
    ControlHello: Kind.CONTROL_HELLO,
    ControlWelcome: Kind.CONTROL_WELCOME,
    Trouble: Kind.TROUBLE,
    Quiesce: Kind.QUIESCE,
    Quiesced: Kind.QUIESCED,
    Part: Kind.PART,
}
_TYPE_OF: Mapping[int, type] = {int(kind): cls for cls, kind in _KIND_OF.items()}

_GREETINGS = frozenset({Hello, ControlHello})
"""What is said before peers have agreed on a version: a later one's may say more than is known here."""


def to_frame(message: Message) -> Frame:
    """The message as a frame; payload bytes become buffers, in the order in which they stand in the message."""
    buffers: list[bytes | memoryview] = []
    return Frame(_KIND_OF[type(message)], _with_buffers(message, buffers), tuple(buffers))


def from_frame(frame: Frame) -> Message:
    """The message that a frame holds. Raises ProtocolError for an unknown kind or fields that do not fit."""
    quick = _QUICK.get(frame.kind)
    if quick is not None and (read := quick(frame.head, iter(frame.buffers))) is not None:
        return read
    cls = _TYPE_OF.get(frame.kind)
    if cls is None:
        raise ProtocolError(f"a message of unknown kind {frame.kind}", next_step="upgrade the older process")
    remaining = list(frame.buffers)
    try:
        head = known_part(cls, frame.head) if cls in _GREETINGS else frame.head
        message: Message = from_json(cls, _refill(head, remaining) if remaining else head)
    except (CodecError, IndexError, RecursionError) as error:
        raise ProtocolError(f"a {cls.__name__} message does not fit: {error}") from error
    return message


def _with_buffers(message: Message, buffers: list[bytes | memoryview]) -> Mapping[str, Any]:
    match message:
        case Work():
            return {"jobs": [_assignment_head(job, buffers) for job in message.jobs]}
        case Results():
            return {"results": [_result_head(result, buffers) for result in message.results]}
        case Chunk(number=int(number)):
            value = _payload_head(message.value, buffers)
            return {"id": message.id, "attempt": message.attempt, "value": value, "number": number}
        case Chunk() | Progress():
            return {"id": message.id, "attempt": message.attempt, "value": _payload_head(message.value, buffers)}
        case Part(kind, piece, last):
            return {"of": kind, "piece": _payload_head(piece, buffers), "last": last}
        case Beat(ids, None):
            return {"ids": list(ids)}
        case Table():
            # Tables are JSON already; walking a large one again takes longer than sending it.
            return {"version": message.version, "table": message.table}
        case _:
            head: Mapping[str, Any] = to_json(message)
            return head


def _assignment_head(job: Assignment, buffers: list[bytes | memoryview]) -> Mapping[str, Any]:
    return {
        "id": job.id,
        "attempt": job.attempt,
        "timeout": job.timeout,
        "input": _payload_head(job.input, buffers),
        "context": dict(job.context),
    }


def _result_head(result: Result, buffers: list[bytes | memoryview]) -> Mapping[str, Any]:
    head: dict[str, Any] = {"id": result.id, "attempt": result.attempt, "error": result.error}
    if result.output is not None:
        head["output"] = _payload_head(result.output, buffers)
    if result.released:
        head["released"] = True
    if result.unfit is not None:
        head["unfit"] = result.unfit
    return head


def _payload_head(payload: Payload, buffers: list[bytes | memoryview]) -> Mapping[str, Any]:
    buffers.append(payload.data)
    return {"data": None, "media": payload.media}


# Work and results are most of what is ever read, and the codec takes a tenth of a gateway's time for them. What is as
# `to_frame` writes it is read here; of anything else nothing is, and the codec takes it, or says what does not fit.


def _quick_work(head: Mapping[str, Any], buffers: Iterator[bytes | memoryview]) -> Work | None:
    items = head.get("jobs")
    if len(head) != 1 or type(items) is not list:
        return None
    jobs: list[Assignment] = []
    for item in items:
        job = _quick_assignment(item, buffers)
        if job is None:
            return None
        jobs.append(job)
    return Work(tuple(jobs))


def _quick_assignment(item: Any, buffers: Iterator[bytes | memoryview]) -> Assignment | None:
    if type(item) is not dict or item.keys() != _ASSIGNMENT:
        return None
    job, attempt, timeout, context = item["id"], item["attempt"], item["timeout"], item["context"]
    if type(job) is not str or type(attempt) is not int or type(timeout) is not float or type(context) is not dict:
        return None
    for key, value in context.items():
        if type(key) is not str or type(value) is not str:
            return None
    payload = _quick_payload(item["input"], buffers)
    return None if payload is None else Assignment(JobId(job), attempt, timeout, payload, dict(context))


def _quick_received(head: Mapping[str, Any], _: Iterator[bytes | memoryview]) -> Received | None:
    ids = head.get("ids")
    if len(head) != 1 or type(ids) is not list:
        return None
    for job in ids:
        if type(job) is not str:
            return None
    return Received(tuple(ids))


def _quick_results(head: Mapping[str, Any], buffers: Iterator[bytes | memoryview]) -> Results | None:
    items = head.get("results")
    if len(head) != 1 or type(items) is not list:
        return None
    results: list[Result] = []
    for item in items:
        result = _quick_result(item, buffers)
        if result is None:
            return None
        results.append(result)
    return Results(tuple(results))


def _quick_result(item: Any, buffers: Iterator[bytes | memoryview]) -> Result | None:
    if type(item) is not dict or not _RESULT_AT_LEAST <= item.keys() <= _RESULT:
        return None
    job, attempt, error, released = item["id"], item["attempt"], item["error"], item.get("released", False)
    if type(job) is not str or type(attempt) is not int or type(released) is not bool:
        return None
    if error is not None and type(error) is not str:
        return None
    if "unfit" in item:
        return None  # rare, and for the codec to read
    if "output" not in item:
        return Result(JobId(job), attempt, None, error, released)
    payload = _quick_payload(item["output"], buffers)
    return None if payload is None else Result(JobId(job), attempt, payload, error, released)


def _quick_payload(value: Any, buffers: Iterator[bytes | memoryview]) -> Payload | None:
    if type(value) is not dict or value.keys() != _PAYLOAD or value["data"] is not None:
        return None
    media = value["media"]
    data = next(buffers, None)
    return Payload(data, media) if data is not None and type(media) is str else None


_ASSIGNMENT = frozenset({"id", "attempt", "timeout", "input", "context"})
_RESULT_AT_LEAST = frozenset({"id", "attempt", "error"})
_RESULT = _RESULT_AT_LEAST | {"output", "released"}
_PAYLOAD = frozenset({"data", "media"})
_QUICK: Mapping[int, Callable[[Mapping[str, Any], Iterator[bytes | memoryview]], Work | Results | Received | None]] = {
    Kind.RECEIVED: _quick_received,
    Kind.WORK: _quick_work,
    Kind.RESULTS: _quick_results,
}


def _refill(value: Any, buffers: list[bytes | memoryview]) -> Any:
    """Put the buffers back where `_payload_head` took them out, in the same order."""
    if isinstance(value, dict):
        if value.keys() == _PAYLOAD and value["data"] is None:
            return {"data": buffers.pop(0), "media": value["media"]}
        return {key: _refill(item, buffers) for key, item in value.items()}
    if isinstance(value, list):
        return [_refill(item, buffers) for item in value]
    return value
