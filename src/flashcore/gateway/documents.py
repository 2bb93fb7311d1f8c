"""Jobs as the job API shows them. Outputs go in as the worker wrote them, unread."""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence

from flashcore.gateway.rawjson import write_object
from flashcore.model.job import Job, JobStatus, Payload, status_document
from flashcore.wire.documents import encode_document

JSON = "application/json"


def status_body(job: Job) -> bytes:
    """The job's status document."""
    document = status_document(job)
    document.pop("output", None)
    shown = job.output if job.status.final else job.progress
    if shown is not None:
        return write_object(document, {"output": raw_payload(shown)})
    if job.status is JobStatus.COMPLETED:
        return write_object(document, {"output": b"null"})
    return write_object(document, {})


def brief_body(job: Job) -> bytes:
    """Only which job it is and how it stands."""
    return write_object({"id": job.id, "status": job.status.value}, {})


def stream_body(job: Job, chunks: Sequence[Payload]) -> bytes:
    """What a generator yielded since somebody last asked. RunPod's client insists on the `stream` key."""
    items = b",".join(b'{"output":%b}' % raw_payload(chunk) for chunk in chunks)
    return write_object({"id": job.id, "status": job.status.value}, {"stream": b"[%b]" % items})


def status_frame(job: Job) -> bytes:
    """The job's status document with its output as it is, for flashcore's own clients."""
    document = status_document(job)
    document.pop("output", None)
    output = job.output if job.status.final else None
    if job.progress is not None and job.progress.media == JSON:
        document["progress"] = json.loads(job.progress.data)
    return encode_document(document, () if output is None else (output,))


def stream_frame(job: Job, chunks: Sequence[Payload]) -> bytes:
    """What a generator yielded, for flashcore's own clients."""
    return encode_document({"id": job.id, "status": job.status.value}, chunks)


def raw_payload(payload: Payload) -> bytes:
    """The payload as a JSON value; what is not JSON is told as such, in base64."""
    if payload.media == JSON:
        return payload.data or b"null"
    encoded = {"media": payload.media, "base64": base64.b64encode(payload.data).decode()}
    return json.dumps(encoded, separators=(",", ":")).encode()
