"""A call as a conversation of requests and pauses: written once, carried on blocking or awaited.

A conversation is a generator. It yields what is to happen next and is sent the response, or thrown the error.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias, TypeVar

from flashcore.model.errors import Unavailable
from flashcore.model.light import light
from flashcore.model.names import EndpointName
from flashcore.wire import documents, seal
from flashcore.wire.calls import MISDIRECTED
from flashcore.wire.seal import Bytes, size_of

T = TypeVar("T")

Body: TypeAlias = Bytes | Sequence[Bytes] | None
"""One piece or several; large ones are sent from where they lie."""

IDEMPOTENCY_KEY = "Idempotency-Key"
"""The header by which a gateway knows a request that it has carried out already."""


@dataclass(frozen=True, slots=True)
class Request:
    """One HTTP request. `target` is path and query from the gateway's root; `timeout` in seconds."""

    method: str
    target: str
    body: Body = None
    headers: Mapping[str, str] = field(default_factory=dict)
    timeout: float = 30.0
    once: bool = False
    """It is refused when it comes a second time, whatever its method: its signature holds once."""

    @property
    def pieces(self) -> tuple[Bytes, ...]:
        """The body, to be sent piece by piece."""
        body = self.body
        if body is None:
            return ()
        return (body,) if isinstance(body, bytes | bytearray | memoryview) else tuple(body)

    @property
    def framing(self) -> dict[str, str]:
        """The header that says how long the body is; none for a request that has none by its nature."""
        if self.body is None and self.method in ("GET", "HEAD"):
            return {}
        return {"Content-Length": str(size_of(self.pieces))}

    @property
    def repeatable(self) -> bool:
        """Whether it may be sent again when nobody knows if it arrived: it changes nothing, or changes it once."""
        return not self.once and (self.method in ("GET", "HEAD") or IDEMPOTENCY_KEY in self.headers)


@dataclass(frozen=True, slots=True)
class Response:
    """What came back. Header names are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    memory: memoryview | None = None
    """Where the body is instead, if it is one of ours: it can be written to, arrays in it are the caller's own."""

    @property
    def package(self) -> Bytes:
        """The body of one of ours."""
        return self.body if self.memory is None else self.memory


@light
class Told:
    """What a link says of a job: its status document, and beside it the type and the bytes of its output."""

    document: Mapping[str, Any]
    output: tuple[str, memoryview] | None
    is_apart: bool = False
    """The document is to be asked for over HTTP, and with it the output."""


@light
class Submission:
    """One job, to be sent over a link where there is one, else over HTTP. Sent twice, it is the same job.

    `wait` in seconds: how long the answer may be held until the job has ended; None: it comes once the job is accepted.
    """

    endpoint: EndpointName
    wait: float | None
    pieces: tuple[Bytes, ...]
    media: str
    key: str
    trace: Mapping[str, str]
    timeout: float

    def request(self, authorization: str = "") -> Request:
        """The same as a request, with this header where it is not empty."""
        route = "run" if self.wait is None else f"runsync?wait={round(self.wait * 1000)}"
        sealed = {"Accept": documents.MEDIA} if self.media == seal.MEDIA else {}
        token = {"Authorization": authorization} if authorization else {}
        headers = {"Content-Type": self.media, IDEMPOTENCY_KEY: self.key, **self.trace, **sealed, **token}
        body = self.pieces if self.media == seal.MEDIA else (b'{"input":', *self.pieces, b"}")
        return Request("POST", f"/v2/{self.endpoint}/{route}", body, headers, self.timeout)


def is_ours(headers: Mapping[str, str]) -> bool:
    """Whether an answer holds packages of ours, with arrays in them perhaps."""
    return headers.get("content-type") in (seal.MEDIA, documents.MEDIA)


@dataclass(frozen=True, slots=True)
class Pause:
    """Nothing to do for this many seconds."""

    seconds: float


Step: TypeAlias = Request | Submission | Pause
Conversation: TypeAlias = Generator[Step, Any, T]


PATIENCE = 30.0
"""Seconds for which a gateway that went away is asked again. It is restarted, and jobs that it accepted are on disk."""

_LONGEST_PAUSE = 1.0


def insist(request: Request, anew: Callable[[], Request] | None = None) -> Conversation[Response]:
    """Send a request until there is a response; one that may have arrived is sent again only if it is repeatable.

    `anew` makes it once more for another attempt, for one that may be repeated and cannot be sent twice as it is.
    Raises Unavailable when the gateway was away for more than PATIENCE seconds, and at once when it was never there.
    """
    patience = _Patience(repeatable=request.repeatable or anew is not None)
    while True:
        try:
            return (yield from ask(request))
        except Unavailable as error:
            pause = patience.pause(error)
        yield pause
        request = request if anew is None else anew()


def hand_in(submission: Submission) -> Conversation[Response | Told]:
    """Send a job until something is said of it. Raises Unavailable as `insist` does."""
    patience = _Patience(repeatable=True)
    while True:
        try:
            told: Response | Told = yield submission
            if not isinstance(told, Response) or told.status != MISDIRECTED:
                return told
            pause = patience.pause(Unavailable("the gateway stops", next_step="start it again", sent=True))
        except Unavailable as error:
            pause = patience.pause(error)
        yield pause


class _Patience:
    """How long somebody who does not get through goes on trying."""

    __slots__ = ("_lost_at", "_next", "_repeatable")

    def __init__(self, *, repeatable: bool) -> None:
        self._repeatable = repeatable
        self._lost_at: float | None = None
        self._next = 0.05

    def pause(self, error: Unavailable) -> Pause:
        """Until the next attempt. Raises the error where there is none."""
        now = time.monotonic()
        away = error.data.get("answered_before") or self._lost_at is not None
        if not (self._repeatable if error.data.get("sent") else away):
            raise error
        self._lost_at = now if self._lost_at is None else self._lost_at
        if now - self._lost_at > PATIENCE:
            raise error
        pause, self._next = self._next, min(2 * self._next, _LONGEST_PAUSE)
        return Pause(pause)


def ask(request: Request) -> Conversation[Response]:
    """Send one request and return its response."""
    response: Response = yield request
    return response
