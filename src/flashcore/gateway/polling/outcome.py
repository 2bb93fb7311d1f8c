"""What RunPod's worker posts to job-done, read as what it means."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TypeAlias

from flashcore.gateway.rawjson import NotJson, RawValue, read_object
from flashcore.model.job import Payload

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


def _value(members: dict[str, RawValue], name: str) -> object:
    found = members.get(name)
    return None if found is None else found.value


def _error_of(found: RawValue | None) -> str | None:
    if found is None or not found.value:
        return None
    return found.value if isinstance(found.value, str) else json.dumps(found.value, ensure_ascii=False)
