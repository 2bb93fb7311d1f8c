"""Jobs as the job API shows them. Outputs go in as the worker wrote them, unread.

Each document comes as one piece of bytes and, for outputs that are not to be put together in memory, in parts.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

from flashcore.gateway.bodies import Encoded, Part
from flashcore.model.job import Job, JobStatus, Payload, StreamItem, status_document
from flashcore.wire.documents import document_pieces, encode_document
from flashcore.wire.frames import encode_head
from flashcore.wire.rawjson import write_object

JSON = "application/json"


def shown_output(job: Job) -> Payload | None:
    """What stands as the output in the job's status document."""
    return job.output if job.status.final else job.progress


def status_body(job: Job) -> bytes:
    """The job's status document."""
    document = status_document(job)
    shown = shown_output(job)
    if shown is not None:
        return write_object(document, {"output": raw_payload(shown)})
    if job.status is JobStatus.COMPLETED:
        return write_object(document, {"output": b"null"})
    return write_object(document, {})


def status_parts(job: Job, output: Payload) -> list[Part]:
    """The same in parts."""
    opened = write_object(status_document(job), {"output": b""})
    return [opened[:-1], *_payload_parts(output), b"}"]


def brief_body(job: Job) -> bytes:
    """Only which job it is and how it stands."""
    return write_object({"id": job.id, "status": job.status.value}, {})


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
    return write_object({"id": job.id, "status": job.status.value}, {"stream": b"[%b]" % pieces})


def stream_parts(job: Job, items: Sequence[StreamItem], opening: Opening = unnumbered) -> list[Part]:
    """The same in parts."""
    opened = write_object({"id": job.id, "status": job.status.value}, {"stream": b"["})
    parts: list[Part] = [opened[:-1]]
    for position, item in enumerate(items):
        parts += [b"," if position else b"", opening(item), *_payload_parts(item.value), b"}"]
    return [*parts, b"]}"]


def status_frame(job: Job) -> bytes:
    """The job's status document with its output as it is, for flashcore's own clients."""
    return encode_document(*_framed(job))


def status_frame_parts(job: Job) -> list[Part]:
    """The same in parts."""
    return list(document_pieces(*_framed(job)))


def stream_frame(job: Job, items: Sequence[StreamItem]) -> bytes:
    """What a generator yielded, for flashcore's own clients."""
    return encode_document({"id": job.id, "status": job.status.value}, [item.value for item in items])


def stream_frame_parts(job: Job, items: Sequence[StreamItem]) -> list[Part]:
    """The same in parts."""
    return list(document_pieces({"id": job.id, "status": job.status.value}, [item.value for item in items]))


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


def framed_document(job: Job) -> tuple[Mapping[str, Any], Payload | None]:
    """The job's status document, and the output that stands beside it."""
    document = status_document(job)
    if job.progress is not None and job.progress.media == JSON:
        document["progress"] = _told_progress(bytes(job.progress.data))
    return document, job.output if job.status.final else None


def _told_progress(data: bytes) -> Any:
    """The value that a worker gave; as the text that it is, where no frame could hold it (NaN, half a character)."""
    text = data.decode("utf-8", "replace")
    try:
        value = json.loads(text)
        encode_head({"progress": value})
    except (ValueError, RecursionError):
        return text
    return value


def _framed(job: Job) -> tuple[Mapping[str, Any], tuple[Payload, ...]]:
    document, output = framed_document(job)
    return document, () if output is None else (output,)
