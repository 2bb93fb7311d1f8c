"""Which headers cross the gateway."""

from __future__ import annotations

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from flashcore.gateway.http.forward import (
    NOTHING_ADDED,
    AddedHeaders,
    PeerLines,
    add_headers,
    answer_start,
    encode_headers,
    request_block,
)
from flashcore.gateway.http.parse import parse_request, parse_response

STRANGER = PeerLines(b"10.0.0.9", trusted=False)
MADE = b"5eed" * 8
PROXY = PeerLines(b"10.0.0.1", trusted=True)


def forwarded(lines: bytes, peer: PeerLines = STRANGER, added: AddedHeaders = NOTHING_ADDED) -> list[str]:
    """The header lines that a replica is sent for a request with these header lines, names in lower case."""
    raw = b"POST /x HTTP/1.1\r\nHost: shop.example\r\n" + lines + b"\r\n"
    block = request_block(parse_request(raw, 64, lambda: MADE), b"/y", peer, added).decode()
    assert block.startswith("POST /y HTTP/1.1\r\n")
    assert block.endswith("\r\n\r\n")
    return [in_lower_case(line) for line in block[:-4].split("\r\n")[1:]]


def returned(lines: bytes, added: AddedHeaders = NOTHING_ADDED) -> list[str]:
    """The header lines that a client is sent for an answer with these header lines, names in lower case."""
    block = answer_start(parse_response(b"HTTP/1.1 200 OK\r\n" + lines + b"\r\n", 64), added)
    return [in_lower_case(line) for line in (block + added.block).decode().split("\r\n")[1:-1]]


def in_lower_case(line: str) -> str:
    """The line with its name in lower case."""
    name, colon, value = line.partition(":")
    return name.lower() + colon + value


def test_names_cross_as_they_were_written() -> None:
    """In both directions: case means nothing, and there are peers to whom it does."""
    head = parse_request(b"GET / HTTP/1.1\r\nHost: shop\r\nX-CamelCase:  1\r\n\r\n", 64, lambda: MADE)
    answer = parse_response(b"HTTP/1.1 200 OK\r\nETag: x\r\n\r\n", 64)

    assert b"\r\nX-CamelCase: 1\r\n" in request_block(head, b"/", STRANGER, NOTHING_ADDED)
    assert answer_start(answer, NOTHING_ADDED) == b"HTTP/1.1 200 OK\r\nETag: x\r\n"


def test_a_plain_request_gains_what_the_gateway_knows() -> None:
    """Who asked, by which scheme and host, and the request's id."""
    assert forwarded(b"Accept: */*\r\n") == [
        "host: shop.example",
        "accept: */*",
        "x-forwarded-proto: http",
        "x-forwarded-for: 10.0.0.9",
        "x-forwarded-host: shop.example",
        f"x-request-id: {MADE.decode()}",
    ]


TRACE = b"traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\r\n"


@pytest.mark.parametrize(
    "sent",
    [
        b"",
        b"traceparent: nonsense\r\ntracestate: a=b\r\n",
        b"traceparent: 00-00000000000000000000000000000000-b7ad6b7169203331-01\r\n",
        b"traceparent: ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\r\n",
        b"traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-more\r\n",
        b"traceparent: 01-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-caf\xe9\r\n",
        b"traceparent: 01-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-%b\r\n" % (b"x" * 1000),
        TRACE * 2,
    ],
)
def test_no_trace_is_made_up(sent: bytes) -> None:
    """One that is malformed goes, with its state. A tracer samples no child of a parent that nobody sampled."""
    assert [line for line in forwarded(sent) if line.startswith("trace")] == []


def test_a_trace_of_a_later_version_goes_on_with_what_it_says_beyond_ours() -> None:
    """As the standard has it: what follows the flags is not ours to drop."""
    later = "traceparent: 01-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-more"

    assert later in forwarded(f"{later}\r\n".encode())


def test_a_trace_goes_on() -> None:
    """What a client sends is kept."""
    assert [line for line in forwarded(TRACE + b"tracestate: a=b\r\n") if line.startswith("trace")] == [
        TRACE.decode().strip(),
        "tracestate: a=b",
    ]


def test_what_is_kept_of_a_head_depends_on_where_it_goes() -> None:
    """A head that is sent to another target, or with other headers added, is written anew."""
    head = parse_request(b"GET /x HTTP/1.1\r\nHost: shop\r\nX-Own: 1\r\n\r\n", 64, lambda: MADE)
    own = add_headers((b"x-own", b"2"))

    sent = [
        request_block(head, target, STRANGER, added)
        for target, added in ((b"/a", NOTHING_ADDED), (b"/b", NOTHING_ADDED), (b"/b", own), (b"/a", NOTHING_ADDED))
    ]

    assert [block.split(b" ")[1] for block in sent] == [b"/a", b"/b", b"/b", b"/a"]
    assert [block.count(b"X-Own: 1") for block in sent] == [1, 1, 0, 1]
    assert sent[0] == sent[3]


@pytest.mark.parametrize(
    "name",
    ["X_Forwarded_For", "X-Forwarded_Proto", "x_forwarded-host", "X_Flashcore_Hop", "Content_Length", "X_Request_Id"],
)
def test_no_other_spelling_passes_for_what_the_gateway_says(name: str) -> None:
    """In CGI and in WSGI a hyphen and an underscore are one; all other names are the client's own to choose."""
    added = add_headers((b"x-flashcore-hop", b"key"))

    sent = forwarded(f"{name}: made up\r\nX_Own: 1\r\n".encode(), added=added)

    assert "x_own: 1" in sent
    assert not any("made up" in line for line in sent)


