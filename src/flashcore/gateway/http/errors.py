"""What can go wrong with one HTTP message, and how an attempt at a replica can end.

ProtocolError
├── BadRequest     a client's message that is not served; knows its status
├── BadAnswer      a replica's message that is not passed on
└── BadFraming     a body whose end cannot be told: either of the two, by whose it is
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Any

from flashcore.model.errors import ProtocolError


class BadRequest(ProtocolError):
    """A client's message that is refused, and its connection ended. `reason` is the refusal's stable name."""

    code = "bad_request"

    def __init__(self, status: int, reason: str, message: str, **data: Any) -> None:
        super().__init__(message, **data)
        self.status = status
        self.reason = reason


def accident(error: BaseException) -> BadRequest:
    """What a caller is told of a failure of ours. A lack of memory passes, often with the next answer that is sent."""
    if isinstance(error, MemoryError):
        return BadRequest(503, "no_memory", "The gateway has no memory left for this; ask again, or ask for less.")
    return BadRequest(500, "internal", "The gateway failed; its log says why.")


class BadAnswer(ProtocolError):
    """A replica's head that is no HTTP/1 answer, or that does not say where its body ends."""

    code = "bad_answer"


class BadFraming(ProtocolError):
    """A chunked body that breaks its own rules."""

    code = "bad_framing"


class OutcomeKind(Enum):
    """How one attempt at one replica ended. Only ANSWERED says anything of the replica's own view of the request."""

    ANSWERED = "answered"
    """A whole answer was passed on; its status tells the rest."""

    CONNECT_FAILED = "connect_failed"
    """No connection: nothing was sent."""

    LOST = "lost"
    """The connection ended before the first byte of an answer."""

    TRUNCATED = "truncated"
    """The connection ended within the answer; the client's was closed so that it can see it."""

    DRAINING = "draining"
    """The replica said that it is going away."""

    UNAVAILABLE = "unavailable"
    """The replica answered 503, and another one was asked."""

    MISMATCH = "mismatch"
    """The replica is not the instance that was asked for (421)."""

    KEY_REFUSED = "key_refused"
    """The replica does not know the gateway's key, and let nothing in."""

    INVALID = "invalid"
    """What came back is not HTTP/1."""

    TIMED_OUT = "timed_out"
    """No first byte in the time that the route allows."""

    CLIENT_GONE = "client_gone"
    """The client left, or stopped reading; says nothing of the replica."""


@dataclass(slots=True)  # not frozen: one is made for every request
class Outcome:
    """How one attempt ended. `status` is 0 where there was no answer; `first_byte` is seconds, 0.0 where none came."""

    kind: OutcomeKind
    status: int = 0
    first_byte: float = 0.0
    detail: str = ""
