"""Every message survives the wire, payloads untouched."""

from __future__ import annotations

import math
import typing

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flashcore.model.codec import CodecError, from_json
from flashcore.model.errors import IncompatiblePeer, ProtocolError
from flashcore.model.job import Payload
from flashcore.model.names import EndpointName, InstanceId, JobId, ReplicaId, RevisionId
from flashcore.wire import messages
from flashcore.wire.frames import Frame, FrameDecoder, encode_frame
from flashcore.wire.heads import encode_message
from flashcore.wire.hello import Hello, Identity, Stage, Status
from flashcore.wire.messages import Message, from_frame, to_frame
from flashcore.wire.versions import VersionRange, agree

payloads = st.builds(Payload, st.binary(max_size=40), st.sampled_from(["application/json", "application/x-pickle"]))
ids = st.text(min_size=1, max_size=8).map(JobId)
texts = st.dictionaries(st.text(max_size=5), st.text(max_size=5), max_size=2)
assignments = st.builds(messages.Assignment, ids, st.integers(1, 9), st.floats(0, 1e6), payloads, texts)
results = st.builds(
    messages.Result,
    ids,
    st.integers(1, 9),
    st.none() | payloads,
    st.none() | st.text(max_size=9),
    st.booleans(),
    st.none() | st.text(max_size=9),
)
identity = Identity(
    EndpointName("e"), ReplicaId("r"), InstanceId("i"), RevisionId("v"), 1, 2.0, "boot", VersionRange(1, 2)
)
MESSAGES: typing.Mapping[type, st.SearchStrategy[Message]] = {
    Hello: st.just(Hello(identity, Status(Stage.LOADING, "numpy", None), 4)),
    Status: st.builds(Status, st.sampled_from(Stage), st.text(max_size=9), st.none() | st.just("unix:/x")),
    messages.Drain: st.builds(messages.Drain, st.floats(0, 100)),
    messages.Welcome: st.builds(messages.Welcome, st.integers(1, 3), st.floats(0.1, 60)),
    messages.Refusal: st.builds(messages.Refusal, st.text(max_size=9), st.booleans()),
    messages.Work: st.builds(messages.Work, st.lists(assignments, max_size=4).map(tuple)),
    messages.Stop: st.builds(messages.Stop, st.lists(ids, max_size=4).map(tuple)),
    messages.Received: st.builds(messages.Received, st.lists(ids, max_size=4).map(tuple)),
    messages.Results: st.builds(messages.Results, st.lists(results, max_size=4).map(tuple)),
    messages.Chunk: st.builds(messages.Chunk, ids, st.integers(1, 9), payloads, st.none() | st.integers(0, 9)),
    messages.Taken: st.builds(messages.Taken, ids, st.integers(1, 9), st.integers(0, 9)),
    messages.Serves: st.builds(messages.Serves, texts),
    messages.Progress: st.builds(messages.Progress, ids, st.integers(1, 9), payloads),
    messages.Beat: st.builds(messages.Beat, st.lists(ids, max_size=4).map(tuple)),
    messages.Leaving: st.just(messages.Leaving()),
    messages.Table: st.just(messages.Table(3, {"version": 3, "endpoints": []})),
    messages.TableUpdate: st.just(messages.TableUpdate(4, {"base": 3, "version": 4, "put": [], "removed": ["e"]})),
    messages.Trouble: st.builds(messages.Trouble, st.text(max_size=9)),
    messages.Quiesce: st.builds(messages.Quiesce, st.floats(0, 100)),
    messages.Part: st.builds(messages.Part, st.just(30), payloads, st.booleans()),
    messages.Quiesced: st.builds(messages.Quiesced, st.integers(0, 9)),
    messages.ControlHello: st.just(messages.ControlHello(VersionRange(1, 2))),
    messages.ControlWelcome: st.builds(messages.ControlWelcome, st.integers(1, 3)),
    messages.Applied: st.builds(messages.Applied, st.integers(0, 9), st.none() | st.text(max_size=9)),
    messages.Access: st.just(messages.Access(({"id": "t", "digest": "d"},))),
    messages.Signals: st.just(messages.Signals(EndpointName("e"), {"queued": 1})),
}


