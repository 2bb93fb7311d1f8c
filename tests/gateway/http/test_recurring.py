"""A head that resembles the one before it means what the strict reader says of it, and is sent on as if it were new."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.gateway.http.test_plain import told

from flashcore.gateway.http.errors import BadRequest
from flashcore.gateway.http.forward import PeerLines, add_headers, request_block
from flashcore.gateway.http.head import RequestHead
from flashcore.gateway.http.parse import parse_request
from flashcore.gateway.http.plain import PlainHeads
from flashcore.gateway.http.recurring import RecurringHead

TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b716920333%d-01"
HOP = add_headers((b"x-flashcore-instance", b"i1"))
STRANGER = PeerLines(b"10.0.0.9", trusted=False)


def new_id() -> bytes:
    """What a request is named by that has no usable name of its own."""
    return b"5eed" * 8


def head_of(first: str, *lines: str) -> bytes:
    """One head."""
    return "\r\n".join([first, *lines, "", ""]).encode("latin-1")


def kept(raw: bytes) -> RecurringHead:
    """A connection's last head, which a replica was sent."""
    head = PlainHeads().request(raw, 64, new_id)
    strict = head is None
    head = head or parse_request(raw, 64, new_id)
    head.plan = object()
    request_block(head, head.target, STRANGER, HOP)
    return RecurringHead(raw, head, plain=not strict)


def sent_on(head: RequestHead) -> bytes:
    """What a replica is sent of it."""
    return request_block(head, head.target, STRANGER, HOP)


def read_alike(last: RecurringHead, raw: bytes) -> bool:
    """Whether these bytes were read by the last head; where they were, the strict reader says the same of them."""
    head = last.again(raw, new_id)
    if head is None:
        return False
    strict = parse_request(raw, 64, new_id)
    assert {**told(head), "plan": None, "outline": None} == told(strict)
    assert sent_on(head) == sent_on(strict)
    return True


ASKED = ("GET /web/1?a=%d HTTP/1.1", "Host: a", "Accept: */*", "traceparent: " + TRACE, "X-Request-Id: id-%d", "N: %d")
POSTED = ("POST /web HTTP/1.1", "host: a", "Content-Length: %d", "x-forwarded-for: 10.0.0.1")


@pytest.mark.parametrize("form", [ASKED, POSTED])
def test_values_that_change_are_all_that_is_read(form: tuple[str, ...]) -> None:
    """Paths, ids, traces, lengths and what the gateway has no use for; what is sent on changes with them."""
    raws = [head_of(*(line % number if "%" in line else line for line in form)) for number in (1, 2, 0, 0, 7)]
    last = kept(raws[0])

    assert all(read_alike(last, raw) for raw in raws[1:])


@pytest.mark.parametrize(
    ("line", "other"),
    [
        ("Host: a", "Host: b"),
        ("Authorization: Bearer a", "Authorization: Bearer b"),
        ("X-Flashcore-Token: a", "X-Flashcore-Token: b"),
        ("X-Flashcore-Revision: a", "X-Flashcore-Revision: preview"),
        ("X-Forwarded-For: 10.0.0.1", "X-Forwarded-For: 10.0.0.2"),
        ("Connection: close", "Connection: keep-alive"),
        ("A: b", "a: b"),
        ("A: b", "C: d"),
        ("A: b", "A:b"),
        ("A: b", "A:  b"),
        ("A: b", "A: b "),
        ("A: b", "A: "),
        ("A: b", "A: b\tc"),
        ("A: b", "A: \xe4"),
        ("A: b", "A: b\rc: d"),
        ("A: b", "A: b\nc: d"),
        ("A: b", "A: b\0"),
        ("A: b", "A : b"),
        ("A: b", " A: b"),
        ("A: b", "A: b\r\nC: d"),
        ("Content-Length: 1", "Content-Length: +1"),
        ("Content-Length: 1", "Content-Length: 1, 1"),
        ("Content-Length: 1", "Content-Length: " + "9" * 19),
        ("Content-Length: 1", "Transfer-Encoding: chunked"),
    ],
)
def test_what_steers_or_frames_a_request_is_read_anew(line: str, other: str) -> None:
    """As is every line that is not of the plainest form, whatever stands in its place was like."""
    hosted = () if line.startswith("Host") else ("Host: a",)
    last = kept(head_of("GET / HTTP/1.1", *hosted, line))

    assert last.again(head_of("GET / HTTP/1.1", *hosted, other), new_id) is None


