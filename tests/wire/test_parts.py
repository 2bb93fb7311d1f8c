"""Messages that are too long for one frame, in parts."""

from __future__ import annotations

from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flashcore.model.errors import ProtocolError
from flashcore.model.job import Payload
from flashcore.wire.frames import FrameDecoder, FrameLimits
from flashcore.wire.messages import Kind, Message, Part, Table, TableUpdate, from_frame
from flashcore.wire.parts import PartLimits, Parts, TooLong, encode

TABLES = frozenset({Kind.TABLE, Kind.TABLE_UPDATE})
SMALL = PartLimits(whole=60, part=7, all=500)


def received(data: Iterable[bytes]) -> list[Message]:
    """What a peer makes of it."""
    decoder = FrameDecoder()
    return [from_frame(frame) for piece in data for frame in decoder.feed(piece)]


def put_together(messages: Iterable[Message], limits: PartLimits = SMALL) -> list[Message]:
    """The same, where parts are known."""
    parts = Parts(TABLES, limits)
    found = [parts.take(one) if isinstance(one, Part) else one for one in messages]
    return [one for one in found if one is not None]


def piece(text: bytes, *, of: int = Kind.TABLE, last: bool = False) -> Part:
    """One part."""
    return Part(of, Payload(text, "application/json"), last)


@given(st.lists(st.text(max_size=60), min_size=1, max_size=4), st.integers(1, 40))
def test_messages_of_any_length_arrive_as_they_were(texts: list[str], size: int) -> None:
    """Short ones as they are, long ones in parts, one after the other over one connection."""
    limits = PartLimits(whole=60, part=size, all=5000)
    sent = [Table(number, {"text": text}) for number, text in enumerate(texts)]
    data = [part for message in sent for part in encode(message, limits, in_parts=True)]

    assert put_together(received(data), limits) == sent


def test_a_short_message_is_one_ordinary_frame() -> None:
    """Whoever knows no parts reads it, too."""
    message = TableUpdate(2, {"base": 1})

    assert received(encode(message, SMALL, in_parts=True)) == [message]
    assert received(encode(message, SMALL, in_parts=False)) == [message]


def test_a_message_that_is_too_long_for_the_peer_is_not_sent() -> None:
    """It says how long it is, and what to do."""
    with pytest.raises(TooLong, match="restart the gateway"):
        encode(Table(1, {"text": "x" * 100}), SMALL, in_parts=False)
    with pytest.raises(TooLong, match="several environments"):
        encode(Table(1, {"text": "x" * 600}), SMALL, in_parts=True)


def test_no_more_is_held_than_the_limit() -> None:
    """Whatever a peer says that it will send."""
    parts = Parts(TABLES, SMALL)
    assert parts.take(piece(b"x" * 500)) is None
    with pytest.raises(TooLong):
        parts.take(piece(b"x"))


@pytest.mark.parametrize(
    "parts",
    [
        [piece(b"{}", of=Kind.ACCESS, last=True)],
        [piece(b"{}", of=Kind.PART, last=True)],
        [piece(b"{"), piece(b"}", of=Kind.TABLE_UPDATE, last=True)],
        [piece(b"not json", last=True)],
        [piece(b'{"version": 1}', last=True)],
    ],
    ids=["another kind", "a part of a part", "two kinds", "no JSON", "no such message"],
)
def test_parts_that_make_no_message_end_the_connection(parts: list[Part]) -> None:
    """Each is a ProtocolError."""
    with pytest.raises(ProtocolError):
        put_together(parts)


def test_a_whole_head_is_as_long_as_a_frame_takes() -> None:
    """Or the peer would hang up on what goes in one piece."""
    assert PartLimits().whole == FrameLimits().head
