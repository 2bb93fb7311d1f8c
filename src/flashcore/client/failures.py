"""Answers that are no success, as the errors that a caller catches."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from flashcore.client.exchange import Response
from flashcore.model import errors
from flashcore.model.codec import CodecError, from_json
from flashcore.wire.envelope import RemoteFailure
from flashcore.wire.raised import RemoteTraceback

_BY_STATUS: Mapping[int, type[errors.FlashcoreError]] = {
    401: errors.Unauthorized,
    403: errors.Unauthorized,
    404: errors.NotFound,
    408: errors.DeadlineExceeded,
    413: errors.Unserializable,
    429: errors.Unavailable,
    502: errors.Unavailable,
    503: errors.Unavailable,
    504: errors.DeadlineExceeded,
}


def remote_error(text: object, where: str) -> errors.FlashcoreError:
    """The error for a failed job: `text` is what the status route shows as its error, `where` names the call."""
    failure = _failure(_parsed(text))
    if failure is None:
        return errors.RemoteError(str(text), call=where)
    if (own := _own_error(failure, where)) is not None:
        return own
    return errors.RemoteError(
        failure.error_message,
        type_name=failure.error_type,
        remote_traceback=failure.error_traceback,
        call=where,
        worker_id=failure.worker_id,
    )


def _own_error(failure: RemoteFailure, where: str) -> errors.FlashcoreError | None:
    """An error of flashcore's own that was met over there, before or after the function ran."""
    module, _, name = failure.error_type.rpartition(".")
    kind = getattr(errors, name, None) if module == errors.__name__ else None
    if kind is None or not issubclass(kind, errors.FlashcoreError) or issubclass(kind, errors.RemoteError):
        return None
    message, _, next_step = failure.error_message.partition("\n  next: ")
    made: errors.FlashcoreError = kind(f"{where}: {message}", next_step=next_step or None)
    made.__cause__ = RemoteTraceback(failure.error_traceback)
    return made


def error_of(response: Response, where: str) -> errors.FlashcoreError:
    """The error that an answer with a status of 400 or more means; `where` names the call."""
    document = _parsed(response.body.decode("utf-8", "replace"))
    inner = document.get("error", document) if isinstance(document, Mapping) else document
    failure = _failure(_parsed(inner))
    if failure is not None:
        return remote_error(inner, where)
    kind, known = _kind_of(inner)
    if kind is None:
        kind = _BY_STATUS.get(response.status)
    message = _message_of(inner) or f"status {response.status}"
    if kind is None:
        return errors.RemoteError(f"{where}: {message}", type_name="HTTPError", status=response.status)
    return kind(f"{where}: {message}", next_step=known, status=response.status)


def _parsed(value: object) -> Any:
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except ValueError:
        return value


def _failure(value: object) -> RemoteFailure | None:
    try:
        return from_json(RemoteFailure, value)
    except CodecError:
        return None


def _kind_of(document: object) -> tuple[type[errors.FlashcoreError] | None, str | None]:
    if not isinstance(document, Mapping):
        return None, None
    kinds = {kind.code: kind for kind in _tree(errors.FlashcoreError)}
    return kinds.get(str(document.get("code"))), document.get("next_step")


def _message_of(document: object) -> str:
    if isinstance(document, Mapping):
        found = document.get("message") or document.get("detail") or document
        return found if isinstance(found, str) else json.dumps(found)
    return str(document).strip()[:2000] if document else ""


def _tree(root: type[errors.FlashcoreError]) -> Iterator[type[errors.FlashcoreError]]:
    yield root
    for kind in root.__subclasses__():
        if kind.__module__ == errors.__name__:
            yield from _tree(kind)
