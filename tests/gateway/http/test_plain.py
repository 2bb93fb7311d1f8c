"""What the quick reader of heads says is what the strict one says; of anything else it says nothing."""

from __future__ import annotations

from dataclasses import fields

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from tests.gateway.http.test_parse import REFUSED

from flashcore.gateway.http.head import RequestHead, ResponseHead
from flashcore.gateway.http.parse import parse_request, parse_response
from flashcore.gateway.http.plain import PlainHeads

COUNT = 64
PLAIN_REQUESTS = [
    b"GET / HTTP/1.1\r\nHost: a\r\n\r\n",
    b"GET /a/b?c=%20&d HTTP/1.1\r\nhost: [::1]:80\r\nUser-Agent: x/1 (a; b)\r\nAccept: */*\r\n\r\n",
    b'POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 007\r\nContent-Type: a/b; c="d: e"\r\n\r\n',
    b"DELETE /x HTTP/1.1\r\nHost: a\r\nConnection: Keep-Alive, X-Own\r\nX-Own: 1\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a\r\nconnection: close\r\nX-Request-Id: mine\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a\r\nX-Request-Id: not usable\r\nAuthorization: Bearer t\r\n\r\n",
]
NOT_PLAIN_REQUESTS = [
    b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nExpect: 100-continue\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a\r\nAccept: a\r\naccept: b\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a\r\nX: \xc3\xa4\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a\r\nX: a\tb\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a\r\nX:a\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a\r\nX:\r\n\r\n",
    b"GET / HTTP/1.0\r\nHost: a\r\n\r\n",
    b"GET http://a/ HTTP/1.1\r\nHost: a\r\n\r\n",
    b"OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n",
]
PLAIN_ANSWERS = [
    b"HTTP/1.1 200 OK\r\n\r\n",
    b"HTTP/1.1 404 Not Found\r\nServer: x\r\ncontent-length: 0\r\nConnection: close\r\n\r\n",
    b'HTTP/1.1 304 Not Modified\r\nETag: "a"\r\nDate: Sun, 22 Nov 2026 15:48:16 GMT\r\n\r\n',
]
NOT_PLAIN_ANSWERS = [
    b"HTTP/1.1 100 Continue\r\n\r\n",
    b"HTTP/1.1 101 Switching\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nSet-Cookie: a\r\nSet-Cookie: b\r\n\r\n",
    b"HTTP/1.0 200 OK\r\n\r\n",
    b"HTTP/1.1 2000 OK\r\n\r\n",
    b"HTTP/1.1 200\r\n\r\n",
    b"\r\nHTTP/1.1 200 OK\r\n\r\n",
]


def told(head: RequestHead | ResponseHead) -> dict[str, object]:
    """Everything that a head says."""
    values = {field.name: getattr(head, field.name) for field in fields(head)}
    return {**values, "names": list(head.names), "lines": list(head.lines)}


def both_say(raw: bytes) -> None:
    """Read it in both ways, as a request and as an answer; where the strict one refuses, this raises."""
    heads = PlainHeads()
    for _ in range(2):  # a second time with the names known
        request = heads.request(raw, COUNT, lambda: b"made")
        answer = heads.answer(raw, COUNT)
        if request is not None:
            assert told(request) == told(parse_request(raw, COUNT, lambda: b"made"))
        if answer is not None:
            assert told(answer) == told(parse_response(raw, COUNT))


def ended(junk: bytes) -> bytes:
    """One head: what a connection takes as one."""
    junk = junk.lstrip(b"\r\n") + b"\r\n\r\n"
    return junk[: junk.index(b"\r\n\r\n") + 4]


@pytest.mark.parametrize("raw", PLAIN_REQUESTS + PLAIN_ANSWERS)
def test_a_plain_head_is_read_quickly_and_as_strictly(raw: bytes) -> None:
    """These take the quick way, or it would be there for nothing."""
    heads = PlainHeads()

    assert heads.request(raw, COUNT, lambda: b"made") or heads.answer(raw, COUNT)
    both_say(raw)


@pytest.mark.parametrize("raw", NOT_PLAIN_REQUESTS + NOT_PLAIN_ANSWERS + [raw for _, raw, _ in REFUSED])
def test_what_needs_judgement_is_left_to_the_strict_reader(raw: bytes) -> None:
    """Whatever is refused, and whatever changes how a message is read."""
    heads = PlainHeads()

    assert heads.request(raw, COUNT, lambda: b"made") is None
    assert heads.answer(raw, COUNT) is None


@pytest.mark.parametrize("raw", PLAIN_REQUESTS + PLAIN_ANSWERS)
def test_no_byte_in_any_place_is_read_in_two_ways(raw: bytes) -> None:
    """Every byte of the usual heads is replaced by, and preceded by, every byte that could mean something."""
    for at in range(len(raw) - 4):
        for byte in (
            b"\0",
            b"\t",
            b"\n",
            b"\r",
            b" ",
            b"#",
            b",",
            b":",
            b"?",
            b"/",
            b"0",
            b"A",
            b"{",
            b"\x7f",
            b"\x80",
        ):
            both_say(ended(raw[:at] + byte + raw[at + 1 :]))
            both_say(ended(raw[:at] + byte + raw[at:]))


PIECES = st.sampled_from(
    [b"GET / HTTP/1.1\r\nHost: a\r\n", b"POST /a?b HTTP/1.1\r\nhost: a\r\n", b"HTTP/1.1 200 OK\r\n",
     b"\r\n", b"\r", b"\n", b"Host: b\r\n", b"Content-Length: 3\r\n", b"content-length: 3\r\n",
     b"content-length: 1234567890123456789\r\n", b"Content-Length: +3\r\n", b"Transfer-Encoding: chunked\r\n",
     b"Connection: close\r\n", b"connection: upgrade\r\n", b"upgrade: x\r\n", b"Expect: 100-continue\r\n",
     b"X-Request-Id: q\r\n", b"X: y\r\n", b"x: y: z\r\n", b"x:y\r\n", b"X:  y\r\n", b"x: y \r\n",
     b" folded\r\n", b"nocolon\r\n", b": ", b":", b" ", b"\t", b"\0", b"x"]
)  # fmt: skip


@given(st.lists(PIECES | st.binary(max_size=2), max_size=8).map(b"".join))
@example(b"GET / HTTP/1.1\r\nHost: a\r\nnocolon\r\n")
@example(b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999999999999999\r\n")
def test_both_readers_say_the_same(junk: bytes) -> None:
    """Of any bytes; what the strict one refuses, the quick one does not take."""
    both_say(ended(junk))


def test_too_many_headers_are_left_to_the_strict_reader() -> None:
    """Who says so."""
    raw = b"GET / HTTP/1.1\r\nHost: a\r\n" + b"".join(b"X-%d: y\r\n" % n for n in range(COUNT)) + b"\r\n"

    assert PlainHeads().request(raw, COUNT, lambda: b"made") is None
    assert PlainHeads().request(raw, COUNT + 1, lambda: b"made") is not None


def test_names_are_remembered_up_to_a_number() -> None:
    """A client that makes up names does not make the gateway grow, and is read all the same."""
    heads = PlainHeads()
    for number in range(3000):
        head = heads.request(b"GET / HTTP/1.1\r\nHost: a\r\nX-%d: y\r\n\r\n" % number, COUNT, lambda: b"made")
        assert head is not None
        assert head.index[b"x-%d" % number] == b"y"

    assert len(heads._names) <= 1024  # noqa: SLF001 - nothing else shows what is kept
