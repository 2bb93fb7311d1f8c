"""Which headers cross the gateway, and which are its own.

Hop-by-hop headers end here (RFC 9110 7.6.1), in both directions, with whatever a Connection header names. Framing is
written anew. X-Forwarded-* says who the gateway heard the request from: what a client claims is kept only from a peer
that was declared to be a proxy of ours.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from http import HTTPStatus
from itertools import product

from flashcore.gateway.http.head import Headers, RequestHead, ResponseHead
from flashcore.gateway.http.outline import Outline

HOP_BY_HOP = frozenset(
    {
        b"close",  # no header, but a word of Connection: so that the usual Connection adds nothing to this set
        b"connection",
        b"http2-settings",
        b"keep-alive",
        b"proxy-authorization",
        b"proxy-connection",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
    }
)
_REWRITTEN = frozenset({b"content-length", b"x-flashcore-token", b"x-request-id"})
_FORWARDED = frozenset({b"forwarded", b"x-forwarded-for", b"x-forwarded-host", b"x-forwarded-proto"})
_NEVER_NAMED = frozenset({b"host"})
_IN_TRACE = rb"-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}"
_TRACE = re.compile(rb"00%b|(?!00|ff)[0-9a-f]{2}%b(?:-[\x21-\x7e]{0,200})?" % (_IN_TRACE, _IN_TRACE))
"""Version 00 ends with its flags. Others may go on, but not for ever: what came in with a job is kept with it."""
_TRACE_NAMES = frozenset({b"traceparent", b"tracestate"})
_NAME = re.compile(rb"[!#$%&'*+\-.^_`|~0-9a-z]+")
_VALUE = re.compile(rb"(?:[\x21-\x7e\x80-\xff](?:[\t\x20-\x7e\x80-\xff]*[\x21-\x7e\x80-\xff])?)?")


UNKNOWN = b"unknown"
"""The address of a peer that has none, on a Unix socket: it says nothing beside those that others have named."""


@dataclass(frozen=True, slots=True)
class AddedHeaders:
    """Headers that the gateway adds, encoded once. Make one with `add_headers`."""

    block: bytes
    names: frozenset[bytes]
    request_drop: frozenset[bytes]
    """Names that are not taken over from the client's request where that is part of a trace."""
    traceless_drop: frozenset[bytes]
    """The same where it is part of none: what has not the right form is no trace."""
    answer_drop: frozenset[bytes]
    """Names that are not taken over from the replica's answer."""


def add_headers(*headers: tuple[bytes, bytes]) -> AddedHeaders:
    """The given headers, names in lower case. Raises ValueError where a name or a value would break its line."""
    names = frozenset(name for name, _ in headers)
    ours = _OURS | _spellings(names)
    return AddedHeaders(
        encode_headers(headers),
        names,
        HOP_BY_HOP | ours,
        HOP_BY_HOP | ours | _TRACE_NAMES,
        HOP_BY_HOP | _REWRITTEN | names,
    )


def _spellings(names: frozenset[bytes]) -> frozenset[bytes]:
    """These names, and all that are taken for one of them where a hyphen becomes an underscore: in CGI and in WSGI."""
    spelled = (product(*([part + b"-", part + b"_"] for part in name.split(b"-"))) for name in names)
    return frozenset(b"".join(parts)[:-1] for each in spelled for parts in each)


_OURS = _spellings(_REWRITTEN | _FORWARDED)


def encode_headers(headers: Headers) -> bytes:
    """Header lines. Raises ValueError where a name or a value would break its line."""
    for name, value in headers:
        if _NAME.fullmatch(name) is None or _VALUE.fullmatch(value) is None:
            raise ValueError(f"{name!r}: {value!r} cannot be a header; names are in lower case, values on one line")
    return b"".join([name + b": " + value + b"\r\n" for name, value in headers])


NOTHING_ADDED = add_headers()


