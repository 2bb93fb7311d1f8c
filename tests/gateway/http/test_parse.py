"""Heads of requests and answers."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flashcore.gateway.http.errors import BadAnswer, BadRequest
from flashcore.gateway.http.head import RequestHead, ResponseHead
from flashcore.gateway.http.parse import has_answer_body, parse_request, parse_response
from flashcore.gateway.http.requestid import RequestIds

GET = b"GET /a/b?c=d HTTP/1.1\r\nHost: example.org\r\n"


def parse(raw: bytes) -> RequestHead:
    """The request, with a limit that no test here meets by accident."""
    return parse_request(raw, 64, lambda: b"made")


def parsed_answer(raw: bytes) -> ResponseHead:
    """The answer, with a limit that no test here meets by accident."""
    return parse_response(raw, 64)


def test_a_request_is_taken_apart() -> None:
    """Line, target and headers become values, names in lower case and in their order."""
    head = parse(GET + b"Accept:  */* \r\nX-Empty:\r\n\r\n")

    assert (head.method, head.target, head.path, head.query, head.minor) == (b"GET", b"/a/b?c=d", b"/a/b", b"c=d", 1)
    assert list(head.names) == [b"host", b"accept", b"x-empty"]
    assert head.lines == [b"Host: example.org", b"Accept: */*", b"X-Empty: "]
    assert head.index == {b"host": b"example.org", b"accept": b"*/*", b"x-empty": b""}
    assert head.get(b"accept") == b"*/*"
    assert head.get(b"absent") is None
    assert (head.content_length, head.chunked, head.has_body) == (None, False, False)


def test_escapes_in_a_target_are_left_alone() -> None:
    """What a path means is decided above, once."""
    head = parse(b"GET /%2e%2e/a%2Fb?x=%00 HTTP/1.1\r\nhost: a\r\n\r\n")

    assert head.path == b"/%2e%2e/a%2Fb"


def test_repeated_headers_are_joined_for_looking_up() -> None:
    """The list keeps both, the index joins them as RFC 9110 5.3 says; cookies by a semicolon."""
    head = parse(GET + b"Accept: a\r\nCookie: x=1\r\nAccept: b\r\nCookie: y=2\r\n\r\n")

    assert head.get(b"accept") == b"a, b"
    assert head.get(b"cookie") == b"x=1; y=2"
    assert list(head.names) == [b"host", b"accept", b"cookie", b"accept", b"cookie"]
    assert head.lines[1::2] == [b"Accept: a", b"Accept: b"]


@pytest.mark.parametrize(
    ("line", "headers", "keep_alive"),
    [
        (b"HTTP/1.1", b"", True),
        (b"HTTP/1.1", b"Connection: close\r\n", False),
        (b"HTTP/1.1", b"Connection: x, Close\r\n", False),
        (b"HTTP/1.1", b"Connection: keep-alive\r\nConnection: close\r\n", False),
        (b"HTTP/1.0", b"", False),
        (b"HTTP/1.0", b"Connection: Keep-Alive\r\n", True),
    ],
)
def test_whether_the_connection_goes_on(line: bytes, headers: bytes, keep_alive: bool) -> None:  # noqa: FBT001 - a column
    """Version and Connection header decide together."""
    head = parse(b"GET / " + line + b"\r\nHost: a\r\n" + headers + b"\r\n")

    assert head.keep_alive is keep_alive


def test_an_absolute_target_brings_its_own_host() -> None:
    """RFC 9112 3.2.2: the target's host wins over the header, and the replica is sent a path."""
    head = parse(b"GET http://real.example:81/x?y HTTP/1.1\r\nHost: other\r\nHost: two\r\n\r\n")

    assert head.target == b"/x?y"
    assert head.get(b"host") == b"real.example:81"
    assert (head.names, head.lines) == ([b"host"], [b"host: real.example:81"])


def test_an_absolute_target_without_a_path_means_the_root() -> None:
    """Both with and without a query."""
    assert parse(b"GET http://a HTTP/1.1\r\nHost: a\r\n\r\n").target == b"/"
    assert parse(b"GET http://a?q HTTP/1.1\r\nHost: a\r\n\r\n").target == b"/?q"


def test_options_may_ask_about_the_whole_server() -> None:
    """The asterisk form is for OPTIONS alone, which has it also where a URL names no path (RFC 9112 3.2.4)."""
    assert parse(b"OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n").path == b"*"
    assert parse(b"OPTIONS http://a HTTP/1.1\r\nHost: b\r\n\r\n").target == b"*"
    assert parse(b"OPTIONS http://a/ HTTP/1.1\r\nHost: b\r\n\r\n").target == b"/"
    assert parse(b"OPTIONS http://a?q HTTP/1.1\r\nHost: b\r\n\r\n").target == b"/?q"