def test_no_message_is_forgotten_here() -> None:
    """A new message needs an example."""
    assert set(MESSAGES) == set(typing.get_args(Message))


@pytest.mark.parametrize("kind", MESSAGES, ids=lambda kind: kind.__name__)
@given(data=st.data())
def test_a_message_survives_the_wire(kind: type, data: st.DataObject) -> None:
    """Encoded, sent and decoded, it is the same message."""
    sent = data.draw(MESSAGES[kind])

    data_sent = encode_message(sent)
    (frame,) = FrameDecoder().feed(data_sent)

    assert from_frame(frame) == sent
    assert data_sent == encode_frame(to_frame(sent))


@pytest.mark.parametrize("timeout", [math.nan, math.inf])
def test_work_that_is_no_json_is_not_sent(timeout: float) -> None:
    """No peer would read such a number, or half a character."""
    with pytest.raises(ValueError, match="timeout"):
        encode_message(messages.Work((messages.Assignment(JobId("a"), 1, timeout, Payload(b"")),)))
    with pytest.raises(ValueError, match="surrogates"):
        encode_message(messages.Results((messages.Result(JobId("a"), 1, error="\ud800"),)))


def test_a_message_of_a_later_version_is_named() -> None:
    """An unknown kind says who is to be upgraded."""
    with pytest.raises(ProtocolError, match="unknown kind 250"):
        from_frame(Frame(250))


@pytest.mark.parametrize(
    "greeting",
    [Hello(identity, Status(Stage.READY), 4), messages.ControlHello(VersionRange(2, 9))],
    ids=["hello", "control hello"],
)
def test_a_greeting_of_a_later_version_is_read_as_far_as_it_is_known(greeting: Message) -> None:
    """It comes before peers have agreed on a version, and is how they learn of each other's."""
    frame = to_frame(greeting)

    def grown(value: object) -> object:
        if not isinstance(value, dict):
            return value
        return {"added_later": {"x": 1}, **{key: grown(item) for key, item in value.items()}}

    later = grown(frame.head)
    assert isinstance(later, dict)

    assert from_frame(Frame(frame.kind, later)) == greeting


def test_a_message_that_is_nested_too_deeply_is_refused() -> None:
    """As one that does not fit in any other way: its peer is told, and nobody else's connection is concerned."""
    nested: dict[str, object] = {}
    for _ in range(5_000):
        nested = {"a": nested}

    with pytest.raises(ProtocolError, match="does not fit"):
        from_frame(Frame(messages.Kind.HELLO, {"identity": nested}, (b"x",)))
    with pytest.raises(ProtocolError, match="does not fit"):
        from_frame(Frame(messages.Kind.RESULTS, {"results": [nested]}, (b"x",)))


def test_a_message_that_lacks_a_field_is_refused() -> None:
    """A peer that leaves something out is told what."""
    with pytest.raises(ProtocolError, match="grace"):
        from_frame(Frame(messages.Kind.DRAIN, {}))


def test_results_without_their_buffers_are_refused() -> None:
    """A head that promises more buffers than came is an error of the protocol, not of ours."""
    frame = to_frame(messages.Results((messages.Result(JobId("a"), 1, Payload(b"1")),)))

    with pytest.raises(ProtocolError, match="Results"):
        from_frame(Frame(frame.kind, frame.head, ()))


ODD: typing.Sequence[typing.Any] = (
    None, True, 0, 1, 1.5, -1, 10**400, "", "x", [], ["x"], {}, {"a": 1}, {"a": None},
    {"data": None}, {"media": "m"}, {"data": None, "media": "m"}, {"data": "d", "media": "m"},
    {"data": None, "media": 1}, {"data": None, "media": "m", "other": 1}, {"a": {"data": None, "media": "m"}},
)  # fmt: skip
"""What a peer might write in any place."""