class PeerLines:
    """What is said of one client connection to the replicas; made once per connection.

    `trusted`: the peer is a proxy of ours, whose own X-Forwarded-* are kept and added to.
    """

    __slots__ = ("_peer", "_scheme", "_stranger", "_trusted")

    def __init__(self, peer: bytes, *, trusted: bool, scheme: bytes = b"http") -> None:
        self._peer = peer
        self._trusted = trusted
        self._scheme = scheme
        self._stranger = b"x-forwarded-proto: %b\r\nx-forwarded-for: %b\r\nx-forwarded-host: " % (scheme, peer)

    def lines(self, head: RequestHead) -> bytes:
        """The X-Forwarded-* lines of one request."""
        index = head.index
        host = index.get(b"host", b"")
        if not self._trusted:
            return self._stranger + host + b"\r\n"
        chain = index.get(b"x-forwarded-for", self._peer)
        if b"x-forwarded-for" in index and self._peer != UNKNOWN:
            chain += b", " + self._peer
        return b"x-forwarded-proto: %b\r\nx-forwarded-for: %b\r\nx-forwarded-host: %b\r\n" % (
            self._proto(head),
            chain,
            self._host(head),
        )

    def base(self, head: RequestHead) -> str:
        """Where the client has reached us, as `https://host`; empty where it does not name a host."""
        host = self._host(head).decode("latin-1")
        return f"{self._proto(head).decode('latin-1')}://{host}" if host else ""

    def _proto(self, head: RequestHead) -> bytes:
        return head.index.get(b"x-forwarded-proto", self._scheme) if self._trusted else self._scheme

    def _host(self, head: RequestHead) -> bytes:
        host = head.index.get(b"host", b"")
        return head.index.get(b"x-forwarded-host", host) if self._trusted else host


def request_block(head: RequestHead, target: bytes, peer: PeerLines, added: AddedHeaders) -> bytes:
    """The head of a request as a replica is sent it.

    Clients repeat themselves: most of it is kept with the head, which belongs to one connection and so to one peer.
    """
    traced = is_in_trace(head)
    outline = head.outline
    if outline is None or outline.traced is not traced or outline.added != added.names:
        outline = head.outline = _outline(head, peer, added, traced=traced)
    return b"".join((outline.block(head.method, target), added.block, b"x-request-id: ", head.request_id, b"\r\n\r\n"))


def _outline(head: RequestHead, peer: PeerLines, added: AddedHeaders, *, traced: bool) -> Outline:
    """All that is the same of two requests with equal heads, but for the line that says what is asked for."""
    drop = added.request_drop if traced else added.traceless_drop
    if head.connection and not head.connection <= drop:
        drop = drop | (head.connection - _NEVER_NAMED)
    withheld = head.withheld
    kept = [each for each in zip(head.names, head.lines, strict=True) if each[0] not in drop and each[0] != withheld]
    lines = [line for _, line in kept]
    if head.chunked:
        lines.append(b"transfer-encoding: chunked")
    elif head.content_length is not None:
        lines.append(b"content-length: %d" % head.content_length)
    if head.upgrade and passes_upgrade(head):
        lines.append(b"connection: upgrade\r\nupgrade: " + head.upgrade)
    if not head.minor and b"host" not in head.index:
        lines.append(b"host:")  # HTTP/1.0 may do without, the replica's HTTP/1.1 may not
    lines.append(peer.lines(head))
    return Outline(added.names, [name for name, _ in kept], lines, traced=traced)


def is_in_trace(head: RequestHead) -> bool:
    """Whether the client's request says of which trace it is, in the right form (W3C Trace Context).

    One that does not is given none. Tracers, OpenTelemetry's for instance, go by their parent: below one that is not
    sampled they record nothing, and below one that is, everything.
    """
    return b"traceparent" in head.index and is_trace(head.index[b"traceparent"])


def is_trace(parent: bytes) -> bool:
    """Whether that is a `traceparent`."""
    return _TRACE.fullmatch(parent) is not None


def passes_upgrade(head: RequestHead) -> bool:
    """Whether the wish to change protocols is passed on.

    h2c is not: a replica that accepts it could be spoken to past every rule of the gateway (h2c smuggling).
    """
    return bool(head.upgrade) and not head.has_body and b"h2c" not in head.upgrade.lower()


def answer_start(answer: ResponseHead, added: AddedHeaders) -> bytes:
    """The status line of an answer and its header lines that are taken over, its length among them, nothing added."""
    kept = answer.kept
    if kept is None or kept[0] != added.names:
        kept = answer.kept = (added.names, _answer_start(answer, added.answer_drop))
    return kept[1]


def _answer_start(answer: ResponseHead, drop: frozenset[bytes]) -> bytes:
    if not answer.connection <= drop:
        drop = drop | answer.connection
    lines = [line for name, line in zip(answer.names, answer.lines, strict=True) if name not in drop]
    length = answer.content_length
    if length is not None and answer.tells_length:
        lines.append(b"content-length: %d" % length)
    lines.append(b"")
    return status_line(answer.status) + b"\r\n".join(lines)


_STATUS_LINES = {status.value: b"HTTP/1.1 %d %b\r\n" % (status.value, status.phrase.encode()) for status in HTTPStatus}


def status_line(status: int) -> bytes:
    """The first line of an answer; phrases are the standard's, because nobody may rely on another."""
    return _STATUS_LINES.get(status) or b"HTTP/1.1 %d \r\n" % status
