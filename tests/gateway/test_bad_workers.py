"""What comes over the worker socket may be anything: who sends it is refused with a reason, and nobody else notices."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import logging
from collections.abc import AsyncIterator

import pytest
from tests.gateway.conftest import Running, jobs_route, side

from flashcore.model.names import JobId, ReplicaId
from flashcore.testing.fake_worker import worker_hello
from flashcore.wire.frames import Frame, FrameDecoder, encode_frame
from flashcore.wire.heads import encode_message
from flashcore.wire.hello import Hello
from flashcore.wire.messages import Kind, Refusal, Stop, Welcome, from_frame

HALF = rb'"\ud800"'


@pytest.fixture
def hello() -> Hello:
    """Of the one worker that is listed."""
    return worker_hello("hello")


@pytest.fixture
async def told(running: Running, hello: Hello) -> AsyncIterator[list[object]]:
    """Serve one queue; no part of the engine may fail meanwhile, whatever a test sends."""
    problems: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: problems.append(context))
    running.serve(jobs_route("hello", side(hello)))
    yield problems
    assert problems == []


async def answers(running: Running, *said: bytes) -> list[object]:
    """What is answered until the gateway ends the connection."""
    reader, writer = await asyncio.open_unix_connection(str(running.gateway.layout.worker_socket))
    decoder = FrameDecoder()
    heard: list[object] = []
    with contextlib.suppress(ConnectionError):
        writer.writelines(said)
        while data := await reader.read(1 << 16):
            heard += [from_frame(frame) for frame in decoder.feed(data)]
    writer.transport.abort()
    return heard


@pytest.mark.parametrize(
    ("kind", "head"),
    [
        (Kind.BEAT, b'{"ids":[%b]}' % HALF),
        (Kind.RESULTS, b'{"results":[{"id":%b,"attempt":1,"error":null}]}' % HALF),
        (Kind.RESULTS, b'{"results":[{"id":"x","attempt":1,"error":%b}]}' % HALF.replace(b"d8", b"D8")),
        (Kind.SERVES, b'{"takes":{%b:"x"}}' % HALF),
    ],
    ids=["beat", "result", "error", "serves"],
)
async def test_a_worker_that_says_what_is_no_text_is_told_so(
    running: Running, told: list[object], hello: Hello, kind: Kind, head: bytes
) -> None:
    """What it says is told to it again, or logged: half of a surrogate pair fits no frame and no log."""
    heard = await answers(running, encode_message(hello), encode_frame(Frame(kind), head))

    assert isinstance(heard[0], Welcome)
    assert heard[1:] == [Refusal("the head of a frame has half of a surrogate pair, which is no text", final=True)]


async def test_a_large_message_that_is_no_text_is_refused_likewise(
    running: Running, told: list[object], hello: Hello
) -> None:
    """It came by way of a file."""
    head = b'{"id":%b,"attempt":1,"value":{"data":null,"media":"x"}}' % HALF
    large = encode_frame(Frame(Kind.CHUNK, {}, (bytes(3 << 20),)), head)

    heard = await answers(running, encode_message(hello), large)

    assert heard[1:] == [Refusal("the head of a frame has half of a surrogate pair, which is no text", final=True)]


async def test_text_may_be_written_with_escapes(running: Running, told: list[object], hello: Hello) -> None:
    """A whole pair is a character, as encoders of others write it."""
    beat = encode_frame(Frame(Kind.BEAT), b'{"ids":["\\ud83d\\ude00"]}')

    heard = await answers(running, encode_message(hello), beat, encode_frame(Frame(99), b"{}"))

    assert heard[1] == Stop((JobId("\N{GRINNING FACE}"),))


@pytest.mark.parametrize("count", [1, 1000])
async def test_what_no_worker_says_ends_its_connection(
    running: Running, told: list[object], hello: Hello, caplog: pytest.LogCaptureFixture, count: int
) -> None:
    """One that says hello again and again filled the log."""
    with caplog.at_level(logging.WARNING, "flashcore.gateway"):
        heard = await answers(running, encode_message(hello), *[encode_message(hello)] * count)

    refusals = [one.reason for one in heard if isinstance(one, Refusal)]
    assert len(refusals) == 1
    assert "sent a Hello, which is not for it to say" in refusals[0]
    assert len(caplog.records) == 1


async def test_a_worker_with_endless_names_is_turned_away(
    running: Running, told: list[object], hello: Hello, caplog: pytest.LogCaptureFixture
) -> None:
    """They were kept while it waited for its table, told to it, and written to the log: ten million characters."""
    named = dataclasses.replace(hello.identity, replica=ReplicaId("x" * 10_000_000))

    with caplog.at_level(logging.INFO, "flashcore.gateway"):
        heard = await answers(running, encode_message(dataclasses.replace(hello, identity=named)))

    assert [type(one) for one in heard] == [Refusal]
    assert "10000 are the most" in heard[0].reason  # type: ignore[attr-defined]  # a Refusal, as was just seen
    assert max(len(record.getMessage()) for record in caplog.records) < 200
