"""Messages as bytes.

Work and results are most of what is ever sent. Their heads are written here as `to_frame` and the encoder of frames
would write them, without the mappings between the two, which take longer to make than the text.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import isfinite
from typing import Any

from flashcore.wire.compact import compact_encoder, json_text
from flashcore.wire.frames import Frame, encode_frame, encode_head
from flashcore.wire.messages import Assignment, Kind, Message, Result, Results, Work, to_frame

_value = compact_encoder()
_ELSEWHERE: Mapping[str, Any] = {}
"""The head of a frame whose head is written already."""

Written = tuple[Frame, bytes]
"""A frame for its buffers, and its head."""


def encode_message(message: Message) -> bytes:
    """The bytes of a message's frame. Raises ValueError for what is not JSON."""
    return encode_frame(*written(message))


def written(message: Message) -> Written:
    """A message's frame, and its head as bytes. Raises ValueError for what is not JSON."""
    if isinstance(message, Work):
        inputs = tuple([job.input.data for job in message.jobs])
        return Frame(Kind.WORK, _ELSEWHERE, inputs), _work(message.jobs)
    if isinstance(message, Results):
        outputs = tuple([result.output.data for result in message.results if result.output is not None])
        return Frame(Kind.RESULTS, _ELSEWHERE, outputs), _results(message.results)
    frame = to_frame(message)
    return frame, encode_head(frame.head)


def _work(jobs: Sequence[Assignment]) -> bytes:
    return f'{{"jobs":[{",".join(map(_assignment, jobs))}]}}'.encode()


def _assignment(job: Assignment) -> str:
    if not isfinite(job.timeout):
        raise ValueError(f"job {job.id} has a timeout of {job.timeout}, which is no number of JSON")
    given = f'"input":{{"data":null,"media":{json_text(job.input.media)}}},"context":{_value(dict(job.context))}'
    return f'{{"id":{json_text(job.id)},"attempt":{job.attempt},"timeout":{job.timeout!r},{given}}}'


def _results(results: Sequence[Result]) -> bytes:
    return f'{{"results":[{",".join(map(_result, results))}]}}'.encode()


def _result(result: Result) -> str:
    error = "null" if result.error is None else json_text(result.error)
    text = f'{{"id":{json_text(result.id)},"attempt":{result.attempt},"error":{error}'
    if result.output is not None:
        text += f',"output":{{"data":null,"media":{json_text(result.output.media)}}}'
    if result.released:
        text += ',"released":true'
    if result.unfit is not None:
        text += f',"unfit":{json_text(result.unfit)}'
    return text + "}"
