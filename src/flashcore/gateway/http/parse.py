"""From the bytes of one head to its value: the grammar is llhttp's in its strict mode, the meaning is checked here.

llhttp refuses folded headers, bare CR or LF, NUL and other controls, blanks before a colon, both Content-Length and
Transfer-Encoding, and repeated or malformed lengths. What it lets through and a gateway must not, this file refuses:
other protocols and versions, transfer codings that nobody here can undo, and hosts or targets that two readers could
understand in two ways (request smuggling: RFC 9112 section 11.2).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import TypeGuard

from httptools import (
    HttpParserError,
    HttpParserInvalidMethodError,
    HttpParserUpgrade,
    HttpRequestParser,
    HttpResponseParser,
)

from flashcore.gateway.http.errors import BadAnswer, BadRequest
from flashcore.gateway.http.head import NO_TOKENS, RequestHead, ResponseHead, index_headers, tokens

HOST_BYTES = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_~:[]%!$&'()*+;="
"""What a Host header may consist of."""
_ABSOLUTE = re.compile(rb"https?://([^/?]+)(/?[^?]*)(\?.*)?", re.IGNORECASE)
_VERSION = re.compile(rb"[^\r\n]* HTTP/(?!1\.[01]\r)[0-9.]+\r\n")
_OTHER_METHOD = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+ [^ \r\n]+ HTTP/1\.[01]\r\n")
_USABLE_ID = re.compile(rb"[\x21-\x7e]{1,128}")
_CREDENTIALS = (b"authorization", b"proxy-authorization", b"x-flashcore-token")
"""Headers that say who sends a request: each comes once, or not at all (RFC 9110 5.3)."""
_BODILESS = frozenset({204, 304})


class _Collector:
    """What llhttp calls while it reads one head."""

    __slots__ = ("headers", "lines", "target")

    def __init__(self) -> None:
        self.headers: list[tuple[bytes, bytes]] = []
        self.lines: list[bytes] = []
        self.target = b""

    def on_url(self, url: bytes) -> None:
        self.target = url

    def on_header(self, name: bytes, value: bytes) -> None:
        value = value.rstrip(b" \t")
        self.headers.append((name.lower(), value))
        self.lines.append(name + b": " + value)


def parse_request(raw: bytes, header_count: int, new_id: Callable[[], bytes]) -> RequestHead:
    """The request whose head is exactly `raw`, blank line included; `new_id` names it where the client did not.

    Raises `BadRequest`.
    """
    collector = _Collector()
    parser = HttpRequestParser(collector)
    try:
        parser.feed_data(raw)
    except HttpParserUpgrade:
        pass  # llhttp's way of saying that other bytes may follow; what they are is decided by the replica's answer
    except HttpParserError as error:
        raise _grammar(raw, error) from None
    line_end = raw.find(b"\r\n")
    if not raw.endswith((b" HTTP/1.1", b" HTTP/1.0"), 0, line_end):
        raise BadRequest(505, "version_not_supported", "Only HTTP/1.1 and HTTP/1.0 are spoken here.")
    if len(collector.lines) > header_count:
        raise BadRequest(431, "too_many_headers", f"{len(collector.lines)} header lines; {header_count} are allowed.")
    method = parser.get_method()
    if collector.target[0] != 0x2F or method == b"CONNECT":
        _take_other_form(method, collector)
    return _request(method, collector, raw[line_end - 1] - 48, new_id)


def _request(method: bytes, collector: _Collector, minor: int, new_id: Callable[[], bytes]) -> RequestHead:
    target, index = collector.target, index_headers(collector.headers)
    if b"#" in target:
        raise BadRequest(400, "malformed_target", "A request target has no fragment.")
    _check_host(index.get(b"host"), minor)
    if len(index) < len(collector.headers):
        _check_credentials([name for name, _ in collector.headers])
    path, _, query = target.partition(b"?")
    connection = tokens(index[b"connection"]) if b"connection" in index else NO_TOKENS
    request_id = index.get(b"x-request-id")
    chunked = b"transfer-encoding" in index
    if chunked:
        _check_coding(index[b"transfer-encoding"], minor)
    if b"expect" in index and index[b"expect"].lower() != b"100-continue":
        raise BadRequest(417, "expectation_failed", "The only expectation that is understood is 100-continue.")
    length = int(index[b"content-length"]) if b"content-length" in index else None
    return RequestHead(
        method,
        target,
        path,
        query,
        [name for name, _ in collector.headers],
        collector.lines,
        index,
        minor,
        length,
        chunked,
        b"close" not in connection if minor else b"keep-alive" in connection,
        connection,
        index.get(b"upgrade", b"") if minor and b"upgrade" in connection else b"",
        request_id if is_usable_id(request_id) else new_id(),
        chunked or bool(length),
    )


def is_usable_id(request_id: bytes | None) -> TypeGuard[bytes]:
    """Whether a client's request id is taken over."""
    return request_id is not None and _USABLE_ID.fullmatch(request_id) is not None


