"""Frames arrive whole however they are cut up, and strangers are turned away."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flashcore.model.errors import ProtocolError
from flashcore.wire.frames import Frame, FrameDecoder, FrameLimits, encode_frame

heads = st.dictionaries(st.text(max_size=5), st.integers() | st.text(max_size=5) | st.none(), max_size=3)
frames = st.builds(Frame, st.integers(0, 255), heads, st.lists(st.binary(max_size=50), max_size=4).map(tuple))


@given(st.lists(frames, max_size=5), st.data())
def test_frames_arrive_whole_however_the_stream_is_cut(sent: list[Frame], data: st.DataObject) -> None:
    """Any cutting of the bytes gives the same frames in the same order, and nothing is left over."""
    stream = b"".join(map(encode_frame, sent))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=8)))
    decoder = FrameDecoder()
    received: list[Frame] = []

    for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True):
        received += decoder.feed(stream[start:end])

    assert received == sent
    assert decoder.pending == 0


def test_a_frame_that_was_cut_off_is_pending() -> None:
    """The end of a stream within a frame can be told."""
    decoder = FrameDecoder()

    assert list(decoder.feed(encode_frame(Frame(1, {"a": 1}))[:-1])) == []
    assert decoder.pending > 0


def test_a_stranger_is_turned_away_at_once() -> None:
    """An HTTP client on our socket is told apart by its first bytes."""
    with pytest.raises(ProtocolError, match="does not speak"):
        list(FrameDecoder().feed(b"GET / HTTP/1.1\r\n\r\n"))


@pytest.mark.parametrize(
    "limits", [FrameLimits(head=4), FrameLimits(buffers=0), FrameLimits(body=3)], ids=["head", "buffers", "body"]
)
def test_what_is_over_a_limit_is_refused_before_it_arrives(limits: FrameLimits) -> None:
    """The lengths alone are enough to refuse: nothing is allocated for a liar."""
    start = encode_frame(Frame(1, {"a": "bcdef"}, (b"1234",)))[: 16 + 8]

    with pytest.raises(ProtocolError, match="limit"):
        list(FrameDecoder(limits).feed(start))


@pytest.mark.parametrize("head", [b"{", b"[]", b"\xff"])
def test_a_head_that_is_no_object_is_refused(head: bytes) -> None:
    """A broken peer is named, not obeyed."""
    prelude = struct.pack(">2sBBHHII", b"FC", 1, 0, 0, 0, len(head), 0)

    with pytest.raises(ProtocolError):
        list(FrameDecoder().feed(prelude + head))
