"""Errors of ours as HTTP answers: the status says the kind, the body says everything."""

from __future__ import annotations

import logging
from collections.abc import Mapping

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse

from flashcore.model import errors

log = logging.getLogger(__name__)

_STATUS: Mapping[type[errors.FlashcoreError], int] = {
    errors.Unauthorized: 401,
    errors.NotFound: 404,
    errors.Refused: 409,
    errors.UsageError: 422,
    errors.BuildError: 422,
    errors.Unavailable: 503,
    errors.DeadlineExceeded: 504,
    errors.StorageFull: 507,
}


def add_error_answers(app: FastAPI) -> None:
    """Answer every error of ours, every request that does not fit, and every accident, in the same form."""
    app.add_exception_handler(errors.FlashcoreError, _ours)
    app.add_exception_handler(RequestValidationError, _unfit)
    app.add_exception_handler(Exception, _accident)


def status_of(error: errors.FlashcoreError) -> int:
    """The HTTP status of an error: that of its nearest ancestor in the table, 500 for others."""
    return next((_STATUS[cls] for cls in type(error).__mro__ if cls in _STATUS), 500)


async def _ours(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, errors.FlashcoreError)  # noqa: S101 - registered for this class alone
    return JSONResponse({"error": error.as_json()}, status_of(error))


async def _unfit(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)  # noqa: S101 - registered for this class alone
    found = [f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors()]
    unfit = errors.UsageError("the request does not fit: " + "; ".join(found), problems=found)
    return JSONResponse({"error": unfit.as_json()}, 422)


async def _accident(request: Request, error: Exception) -> JSONResponse:
    log.error("%s %s failed", request.method, request.url.path, exc_info=error)
    accident = errors.FlashcoreError(
        f"the control plane failed: {type(error).__name__}: {error}", next_step="its log has the traceback"
    )
    return JSONResponse({"error": accident.as_json()}, 500)
