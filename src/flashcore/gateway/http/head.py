"""The heads of requests and answers as values. Everything in them is bytes, as on the wire."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeAlias

from flashcore.gateway.http.outline import Outline

Headers: TypeAlias = tuple[tuple[bytes, bytes], ...]
"""Names in lower case, values without surrounding blanks, in the order of the wire."""

NO_TOKENS: frozenset[bytes] = frozenset()


# Not frozen: setting each field through object.__setattr__ would double what a head costs; nobody changes one.
@dataclass(slots=True, eq=False)
class RequestHead:
    """A request's line and headers, already checked: no part of it can break the line it stands on."""

    method: bytes
    target: bytes
    """Path and query as the client wrote them, escapes included; `*` for a server-wide OPTIONS."""
    path: bytes
    query: bytes
    names: Collection[bytes]
    """Of the headers, in lower case, in the order of the wire: one for each of `lines`."""
    lines: Sequence[bytes]
    """The headers as `Name: value`, the name as it was written, the value without surrounding blanks."""
    index: dict[bytes, bytes]
    """Values by name; of a name that came more than once, all of them, joined as RFC 9110 5.3 says."""
    minor: int
    """0 for HTTP/1.0, 1 for HTTP/1.1."""
    content_length: int | None
    chunked: bool
    keep_alive: bool
    connection: frozenset[bytes]
    """What the Connection header names, in lower case."""
    upgrade: bytes
    """The protocol that the client asks to change to, or nothing."""
    request_id: bytes
    """The client's own where it is usable, else a new one."""
    has_body: bool = False
    """Whether bytes follow this head."""
    withheld: bytes = b""
    """The name of a header that no replica is sent, though it is no hop's own: that of the gateway's token."""
    plan: object = None
    """What the dispatcher found out about this head, for when the same bytes come again on the connection."""
    outline: Outline | None = None
    """The same of what is sent on."""

    def get(self, name: bytes) -> bytes | None:
        """The value of a header; `name` in lower case."""
        return self.index.get(name)

    @property
    def has_given_id(self) -> bool:
        """Whether the request id is the client's own."""
        return self.index.get(b"x-request-id") == self.request_id

    @property
    def expects_continue(self) -> bool:
        """Whether the client waits for leave before it sends the body."""
        return b"expect" in self.index and self.minor == 1 and self.has_body


def without_expectation(head: RequestHead) -> RequestHead:
    """The same head once the client has been told to send its body."""
    kept = [each for each in zip(head.names, head.lines, strict=True) if each[0] != b"expect"]
    index = {name: value for name, value in head.index.items() if name != b"expect"}
    names, lines = [name for name, _ in kept], [line for _, line in kept]
    return replace(head, names=names, lines=lines, index=index, outline=None)


@dataclass(slots=True, eq=False)
class ResponseHead:
    """A replica's status and headers."""

    status: int
    names: Collection[bytes]
    """As a request's."""
    lines: Sequence[bytes]
    index: dict[bytes, bytes]
    minor: int
    content_length: int | None
    chunked: bool
    keep_alive: bool
    connection: frozenset[bytes]
    kept: tuple[frozenset[bytes], bytes] | None = None
    """What is passed on of the headers, and without which: for when the same head comes again on the connection."""
    tells_length: bool = field(init=False)
    """Whether the client is told the length that the replica told: never of an answer that can have no body at all."""

    def __post_init__(self) -> None:
        """See once what is asked of every answer."""
        self.tells_length = self.content_length is not None and self.status >= 200 and self.status != 204

    def get(self, name: bytes) -> bytes | None:
        """The value of a header; `name` in lower case."""
        return self.index.get(name)


def index_headers(headers: Sequence[tuple[bytes, bytes]]) -> dict[bytes, bytes]:
    """Values by name. Repeated ones are joined by a comma, cookies by a semicolon."""
    index = dict(headers)
    return index if len(index) == len(headers) else _join_repeated(headers)


def _join_repeated(headers: Sequence[tuple[bytes, bytes]]) -> dict[bytes, bytes]:
    index: dict[bytes, bytes] = {}
    for name, value in headers:
        held = index.get(name)
        glue = b"; " if name == b"cookie" else b", "
        index[name] = value if held is None else held + glue + value
    return index


_USUAL_TOKENS = {value: frozenset({value.lower()}) for value in (b"keep-alive", b"Keep-Alive", b"close")}


def tokens(value: bytes) -> frozenset[bytes]:
    """A comma-separated list as a set of lower-case words."""
    return _USUAL_TOKENS.get(value) or frozenset(word.strip() for word in value.lower().split(b","))
