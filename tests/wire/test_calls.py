"""The frames of links: what is written is what is read, and anything else is refused."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from flashcore.model.errors import ProtocolError
from flashcore.model.job import Payload
from flashcore.wire import calls
from flashcore.wire.calls import Answer, Refusal, Submission, WrittenAnswer
from flashcore.wire.frames import Frame, FrameDecoder, encode_frame
from flashcore.wire.messages import Kind

TEXT = st.text('ab\u00e9\u2603"\\\n\0', max_size=8)
NUMBER = st.integers(0, 2**53)
PAYLOAD = st.builds(Payload, st.binary(max_size=50), TEXT)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | TEXT,
    lambda inner: st.lists(inner, max_size=7) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=12,
)
SUBMISSION = st.builds(Submission, NUMBER, TEXT, NUMBER, TEXT, PAYLOAD, st.dictionaries(TEXT, TEXT, max_size=3))
DOCUMENT = st.dictionaries(TEXT, JSON, max_size=3)
HERE, APART = st.sampled_from([False]), st.sampled_from([True])
ANSWER = st.builds(Answer, NUMBER, DOCUMENT, st.none() | PAYLOAD, HERE) | st.builds(
    Answer, NUMBER, DOCUMENT, st.none(), APART
)
REFUSAL = st.builds(Refusal, NUMBER, st.integers(400, 599), st.none() | st.integers(1, 100), st.binary(max_size=20))


def sent(frame: Frame) -> Frame:
    """The frame as it arrives."""
    return received(encode_frame(frame))


def received(data: bytes) -> Frame:
    """The only frame in some bytes."""
    (arrived,) = FrameDecoder(calls.LIMITS).feed(data)
    return arrived


@given(st.lists(SUBMISSION, max_size=5), st.lists(ANSWER, max_size=5), st.lists(REFUSAL, max_size=5))
def test_what_is_written_is_what_is_read(
    submissions: list[Submission], answers: list[Answer], refusals: list[Refusal]
) -> None:
    """In the same order, with the same bytes."""
    assert calls.read_submissions(sent(calls.submit_frame(submissions))) == submissions
    told = [WrittenAnswer(one.number, json.dumps(one.document), one.output, one.is_apart) for one in answers]
    assert calls.read_from_gateway(received(calls.encode_answers(told))) == answers
    assert calls.read_from_gateway(sent(calls.refusals_frame(refusals))) == refusals
    assert calls.read_forgotten(sent(calls.forget_frame([1, 2]))) == [1, 2]
    assert isinstance(calls.read_from_gateway(sent(calls.going_frame())), calls.Going)


@given(
    st.sampled_from([Kind.SUBMIT, Kind.FORGET, Kind.ANSWERS, Kind.REFUSALS, Kind.GOING, Kind.BEAT]),
    st.dictionaries(st.sampled_from(["jobs", "numbers"]), JSON, max_size=2),
    st.lists(st.binary(max_size=3), max_size=3),
)
def test_anything_else_is_refused(kind: Kind, head: dict[str, Any], buffers: list[bytes]) -> None:
    """By an error of the protocol, and never by another one."""
    frame = sent(Frame(kind, head, tuple(buffers)))
    for read in (calls.read_submissions, calls.read_forgotten, calls.read_from_gateway):
        try:
            read(frame)
        except ProtocolError:
            continue