def test_hop_by_hop_headers_end_here() -> None:
    """RFC 9110 7.6.1, in both directions."""
    lines = (
        b"Connection: keep-alive\r\nKeep-Alive: timeout=5\r\nProxy-Connection: x\r\nTE: trailers\r\nTrailer: x\r\n"
        b"Upgrade: foo\r\nX-Kept: 1\r\n"
    )

    assert forwarded(lines + b"Proxy-Authorization: secret\r\n" + TRACE)[:4] == [
        "host: shop.example",
        "x-kept: 1",
        TRACE.decode().strip(),
        "x-forwarded-proto: http",
    ]
    assert returned(lines) == ["x-kept: 1"]


def test_headers_that_connection_names_end_here_too() -> None:
    """But Host stays: dropping it would make the request another one."""
    lines = forwarded(b"Connection: close, X-Hop, host, content-length\r\nX-Hop: 1\r\nContent-Length: 3\r\n")

    assert "x-hop: 1" not in lines
    assert "host: shop.example" in lines
    assert "content-length: 3" in lines
    assert returned(b"Connection: X-Hop\r\nX-Hop: 1\r\nX-Kept: 1\r\n") == ["x-kept: 1"]


def test_what_a_stranger_claims_of_its_origin_is_replaced() -> None:
    """Only a declared proxy may speak for others."""
    claims = (
        b"X-Forwarded-For: 1.2.3.4\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Host: bank\r\nForwarded: for=1.2.3.4\r\n"
    )

    lines = forwarded(claims)

    assert [line for line in lines if "forwarded" in line] == [
        "x-forwarded-proto: http",
        "x-forwarded-for: 10.0.0.9",
        "x-forwarded-host: shop.example",
    ]


def test_a_declared_proxy_is_believed_and_added_to_the_chain() -> None:
    """Scheme and host as it says, its own address behind those that it names."""
    claims = (
        b"X-Forwarded-For: 1.2.3.4\r\nX-Forwarded-For: 5.6.7.8\r\n"
        b"X-Forwarded-Proto: https\r\nX-Forwarded-Host: bank\r\n"
    )

    lines = forwarded(claims, PROXY)

    assert [line for line in lines if "forwarded" in line] == [
        "x-forwarded-proto: https",
        "x-forwarded-for: 1.2.3.4, 5.6.7.8, 10.0.0.1",
        "x-forwarded-host: bank",
    ]


def test_added_headers_replace_those_of_the_same_name() -> None:
    """A client cannot choose the instance that it is meant for, nor a replica claim to be another."""
    added = add_headers((b"x-flashcore-instance", b"i1"))

    assert "x-flashcore-instance: i1" in forwarded(b"X-Flashcore-Instance: forged\r\n", added=added)
    assert "x-flashcore-instance: forged" not in forwarded(b"X-Flashcore-Instance: forged\r\n", added=added)
    assert returned(b"X-Flashcore-Instance: forged\r\n", added) == ["x-flashcore-instance: i1"]


def test_framing_is_written_anew() -> None:
    """By what the gateway understood, not by what stood there."""
    assert "transfer-encoding: chunked" in forwarded(b"Transfer-Encoding: Chunked\r\n")
    assert "content-length: 7" in forwarded(b"Content-Length: 007\r\n")
    assert returned(b"Content-Length: 007\r\n") == ["content-length: 7"]
    assert returned(b"Transfer-Encoding: chunked\r\n") == []


def test_a_wish_to_change_protocols_is_passed_on() -> None:
    """With a Connection header of the gateway's own."""
    lines = forwarded(b"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: k\r\n")

    assert [line for line in lines if "upgrade" in line] == ["connection: upgrade", "upgrade: websocket"]


@pytest.mark.parametrize("protocol", [b"h2c", b"websocket, h2c", b"H2C"])
def test_h2c_is_not_passed_on(protocol: bytes) -> None:
    """A replica that accepted it could be spoken to past every rule of the gateway."""
    lines = forwarded(b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: " + protocol + b"\r\nHTTP2-Settings: x\r\n")

    assert [line for line in lines if "upgrade" in line or "http2" in line] == []


def test_http_1_0_without_a_host_gets_an_empty_one() -> None:
    """The replica is spoken to in HTTP/1.1, which demands the header."""
    head = parse_request(b"GET / HTTP/1.0\r\n\r\n", 64, lambda: b"made")

    assert b"\r\nhost:\r\n" in request_block(head, b"/", STRANGER, NOTHING_ADDED)


@given(st.binary(max_size=20), st.binary(max_size=20))
def test_no_header_of_ours_can_break_its_line(name: bytes, value: bytes) -> None:
    """Headers that a handler or a route gives are checked when they are encoded."""
    assume(name not in {b"content-length", b"transfer-encoding"})  # these mean something to the parser
    try:
        block = encode_headers(((name, value),))
    except ValueError:
        return

    raw = b"HTTP/1.1 200 OK\r\n" + block + b"\r\n"
    assert parse_response(raw, 64).lines == [name + b": " + value]


@pytest.mark.parametrize(
    ("name", "value"), [(b"a", b"b\r\nc: d"), (b"a\r\n", b"b"), (b"A", b"b"), (b"", b"b"), (b"a", b" b")]
)
def test_a_header_that_is_none_is_an_error_of_ours(name: bytes, value: bytes) -> None:
    """It says which one."""
    with pytest.raises(ValueError, match="cannot be a header"):
        add_headers((name, value))