def _grammar(raw: bytes, error: HttpParserError) -> BadRequest:
    if _VERSION.match(raw):
        return BadRequest(505, "version_not_supported", "Only HTTP/1.1 and HTTP/1.0 are spoken here.")
    if isinstance(error, HttpParserInvalidMethodError) and _OTHER_METHOD.match(raw):
        return BadRequest(501, "method_not_implemented", "That method is not known here.")
    return BadRequest(400, "malformed_request", f"This is not an HTTP/1.1 request: {error}.")


def _take_other_form(method: bytes, collector: _Collector) -> None:
    """Make of a request in absolute form (RFC 9112 3.2) one in the usual form, or in asterisk form; its host wins."""
    if collector.target == b"*" and method == b"OPTIONS":
        return
    if method == b"CONNECT":
        raise BadRequest(501, "method_not_implemented", "CONNECT is not offered: this is no forward proxy.")
    absolute = _ABSOLUTE.fullmatch(collector.target)
    if absolute is None:
        raise BadRequest(400, "malformed_target", "A request target starts with a slash.")
    host, path, query = absolute.groups(b"")
    nowhere = b"*" if method == b"OPTIONS" and not query else b"/"
    collector.target = (path or nowhere) + query
    others = [each for each in zip(collector.headers, collector.lines, strict=True) if each[0][0] != b"host"]
    collector.headers = [(b"host", host), *(header for header, _ in others)]
    collector.lines = [b"host: " + host, *(line for _, line in others)]


def _check_host(host: bytes | None, minor: int) -> None:
    if host is None:
        if minor:
            raise BadRequest(400, "host_missing", "An HTTP/1.1 request names its host.")
    elif host.translate(None, HOST_BYTES):
        # A repeated Host is joined by a comma, which no host may hold: it ends here too.
        raise BadRequest(400, "malformed_host", "The Host header does not name one host.")


def _check_credentials(names: Sequence[bytes]) -> None:
    """Of two of them nobody can say which is meant: a replica might read the one, and the gateway the other."""
    for name in _CREDENTIALS:
        if names.count(name) > 1:
            raise BadRequest(400, "repeated_credentials", f"The header {name.decode()} came more than once.")


def _check_coding(coding: bytes, minor: int) -> None:
    if not minor:
        raise BadRequest(400, "malformed_request", "HTTP/1.0 knows no Transfer-Encoding.")
    if coding.lower() != b"chunked":
        raise BadRequest(501, "coding_not_implemented", "The only transfer coding that is undone here is chunked.")


def parse_response(raw: bytes, header_count: int) -> ResponseHead:
    """The answer whose head is exactly `raw`, blank line included. Raises `BadAnswer`."""
    collector = _Collector()
    parser = HttpResponseParser(collector)
    try:
        parser.feed_data(raw)
    except HttpParserUpgrade:
        pass  # a 101; see parse_request
    except HttpParserError as error:
        raise BadAnswer(f"The replica's answer is not HTTP/1: {error}.") from None
    if not raw.startswith((b"HTTP/1.1 ", b"HTTP/1.0 ")) or len(collector.headers) > header_count:
        raise BadAnswer(f"The replica's answer has another version, or more than {header_count} headers.")
    return _response(parser.get_status_code(), collector, raw[7] - 48)


def _response(status: int, collector: _Collector, minor: int) -> ResponseHead:
    if not 100 <= status <= 999:
        raise BadAnswer(f"The replica's answer has status {status}.")
    index = index_headers(collector.headers)
    connection = tokens(index[b"connection"]) if b"connection" in index else NO_TOKENS
    chunked = b"transfer-encoding" in index
    if chunked and (not minor or index[b"transfer-encoding"].lower() != b"chunked"):
        raise BadAnswer("The replica's answer has a transfer coding other than chunked.")
    length = index.get(b"content-length")
    return ResponseHead(
        status,
        [name for name, _ in collector.headers],
        collector.lines,
        index,
        minor,
        None if length is None else int(length),
        chunked,
        b"close" not in connection if minor else b"keep-alive" in connection,
        connection,
    )


def has_answer_body(method: bytes, status: int) -> bool:
    """Whether bytes may follow the head of an answer with this status to a request with this method (RFC 9112 6.3)."""
    return method != b"HEAD" and status >= 200 and status not in _BODILESS
