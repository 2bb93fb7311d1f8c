"""Where bodies end."""

from __future__ import annotations

from itertools import pairwise

import httptools
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flashcore.gateway.http.errors import BadFraming
from flashcore.gateway.http.framing import LAST_CHUNK, BodyReader, ChunkedBody, LengthBody, encode_chunk
from flashcore.gateway.http.headreader import HeadReader


def cut(data: bytes, points: list[int]) -> list[bytes]:
    """`data` in pieces, cut wherever a point falls."""
    places = sorted({point % (len(data) + 1) for point in points} | {0, len(data)})
    return [data[start:end] for start, end in pairwise(places)]


def read(body: BodyReader, pieces: list[bytes]) -> tuple[bytes, bytes]:
    """What `body` makes of the pieces, and what it leaves."""
    taken, rest = b"", b""
    for piece in pieces:
        if body.done:
            rest += piece
        else:
            taken += body.feed(piece)
            rest += body.rest if body.done else b""
    return taken, rest


POINTS = st.lists(st.integers(min_value=0, max_value=10_000), max_size=12)


@given(st.lists(st.binary(min_size=1, max_size=40), max_size=6), st.binary(max_size=10), POINTS)
def test_chunks_come_out_whole_wherever_they_are_cut(chunks: list[bytes], after: bytes, points: list[int]) -> None:
    """Every byte of every chunk, no byte of what follows."""
    data = b"".join(map(encode_chunk, chunks)) + LAST_CHUNK + after

    taken, rest = read(body := ChunkedBody(), cut(data, points))

    assert body.done
    assert taken == b"".join(chunks)
    assert rest == after


def test_extensions_and_trailers_are_dropped() -> None:
    """They are hop-by-hop at best; nobody behind the gateway sees them."""
    body = ChunkedBody()

    taken = body.feed(b'3;name="value";x\r\nabc\r\n0;last\r\nX-Trailer: a\r\nOther: b\r\n\r\nnext')

    assert (taken, body.done, body.rest) == (b"abc", True, b"next")


BAD_CHUNKS = [
    b"g\r\n",
    b"\r\n",
    b" 3\r\nabc\r\n",
    b"3 \r\nabc\r\n",
    b"+3\r\nabc\r\n",
    b"-1\r\n",
    b"0x3\r\nabc\r\n",
    b"1_0\r\n",
    b"3\nabc\r\n",
    b"3\r\nabcd\r\n",
    b"3\r\nabc\n\n",
    b"3\r\nabc\rX",
    b"3\r\nabc\r\r\n",
    b"3;a\nb\r\nabc\r\n",
    b"3;a\rb\r\nabc\r\n",
    b"3;\x00\r\nabc\r\n",
    b"3;\r\nabc\r\n",
    b"3; a\r\nabc\r\n",
    b'3;a="b\r\nabc\r\n',
    b"ffffffffffffffff\r\n",
    b"3" + b";" * 600,
    b"0\r\n folded\r\n\r\n",
    b"0\r\nno colon\r\n\r\n",
    b"0\r\nA: b\nC: d\r\n\r\n",
    b"0\r\n" + b"A: b\r\n" * 2000 + b"\r\n",
    b"0\r\nA: " + b"b" * 9000,
]


@pytest.mark.parametrize("data", BAD_CHUNKS)
@pytest.mark.parametrize("one_by_one", [False, True])
def test_chunks_that_could_be_misread_are_refused(data: bytes, one_by_one: bool) -> None:  # noqa: FBT001 - a column
    """However the bytes arrive."""
    pieces = [data[at : at + 1] for at in range(len(data))] if one_by_one else [data]
    with pytest.raises(BadFraming):
        read(ChunkedBody(), pieces)


class Oracle:
    """llhttp's opinion of the same body."""

    def __init__(self) -> None:
        self.body = b""
        self.complete = False

    def on_body(self, data: bytes) -> None:
        """More of it."""
        if not self.complete:
            self.body += data

    def on_message_complete(self) -> None:
        """All of it."""
        self.complete = True


FRAGMENTS = st.lists(
    st.sampled_from(
        [
            b"0",
            b"1",
            b"3",
            b"a",
            b"A",
            b"F",
            b"\r\n",
            b"\r",
            b"\n",
            b";",
            b"x=y",
            b" ",
            b"abc",
            b":",
            b"\r\n\r\n",
            b"\0",
            b'"',
            b"\\",
        ]
    ),
    max_size=14,
).map(b"".join)


@given(FRAGMENTS)
def test_nothing_is_read_as_a_body_that_llhttp_refuses(data: bytes) -> None:
    """An independent strict parser agrees on every body that is accepted here, and on its bytes."""
    body = ChunkedBody()
    try:
        taken = body.feed(data)
    except BadFraming:
        return
    if not body.done:
        return
    complete = data[: len(data) - len(body.rest)]
    oracle = Oracle()

    httptools.HttpRequestParser(oracle).feed_data(
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n" + complete
    )

    assert oracle.complete
    assert oracle.body == taken


@given(st.binary(max_size=100), st.binary(max_size=10), POINTS)
def test_a_body_of_known_length_ends_there(content: bytes, after: bytes, points: list[int]) -> None:
    """Not a byte earlier or later, wherever it is cut."""
    body = LengthBody(len(content))

    taken, rest = read(body, cut(content + after, points))

    assert (taken, rest, body.done) == (content, after, True)


@given(st.binary(max_size=60), st.binary(max_size=20), POINTS)
def test_a_head_ends_at_its_first_blank_line(before: bytes, after: bytes, points: list[int]) -> None:
    """Wherever it is cut; what follows is left over."""
    before = before.replace(b"\r\n\r\n", b"").rstrip(b"\r\n")
    data = before + b"\r\n\r\n" + after
    heads, head, rest = HeadReader(), None, b""

    for piece in cut(data, points):
        if head is not None:
            rest += piece
            continue
        head = heads.feed(piece)
        rest = heads.rest if head is not None else b""

    assert head == before + b"\r\n\r\n"
    assert rest == after
    assert heads.size == 0
