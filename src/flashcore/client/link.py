"""A caller's end of a link (`wire.calls`), whatever carries its bytes."""

from __future__ import annotations

import mmap
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from flashcore.client.address import Address
from flashcore.client.exchange import Response, Submission, Told
from flashcore.model.errors import ProtocolError
from flashcore.model.job import Payload
from flashcore.wire import calls
from flashcore.wire.calls import Answer, Going, Refusal
from flashcore.wire.frames import FrameDecoder, encode_frame
from flashcore.wire.seal import size_of

WITHOUT_LINK = 300.0
"""Seconds for which an address that has no links is not asked for one again."""

OPENING = 5.0
"""Seconds in which it is to say whether it has."""

_LONGEST_HEAD = 1 << 16
_ROOM = 1 << 18


class Line(NamedTuple):
    """Where a link leads, and by whose token."""

    address: Address
    token: str


class NoLink(Exception):
    """The other side has no links. `seconds`: for how long that is taken to be so."""

    def __init__(self, seconds: float) -> None:
        super().__init__()
        self.seconds = seconds


def fits(submission: Submission) -> bool:
    """Whether it is small enough; what is large goes by HTTP, where it holds nobody up."""
    return size_of(submission.pieces) <= calls.LARGEST


def reading_room() -> memoryview:
    """What a link reads into. Without it Python would ask the system for as much, and give it back, for each answer.

    Pages that nothing was read into yet take up no memory.
    """
    return memoryview(mmap.mmap(-1, _ROOM, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS))


def opening(line: Line) -> bytes:
    """The request that opens a link."""
    address = line.address
    host = f"[{address.host}]" if ":" in address.host else address.host
    lines = [
        f"GET {address.prefix}{calls.PATH} HTTP/1.1",
        f"Host: {host}:{address.port}",
        *([f"Authorization: {line.token}"] if line.token else []),
        "Connection: Upgrade",
        f"Upgrade: {calls.PROTOCOL}",
    ]
    return "\r\n".join([*lines, "", ""]).encode("latin-1")


class Opening:
    """Reads the answer to the request that opens a link."""

    def __init__(self) -> None:
        self._data = b""

    def feed(self, data: bytes) -> bytes | None:
        """What follows the answer, once it is complete and the link is open. Raises NoLink where it is not."""
        self._data += data
        head, end, rest = self._data.partition(b"\r\n\r\n")
        if not data or len(head) > _LONGEST_HEAD:
            raise NoLink(0.0)  # it ended, or does not end: perhaps another time
        if not end:
            return None
        status, lines = head.split(b"\r\n", 1)[0], head.lower().split(b"\r\n")
        if not status.startswith(b"HTTP/1.1 101 ") or b"upgrade: " + calls.PROTOCOL.encode() not in lines:
            raise NoLink(0.0 if status[9:10] == b"5" else WITHOUT_LINK)
        return rest


class Talk:
    """Frames of one link: submissions out, what is said of them in, by number."""

    def __init__(self) -> None:
        self._decoder = FrameDecoder(calls.ANSWER_LIMITS)
        self.is_going = False
        """The gateway wants the next submissions over another connection."""

    def heard(self, data: bytes | memoryview) -> Iterator[tuple[int, Told | Response]]:
        """Yield what is said now. Raises ProtocolError; the connection is then of no more use."""
        for frame in self._decoder.feed(data):
            said = calls.read_from_gateway(frame)
            if isinstance(said, Going):
                self.is_going = True
                continue
            for one in said:
                yield one.number, _told(one) if isinstance(one, Answer) else _refused(one)


def encode_submission(number: int, one: Submission) -> bytes:
    """A submission that is alone, as a frame."""
    return encode_frame(calls.submit_frame((_on_the_wire(number, one),)))


def encode_submissions(numbered: Iterable[tuple[int, Submission]]) -> bytes:
    """Submissions as frames, each closed before it is too large."""
    frames: list[bytes] = []
    batch: list[calls.Submission] = []
    size = 0
    for number, one in numbered:
        batch.append(_on_the_wire(number, one))
        size += len(batch[-1].input.data) + (sum(map(len, one.trace.values())) if one.trace else 0)
        if size >= calls.LARGEST or len(batch) == calls.MOST_JOBS:
            frames.append(encode_frame(calls.submit_frame(batch)))
            batch, size = [], 0
    if batch:
        frames.append(encode_frame(calls.submit_frame(batch)))
    return frames[0] if len(frames) == 1 else b"".join(frames)


def encode_forgotten(numbers: list[int]) -> bytes:
    """Nobody waits for these any longer: as many frames as it takes."""
    starts = range(0, len(numbers), calls.MOST_JOBS)
    return b"".join(encode_frame(calls.forget_frame(numbers[at : at + calls.MOST_JOBS])) for at in starts)


def _on_the_wire(number: int, one: Submission) -> calls.Submission:
    pieces = one.pieces
    data = pieces[0] if len(pieces) == 1 else b"".join(pieces)
    held = data if isinstance(data, bytes | memoryview) else bytes(data)
    wait = 0 if one.wait is None else max(1, round(one.wait * 1000))
    return calls.Submission(number, one.endpoint, wait, one.key, Payload(held, one.media), one.trace)


def _told(answer: Answer) -> Told:
    output = answer.output
    if output is None:
        return Told(answer.document, None, answer.is_apart)
    # Arrays in it are the caller's own, to be written to.
    return Told(answer.document, (output.media, memoryview(bytearray(output.data))), answer.is_apart)


def _refused(refusal: Refusal) -> Response:
    if not 400 <= refusal.status <= 599:
        raise ProtocolError(f"a job was refused with status {refusal.status}", next_step="upgrade the older process")
    return Response(refusal.status, {}, bytes(refusal.error))