def test_a_usable_request_id_is_kept() -> None:
    """One that is too long or holds blanks is replaced."""
    assert parse(GET + b"X-Request-Id: abc-1\r\n\r\n").request_id == b"abc-1"
    assert parse(GET + b"X-Request-Id: a b\r\n\r\n").request_id == b"made"
    assert parse(GET + b"X-Request-Id: " + b"a" * 129 + b"\r\n\r\n").request_id == b"made"
    assert parse(GET + b"\r\n").request_id == b"made"


def test_made_request_ids_do_not_repeat() -> None:
    """Across more than one request to the system for randomness."""
    new_id = RequestIds()

    made = [new_id() for _ in range(1000)]

    assert len(set(made)) == 1000
    assert {len(one) for one in made} == {32}


def test_an_upgrade_needs_both_headers_and_the_right_version() -> None:
    """An Upgrade header that Connection does not name is only a header."""
    upgrade = b"Upgrade: websocket\r\n"

    assert parse(GET + upgrade + b"Connection: keep-alive, Upgrade\r\n\r\n").upgrade == b"websocket"
    assert parse(GET + upgrade + b"\r\n").upgrade == b""
    assert parse(b"GET / HTTP/1.0\r\n" + upgrade + b"Connection: upgrade\r\n\r\n").upgrade == b""


