"""A call as a conversation of requests and pauses: written once, carried on blocking or awaited.

A conversation is a generator. It yields what is to happen next and is sent the response, or thrown the error.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias, TypeVar

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Request:
    """One HTTP request. `target` is path and query from the gateway's root; `timeout` in seconds."""

    method: str
    target: str
    body: bytes | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    timeout: float = 30.0

    @property
    def repeatable(self) -> bool:
        """Whether it may be sent again when nobody knows if it arrived."""
        return self.method in ("GET", "HEAD")


@dataclass(frozen=True, slots=True)
class Response:
    """What came back. Header names are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class Pause:
    """Nothing to do for this many seconds."""

    seconds: float


Step: TypeAlias = Request | Pause
Conversation: TypeAlias = Generator[Step, Any, T]


def ask(request: Request) -> Conversation[Response]:
    """Send one request and return its response."""
    response: Response = yield request
    return response
