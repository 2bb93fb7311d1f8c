"""Errors as answers: each error of ours has its HTTP status."""

from __future__ import annotations

from collections.abc import Mapping

from flashcore.gateway.allowance import TooManyJobs
from flashcore.gateway.http.respond import Response, error_response
from flashcore.model.errors import (
    Conflict,
    FlashcoreError,
    NotFound,
    Refused,
    StateError,
    StorageFull,
    Unauthorized,
    UsageError,
)
from flashcore.model.names import EndpointName, JobId

JSON_TYPE = ((b"content-type", b"application/json"),)

NO_JOB = JobId("")
"""For who knows of none."""

_STATUS: Mapping[type[FlashcoreError], int] = {
    UsageError: 400,
    Unauthorized: 401,
    NotFound: 404,
    Conflict: 409,
    Refused: 409,
    StateError: 503,
    StorageFull: 503,
}


def job_gone(endpoint: EndpointName, job: JobId = NO_JOB) -> NotFound:
    """The error for who asks for a job that the endpoint does not have, or not any more."""
    which = f"no job {job}" if job else "this job no more"
    return NotFound(
        f"endpoint {endpoint} has {which}",
        next_step="results are kept for a while only; submit it again",
        job=job,
    )


def json_body(body: bytes, status: int = 200) -> Response:
    """An answer whose JSON is written already."""
    return Response(status, JSON_TYPE, body)


def error_answer(error: FlashcoreError) -> Response:
    """The answer to a request that failed with `error`."""
    status = next((status for kind, status in _STATUS.items() if isinstance(error, kind)), 500)
    shown = error.as_json()
    headers = ((b"retry-after", b"1"),) if status == 503 else ()
    return error_response(status, shown.pop("code"), shown.pop("message"), headers, **shown)


def too_many(error: TooManyJobs) -> Response:
    """The answer to a caller who is to come again."""
    headers = ((b"retry-after", b"%d" % error.after),)
    return error_response(429, error.code, error.message, headers, next_step=error.next_step)


def method_not_allowed(allowed: tuple[bytes, ...]) -> Response:
    """The route is there, the method is not."""
    methods = b", ".join(allowed)
    message = f"This route takes {methods.decode()}."
    return error_response(405, "method_not_allowed", message, ((b"allow", methods),))