PAYLOAD: typing.Any = {"data": None, "media": "m"}
RIGHT: typing.Mapping[type, tuple[str, typing.Sequence[dict[str, typing.Any]]]] = {
    messages.Work: ("jobs", [{"id": "j", "attempt": 1, "timeout": 1.5, "input": PAYLOAD, "context": {"a": "b"}}]),
    messages.Results: (
        "results",
        [
            {"id": "j", "attempt": 1, "error": None},
            {"output": PAYLOAD, "id": "j", "attempt": 1, "error": "why", "released": True},
        ],
    ),
}


def heads_like(name: str, item: dict[str, typing.Any]) -> typing.Iterator[typing.Mapping[str, typing.Any]]:
    """A head with this item, as it should be and with one thing changed: left out, of nobody, or of any value."""
    yield from ({}, {name: [item]}, {name: [item, item]}, {name: [item], "other": 1})
    for odd in ODD:
        yield from ({name: odd}, {name: [odd]}, {name: [item, odd]}, {name: [{**item, "other": odd}]})
        for field in item:
            yield {name: [{**item, field: odd}, item]}
    for field in item:
        yield {name: [{key: value for key, value in item.items() if key != field}]}


def by_the_codec(cls: type, frame: Frame) -> object:
    """What the general way of reading makes of a frame: buffers put back in the order of the head, then the codec."""
    buffers = iter(frame.buffers)

    def refill(value: typing.Any) -> typing.Any:
        if isinstance(value, dict):
            if set(value) == {"data", "media"} and value["data"] is None:
                if (data := next(buffers, None)) is None:
                    raise CodecError("", "a buffer is missing")
                return {"data": data, "media": value["media"]}
            return {key: refill(item) for key, item in value.items()}
        return [refill(item) for item in value] if isinstance(value, list) else value

    return from_json(cls, refill(frame.head))


@pytest.mark.parametrize("cls", RIGHT, ids=lambda cls: cls.__name__)
@pytest.mark.parametrize("buffers", range(4))
def test_what_is_read_quickly_is_what_the_codec_reads(cls: type, buffers: int) -> None:
    """Equal values where the codec takes a head, an error of the protocol where it does not."""
    name, right = RIGHT[cls]
    kind = messages.Kind[cls.__name__.upper()]
    for head in (head for item in right for head in heads_like(name, item)):
        frame = Frame(kind, head, tuple(b"%d" % number for number in range(buffers)))
        try:
            expected = by_the_codec(cls, frame)
        except CodecError:
            with pytest.raises(ProtocolError, match=f"a {cls.__name__} message does not fit"):
                from_frame(frame)
        else:
            read = from_frame(frame)
            assert (read, repr(read)) == (expected, repr(expected))


def test_a_context_is_not_shared_with_its_frame() -> None:
    """Whoever changes one does not change the other."""
    head = {"id": "a", "attempt": 1, "timeout": 1.0, "input": {"data": None, "media": "m"}, "context": {"k": "v"}}

    read = from_frame(Frame(messages.Kind.WORK, {"jobs": [head]}, (b"1",)))

    assert isinstance(read, messages.Work)
    assert read.jobs[0].context == head["context"]
    assert read.jobs[0].context is not head["context"]


@pytest.mark.parametrize(("ours", "theirs", "agreed"), [((1, 1), (1, 1), 1), ((1, 3), (2, 5), 3), ((2, 3), (1, 2), 2)])
def test_peers_agree_on_the_highest_common_version(ours: tuple[int, int], theirs: tuple[int, int], agreed: int) -> None:
    """Whatever both speak, the newest is spoken."""
    assert agree(VersionRange(*ours), VersionRange(*theirs), "peer") == agreed


@pytest.mark.parametrize(("theirs", "who"), [((1, 1), "the replica"), ((5, 6), "the server")])
def test_peers_without_a_common_version_are_told_who_is_older(theirs: tuple[int, int], who: str) -> None:
    """The next step names the side to upgrade."""
    with pytest.raises(IncompatiblePeer) as caught:
        agree(VersionRange(2, 4), VersionRange(*theirs), "replica r")

    assert who in str(caught.value)
