"""Jobs as the job API shows them. Outputs go in as the worker wrote them, unread.

Each document comes as one piece of bytes and, for outputs that are not to be put together in memory, in parts. It is
written as text, with no mapping in between: of most jobs it is asked for once, and as soon as they have ended.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Sequence
from typing import TypeAlias

from flashcore.gateway.bodies import Encoded, Part
from flashcore.model.job import Job, JobStatus, Payload, StreamItem
from flashcore.wire.compact import compact_encoder, json_text
from flashcore.wire.documents import document_pieces, encode_document

JSON = "application/json"

_write = compact_encoder()


def shown_output(job: Job) -> Payload | None:
    """What stands as the output in the job's status document."""
    return job.output if job.status.final else job.progress


def status_body(job: Job) -> bytes:
    """The job's status document."""
    shown = shown_output(job)
    if shown is not None:
        return b'%b,"output":%b}' % (_opened(job).encode(), raw_payload(shown))
    end = ',"output":null}' if job.status is JobStatus.COMPLETED else "}"
    return (_opened(job) + end).encode()


def status_parts(job: Job, output: Payload) -> list[Part]:
    """The same in parts."""
    return [_opened(job).encode() + b',"output":', *_payload_parts(output), b"}"]


def brief_text(job: Job) -> str:
    """Only which job it is and how it stands."""
    return _opened_briefly(job) + "}"


def brief_body(job: Job) -> bytes:
    """The same as bytes."""
    return brief_text(job).encode()


def unnumbered(_item: StreamItem) -> bytes:
    """How a piece of a stream begins. RunPod's clients know of nothing else."""
    return b'{"output":'


def numbered(item: StreamItem) -> bytes:
    """The same for a reader who says how many it has."""
    return b'{"number":%d,"output":' % item.number


Opening: TypeAlias = Callable[[StreamItem], bytes]


def stream_body(job: Job, items: Sequence[StreamItem], opening: Opening = unnumbered) -> bytes:
    """What a generator yielded since somebody last asked. RunPod's client insists on the `stream` key."""
    pieces = b",".join(b"%b%b}" % (opening(item), raw_payload(item.value)) for item in items)
    return b'%b,"stream":[%b]}' % (_opened_briefly(job).encode(), pieces)


def stream_parts(job: Job, items: Sequence[StreamItem], opening: Opening = unnumbered) -> list[Part]:
    """The same in parts."""
    parts: list[Part] = [_opened_briefly(job).encode() + b',"stream":[']
    for position, item in enumerate(items):
        parts += [b"," if position else b"", opening(item), *_payload_parts(item.value), b"}"]
    return [*parts, b"]}"]


def status_text(job: Job) -> str:
    """The job's status document without its output, for flashcore's own clients, who get that beside it."""
    return _opened_with_progress(job) + "}"


def status_frame(job: Job) -> bytes:
    """The same with the output beside it."""
    return encode_document(_opened_with_progress(job), _outputs(job))


def status_frame_parts(job: Job) -> list[Part]:
    """The same in parts."""
    return list(document_pieces(_opened_with_progress(job), _outputs(job)))


def stream_frame(job: Job, items: Sequence[StreamItem]) -> bytes:
    """What a generator yielded, for flashcore's own clients."""
    return encode_document(_opened_briefly(job), [item.value for item in items])


def stream_frame_parts(job: Job, items: Sequence[StreamItem]) -> list[Part]:
    """The same in parts."""
    return list(document_pieces(_opened_briefly(job), [item.value for item in items]))


def raw_payload(payload: Payload) -> bytes:
    """The payload as a JSON value; what is not JSON is told as such, in base64."""
    if payload.media == JSON:
        return bytes(payload.data) or b"null"
    encoded = {"media": payload.media, "base64": base64.b64encode(payload.data).decode()}
    return json.dumps(encoded, separators=(",", ":")).encode()


def _payload_parts(payload: Payload) -> tuple[Part, ...]:
    if payload.media == JSON:
        return (payload.data or b"null",)
    opened = json.dumps({"media": payload.media, "base64": ""}, separators=(",", ":")).encode()
    return opened[:-2], Encoded(payload.data), opened[-2:]


def _outputs(job: Job) -> tuple[Payload, ...]:
    return (job.output,) if job.status.final and job.output is not None else ()


# -- texts without the brace at their end, so that more may follow -----------------------------------------------------


def _opened(job: Job) -> str:
    """The job as RunPod's status routes show it, but for its output; times in milliseconds."""
    status, finished = job.status, job.finished_at
    text = f'{{"id":{json_text(job.new.id)},"status":"{status.value}"'
    begun = finished if job.started_at is None else job.started_at
    if begun is not None:
        text += f',"delayTime":{_milliseconds(begun - job.submitted_at)}'
        if finished is not None:
            text += f',"executionTime":{_milliseconds(finished - begun)}'
    if status.final or job.worker is not None:
        text += f',"workerId":{json_text(job.worker or "")}'
    if job.retries:
        text += f',"retries":{job.retries}'
    if job.attempt > 1:
        # RunPod's API has no such field: it knows of no attempt that is not charged.
        text += f',"attempts":{job.attempt}'
    return text if job.error is None else f'{text},"error":{json_text(job.error)}'


def _opened_briefly(job: Job) -> str:
    return f'{{"id":{json_text(job.id)},"status":"{job.status.value}"'


def _opened_with_progress(job: Job) -> str:
    progress = job.progress
    if progress is None or progress.media != JSON:
        return _opened(job)
    return f'{_opened(job)},"progress":{_told_progress(bytes(progress.data))}'


def _told_progress(data: bytes) -> str:
    """The value that a worker gave; as the text that it is, where no frame could hold it (NaN, half a character)."""
    text = data.decode("utf-8", "replace")
    try:
        told = _write(json.loads(text))
        told.encode()
    except (ValueError, RecursionError):
        return json_text(text)
    return told


def _milliseconds(seconds: float) -> int:
    return max(0, round(seconds * 1000))