REFUSED = [
    (400, b"GET / HTTP/1.1\r\n\r\n", "no host"),
    (400, GET + b"Host: other\r\n\r\n", "two hosts"),
    (400, b"GET / HTTP/1.1\r\nHost: a b\r\n\r\n", "a blank in the host"),
    (400, b"GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", "a path in the host"),
    (400, b"GET / HTTP/1.1\r\nHost: u@a\r\n\r\n", "a user in the host"),
    (400, b"GET / HTTP/1.1\r\nHost: \xc3\xa4\r\n\r\n", "a host that is not ASCII"),
    (400, GET + b"Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", "CL and TE"),
    (400, GET + b"Transfer-Encoding: chunked\r\nContent-Length: 1\r\n\r\n", "TE and CL"),
    (400, GET + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\n", "two lengths"),
    (400, GET + b"Content-Length: 1, 1\r\n\r\n", "a list of lengths"),
    (400, GET + b"Content-Length: +1\r\n\r\n", "a signed length"),
    (400, GET + b"Content-Length: -1\r\n\r\n", "a negative length"),
    (400, GET + b"Content-Length: 0x1\r\n\r\n", "a hexadecimal length"),
    (400, GET + b"Content-Length: 1 1\r\n\r\n", "a length with a blank"),
    (400, GET + b"Content-Length:\r\n\r\n", "an empty length"),
    (400, GET + b"Content-Length: 99999999999999999999999\r\n\r\n", "a length beyond counting"),
    (400, GET + b"Transfer-Encoding: chunked, identity\r\n\r\n", "a coding after chunked"),
    (400, GET + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n", "chunked twice"),
    (400, GET + b"Transfer-Encoding: xchunked\r\n\r\n", "almost chunked"),
    (400, b"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", "chunked in HTTP/1.0"),
    (501, GET + b"Transfer-Encoding: gzip, chunked\r\n\r\n", "a coding that is not undone here"),
    (400, GET + b"A: b\r\n c\r\n\r\n", "obs-fold with a blank"),
    (400, GET + b"A: b\r\n\tc\r\n\r\n", "obs-fold with a tab"),
    (400, b"GET / HTTP/1.1\r\n A: b\r\nHost: a\r\n\r\n", "obs-fold before any header"),
    (400, GET + b"A : b\r\n\r\n", "a blank before the colon"),
    (400, GET + b"A\x00: b\r\n\r\n", "NUL in a name"),
    (400, GET + b"A: b\x00c\r\n\r\n", "NUL in a value"),
    (400, GET + b"A: b\rc\r\n\r\n", "CR in a value"),
    (400, GET + b"A: b\nC: d\r\n\r\n", "a bare LF"),
    (400, GET + b"A: b\x01\r\n\r\n", "a control in a value"),
    (400, GET + b"A: b\x7f\r\n\r\n", "DEL in a value"),
    (400, GET + b": b\r\n\r\n", "no name"),
    (400, GET + b"nocolon\r\n\r\n", "no colon"),
    (400, GET + b'A"b: c\r\n\r\n', "a quote in a name"),
    (400, b"GET /a b HTTP/1.1\r\nHost: a\r\n\r\n", "a blank in the target"),
    (400, b"GET /\xc3\xa4 HTTP/1.1\r\nHost: a\r\n\r\n", "a target that is not ASCII"),
    (400, b"GET /\x01 HTTP/1.1\r\nHost: a\r\n\r\n", "a control in the target"),
    (400, b"GET /a#b HTTP/1.1\r\nHost: a\r\n\r\n", "a fragment"),
    (400, b"GET a HTTP/1.1\r\nHost: a\r\n\r\n", "a target without a slash"),
    (400, b"GET * HTTP/1.1\r\nHost: a\r\n\r\n", "an asterisk for GET"),
    (400, b"GET ftp://a/ HTTP/1.1\r\nHost: a\r\n\r\n", "another scheme"),
    (400, b"GET http://u@a/ HTTP/1.1\r\nHost: a\r\n\r\n", "a user in the target's host"),
    (400, b"GET / HTTP/1.1 \r\nHost: a\r\n\r\n", "a blank after the version"),
    (400, b"garbage\r\n\r\n", "no request at all"),
    (417, GET + b"Expect: tea\r\n\r\n", "an unknown expectation"),
    (501, b"CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n\r\n", "CONNECT"),
    (501, b"CONNECT /v2 HTTP/1.1\r\nHost: a:1\r\n\r\n", "CONNECT"),
    (501, b"BREW / HTTP/1.1\r\nHost: a\r\n\r\n", "an unknown method"),
    (501, b"get / HTTP/1.1\r\nHost: a\r\n\r\n", "a method in lower case"),
    (505, b"GET / HTTP/2.0\r\nHost: a\r\n\r\n", "HTTP/2.0"),
    (505, b"GET / HTTP/1.2\r\nHost: a\r\n\r\n", "HTTP/1.2"),
    (505, b"GET / HTTP/0.9\r\nHost: a\r\n\r\n", "HTTP/0.9"),
    (505, b"GET / HTTP/3\r\nHost: a\r\n\r\n", "HTTP/3"),
    (505, b"GET /\r\n\r\n", "no version"),
    (505, b"GET / RTSP/1.0\r\nHost: a\r\n\r\n", "another protocol"),
    (505, b"PRI * HTTP/2.0\r\n\r\n", "the preface of HTTP/2"),
    (431, GET + b"A: b\r\n" * 64 + b"\r\n", "too many headers"),
]


@pytest.mark.parametrize(("status", "raw"), [case[:2] for case in REFUSED], ids=[case[2] for case in REFUSED])
def test_a_request_that_could_be_misread_is_refused(status: int, raw: bytes) -> None:
    """Each with the status that RFC 9110 and 9112 give it."""
    with pytest.raises(BadRequest) as refused:
        parse(raw)

    assert refused.value.status == status


@given(st.binary(max_size=200))
def test_any_bytes_are_either_a_request_or_refused(junk: bytes) -> None:
    """No input makes the parser fail in another way."""
    raw = junk.replace(b"\r\n\r\n", b"") + b"\r\n\r\n"
    with contextlib.suppress(BadRequest):
        parse(raw)


@given(st.lists(st.tuples(st.sampled_from([b"A", b"B-c", b"X_y"]), st.binary(max_size=12)), max_size=6))
def test_no_accepted_header_can_break_its_line(headers: list[tuple[bytes, bytes]]) -> None:
    """Whatever is accepted holds no CR, LF or NUL, and there is one value for every line."""
    raw = GET + b"".join(name + b": " + value + b"\r\n" for name, value in headers) + b"\r\n"
    raw = raw[: raw.index(b"\r\n\r\n") + 4]
    try:
        head = parse(raw)
    except BadRequest:
        return

    assert len(head.names) == len(head.lines) == raw.count(b"\r\n") - 2
    for line in head.lines:
        assert not set(line) & set(b"\r\n\0")


def test_an_answer_is_taken_apart() -> None:
    """Status, headers and what they say of the body."""
    head = parsed_answer(b"HTTP/1.1 200 OK\r\nContent-Length: 12\r\nConnection: close\r\n\r\n")

    assert (head.status, head.content_length, head.chunked, head.keep_alive) == (200, 12, False, False)
    assert parsed_answer(b"HTTP/1.0 200 OK\r\n\r\n").keep_alive is False
    assert parsed_answer(b"HTTP/1.1 101 Switching\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n").status == 101


@pytest.mark.parametrize(
    "raw",
    [
        b"HTTP/2.0 200 OK\r\n\r\n",
        b"RTSP/1.1 200 OK\r\n\r\n",
        b"HTTP/1.1 20 OK\r\n\r\n",
        b"HTTP/1.1 2000 OK\r\n\r\n",
        b"HTTP/1.1 099 OK\r\n\r\n",
        b"garbage\r\n\r\n",
        b"\r\nHTTP/1.1 200 OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
        b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nA: b\r\n c\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nA: b\x00\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * 65 + b"\r\n",
    ],
)
def test_an_answer_that_could_be_misread_is_not_passed_on(raw: bytes) -> None:
    """A replica is trusted no more than a client."""
    with pytest.raises(BadAnswer):
        parsed_answer(raw)


def test_which_answers_have_a_body() -> None:
    """RFC 9112 6.3: neither those to HEAD nor 1xx, 204 and 304."""
    assert has_answer_body(b"GET", 200)
    assert has_answer_body(b"DELETE", 404)
    assert not has_answer_body(b"HEAD", 200)
    assert not any(has_answer_body(b"GET", status) for status in (100, 204, 304))