@pytest.mark.parametrize(
    "first", ["GET  / HTTP/1.1", "GET / HTTP/1.0", "get / HTTP/1.1", "GET /#a HTTP/1.1", "GET http://b/ HTTP/1.1", ""]
)
def test_a_request_line_out_of_the_ordinary_is_read_anew(first: str) -> None:
    """The rules are those of plain heads."""
    last = kept(head_of("GET / HTTP/1.1", "Host: a"))

    assert last.again(head_of(first, "Host: a"), new_id) is None


def test_a_head_that_no_replica_was_sent_is_never_changed() -> None:
    """A handler of the gateway's own may look at its request for as long as it likes."""
    raw = head_of("GET /v2/q/health HTTP/1.1", "Host: a", "N: 1")
    head = PlainHeads().request(raw, 64, new_id)
    assert head is not None

    assert RecurringHead(raw, head, plain=True).again(raw.replace(b"N: 1", b"N: 2"), new_id) is None
    assert head.index[b"n"] == b"1"


def test_a_head_that_was_read_in_part_is_not_used_again() -> None:
    """Its last line was refused when the one before it was taken over."""
    raw = head_of("GET / HTTP/1.1", "Host: a", "A: 1", "B: 1")
    last = kept(raw)

    assert last.again(head_of("GET / HTTP/1.1", "Host: a", "A: 2", "B: 2 "), new_id) is None
    assert not read_alike(last, head_of("GET / HTTP/1.1", "Host: a", "A: 1", "B: 3"))


def test_no_byte_in_any_place_is_read_in_two_ways() -> None:
    """Every byte of a usual head is replaced by, and preceded by, every byte that could mean something."""
    raw = head_of("GET /a HTTP/1.1", "Host: a", "Content-Length: 12", "A: b c", "x-request-id: x")
    for at in range(len(raw) - 4):
        for byte in b"\0\t\n\r :,;#/aZ5\x7f\xff":
            for changed in (raw[:at] + bytes((byte,)) + raw[at + 1 :], raw[:at] + bytes((byte,)) + raw[at:]):
                if changed.index(b"\r\n\r\n") == len(changed) - 4:
                    read_alike(kept(raw), changed)


LINES = [
    st.sampled_from(["GET / HTTP/1.1", "GET /a?b HTTP/1.1", "POST /a HTTP/1.1", "HEAD /a HTTP/1.0"]),
    st.sampled_from(["Host: a", "Host: a", "host: a", "Host: b"]),
    st.sampled_from(["A: 1", "A: 2", "a: 1", "A: two words", "A:  x"]),
    st.sampled_from(["Content-Length: 0", "Content-Length: 12", "Content-Length: x", "B: 1"]),
    st.sampled_from(["traceparent: " + TRACE % 1, "traceparent: " + TRACE % 2, "traceparent: none"]),
    st.sampled_from(["X-Request-Id: one", "X-Request-Id: not usable", "X-Request-Id: " + "d" * 32]),
]


@given(st.lists(st.tuples(*LINES), min_size=2, max_size=8))
def test_any_row_of_heads_is_read_as_if_each_were_alone(forms: list[tuple[str, ...]]) -> None:
    """One connection's, each with more or less in common with the one before it."""
    last = None
    for raw, following in pairwise(head_of(*form) for form in forms):
        try:
            last = last or kept(raw)
        except BadRequest:
            continue
        if not read_alike(last, following):
            last = None
