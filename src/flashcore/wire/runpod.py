"""What a worker of RunPod's SDK says and is told: the same at a gateway and inside a replica.

    GET  job-take/{worker}          one job, or a list; held until there is one; 204 when there is none
    GET  job-take-batch/{worker}    at most `batch_size` of them
    GET  job-stop/{worker}          {"jobsToStop": [...]}; held likewise
    POST job-done/{worker}/{job}    its result, or its progress
    POST job-stream/{worker}/{job}  one item of its stream
    GET  ping/{worker}              `job_id`: what it works on

The SDK asks again at once, without a pause, whatever it is answered. So every answer that gives it nothing is held. It
posts a result once and drops it when that is refused. So nothing that it posts of a job is ever refused: what is not
wanted any longer is taken and forgotten. Only items of a stream that is too long are refused, whose job has failed.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

from flashcore.model.job import Payload
from flashcore.model.names import JobId
from flashcore.wire.rawjson import NotJson, RawValue, read_object, write_object

_MOST_DIGITS = 18
LONGEST_BATCH = 1000
_SDK = re.compile(rb"RunPod-Python-SDK/(\d{1,9})\.(\d{1,9})\.(\d{1,9})")
_FIRST_WITH_LISTS = (1, 7, 1)
_FIRST_WITH_STOPS = (1, 10, 0)

_TRACE = ("traceparent", "tracestate")
"""Of a job's context, what its handler is told, under the names of the headers that its caller sent."""

_NOTHING = Payload(b"{}")
"""A handler that returned `{}` is posted without an output."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """The end of a job. `error` set means that it failed; what it returned beside the error is kept."""

    output: Payload | None
    error: str | None
    replace_worker: bool
    """The handler asked for its worker to be replaced."""


@dataclass(frozen=True, slots=True)
class Interim:
    """The job goes on; this is how far it is."""

    progress: Payload


Posted: TypeAlias = Outcome | Interim


def read_outcome(body: bytes | memoryview) -> Posted:
    """What was posted. Whatever cannot be read is the job's failure: it would only be posted, and dropped, once."""
    try:
        members = read_object(body)
    except NotJson as unread:
        return Outcome(None, f"the worker posted a result that is not JSON: {unread.message}", replace_worker=False)
    output = members.get("output")
    if _value(members, "status") == "IN_PROGRESS":
        return Interim(Payload(b"null" if output is None else output.raw))
    error = _error_of(members.get("error"))
    kept = _NOTHING if output is None and error is None else None if output is None else Payload(output.raw)
    return Outcome(kept, error, replace_worker=bool(_value(members, "stopPod")))


def read_chunk(body: bytes | memoryview) -> Payload:
    """What was posted to job-stream. Raises NotJson."""
    output = read_object(body).get("output")
    return Payload(b"null" if output is None else output.raw)


def reads_lists(user_agent: bytes) -> bool:
    """Whether the SDK of that name takes a list where it asked for one job."""
    return _version(user_agent) >= _FIRST_WITH_LISTS


def asks_for_stops(user_agent: bytes) -> bool:
    """Whether the SDK of that name asks what it is to stop all the while that it works, with pauses of seconds."""
    return _version(user_agent) >= _FIRST_WITH_STOPS


def _version(user_agent: bytes) -> tuple[int, ...]:
    """Nothing where it is not the SDK."""
    found = _SDK.match(user_agent)
    return () if found is None else tuple(int(part) for part in found.groups())


def batch_size(text: str) -> int:
    """How many jobs it asks for."""
    # Python refuses to read numbers of some thousand digits, and takes raised ones for digits without reading them.
    counts = text.isascii() and text.isdigit() and len(text) <= _MOST_DIGITS
    return min(LONGEST_BATCH, max(1, int(text))) if counts else 1


def named_jobs(text: str) -> frozenset[JobId]:
    """The jobs that a ping names."""
    return frozenset(JobId(job) for job in text.replace("%2C", ",").split(",") if job)


def job_text(job: JobId, input: bytes, context: Mapping[str, str]) -> bytes:  # noqa: A002 - what RunPod calls it
    """A job as the SDK takes it; its input is JSON already. The SDK hands a handler whatever else is there."""
    return write_object({"id": job, **{name: context[name] for name in _TRACE if name in context}}, {"input": input})


def list_text(jobs: Iterable[bytes]) -> bytes:
    """Several of them."""
    return b"[%b]" % b",".join(jobs)


def _value(members: dict[str, RawValue], name: str) -> object:
    found = members.get(name)
    return None if found is None else found.value


def _as_text(found: RawValue) -> str:
    try:
        return json.dumps(found.value, ensure_ascii=False)
    except RecursionError:  # Python reads a little deeper than it writes
        return bytes(found.raw).decode()


def _error_of(found: RawValue | None) -> str | None:
    if found is None or not found.value:
        return None
    text = found.value if isinstance(found.value, str) else _as_text(found)
    # Half of a surrogate pair, as the name of a file has that is not UTF-8: no store holds it, and no answer.
    return text if text.isascii() else text.encode("utf-8", "backslashreplace").decode()
