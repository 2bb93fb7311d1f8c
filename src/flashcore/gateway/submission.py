"""What callers ask for, as new jobs."""

from __future__ import annotations

import reprlib
import zlib
from collections.abc import Mapping
from typing import Any, NamedTuple

from flashcore.gateway.http.forward import is_in_trace, is_trace
from flashcore.gateway.http.head import RequestHead
from flashcore.gateway.http.parse import is_usable_id
from flashcore.gateway.routes import JobsRouting
from flashcore.gateway.webhooks.destination import checked_url
from flashcore.model.errors import NotFound, ProtocolError, UsageError
from flashcore.model.job import LANES, NewJob, Payload
from flashcore.model.names import JobId, RevisionId
from flashcore.wire import seal
from flashcore.wire.calls import Submission
from flashcore.wire.rawjson import RawValue, check_value, read_object

KEY_HEADER = b"x-flashcore-key"
"""Jobs with the same value here go to the same side as long as the weights stay."""

IDEMPOTENCY_HEADER = b"idempotency-key"
MAX_KEY = 256
MAX_TRACE_STATE = 512
"""Characters of a `tracestate` that are carried on, as many as the standard asks for; of a longer one nothing is."""

MAX_POLICY_SECONDS = 7 * 86_400.0
LOW_PRIORITY = -1

_UNSUPPORTED = frozenset({"webhookV2", "s3Config"})
_SEALED = seal.MEDIA.encode()
_JSON = "application/json"
_NO_POLICY: Mapping[str, Any] = {}
_NO_CONTEXT: Mapping[str, str] = {}


class InvalidSubmission(UsageError):
    """A submission that no worker could make sense of."""

    code = "invalid_submission"


def lane_of(key: str) -> int:
    """The lane of a key: the same on every machine and for ever, or shares would move jobs."""
    return zlib.crc32(key.encode()) % LANES


class Asked(NamedTuple):
    """What a caller asks for, whichever way it came. A tuple: one is made for each job."""

    payload: Payload
    key: str | None = None
    """Asked for again under the same one, it is the same job."""
    lane_key: str | None = None
    """Jobs with the same one go to the same side."""
    policy: Mapping[str, Any] = _NO_POLICY
    webhook: str | None = None
    context: Mapping[str, str] = _NO_CONTEXT


def asked_over_http(head: RequestHead, body: bytes | memoryview) -> Asked:
    """What a request asks for. Raises NotJson or InvalidSubmission."""
    lane_key, context = _header(head, KEY_HEADER), _context(head)
    if is_sealed(head):
        return Asked(Payload(body, seal.MEDIA), sealed_key(body), lane_key, context=context)
    payload, policy, webhook = _read(body)
    return Asked(payload, _header(head, IDEMPOTENCY_HEADER), lane_key, policy, webhook, context)


def asked_over_link(submission: Submission, request_id: bytes) -> Asked:
    """What a submission over a link asks for. Raises NotJson or InvalidSubmission."""
    more, payload = submission.more, submission.input
    context = {"request_id": request_id.decode("latin-1")}
    lane_key, policy = None, _NO_POLICY
    if more:
        _take_over_id(context, more.get("x-request-id"))
        _add_trace(context, more.get("traceparent"), more.get("tracestate"))
        lane_key = _word("lane", more.get("lane"))
    if payload.media == seal.MEDIA:
        return Asked(payload, sealed_key(payload.data), lane_key, context=context)
    if payload.media != _JSON:
        raise InvalidSubmission(f"an input of type {payload.media!r} is not taken", next_step="send JSON")
    check_value(payload.data)
    if more:
        policy = _checked_policy(more.get("policy"))
    return Asked(payload, _word("key", submission.key), lane_key, policy, context=context)


def new_job(routing: JobsRouting, asked: Asked, job: JobId, retention: float, *, preview: bool) -> NewJob:
    """The job that is asked for. Raises InvalidSubmission, or NotFound where there is no preview."""
    policy, route = asked.policy, routing.route
    ttl, timeout, priority = route.ttl, route.execution_timeout, 0
    if policy:
        ttl, timeout = _seconds(policy, "ttl", ttl), _seconds(policy, "executionTimeout", timeout)
        priority = LOW_PRIORITY if policy.get("lowPriority") is True else 0
    return NewJob(
        job,
        route.name,
        asked.payload,
        lane_of(asked.lane_key or asked.key or job),
        ttl,
        timeout,
        retention,
        priority,
        asked.key,
        _pin(routing) if preview else None,
        asked.webhook,
        route.max_attempts,
        asked.context,
    )


def is_sealed(head: RequestHead) -> bool:
    """Whether the body is a sealed package, which nobody here looks into."""
    return head.get(b"content-type") == _SEALED


def sealed_key(body: bytes | memoryview) -> str:
    """Whoever sends a signed call again gets the job that it has made: the nonce is part of what was signed."""
    try:
        return f"sealed-{seal.nonce_in(body).hex()}"
    except ProtocolError as error:
        raise InvalidSubmission(error.message, next_step=error.next_step) from error


def _read(body: bytes | memoryview) -> tuple[Payload, Mapping[str, Any], str | None]:
    members = read_object(body)
    if "input" not in members:
        raise InvalidSubmission('the body has no "input"', next_step='send {"input": {...}}')
    _refuse_unsupported(members)
    webhook = members["webhook"].value if "webhook" in members else None
    return Payload(members["input"].raw), _policy(members), None if webhook is None else checked_url(webhook)


def _refuse_unsupported(members: Mapping[str, RawValue]) -> None:
    """A caller who waits for a call that never comes would be worse off than one who is told."""
    for name in _UNSUPPORTED & members.keys():
        if members[name].value is not None:
            raise InvalidSubmission(f'"{name}" is not supported', next_step="leave it out and ask for the status")


def _policy(members: Mapping[str, RawValue]) -> Mapping[str, Any]:
    return _checked_policy(members["policy"].value if "policy" in members else None)


def _checked_policy(policy: Any) -> Mapping[str, Any]:
    if policy is not None and not isinstance(policy, dict):
        raise InvalidSubmission('"policy" must be an object')
    return policy or {}


def _seconds(policy: Mapping[str, Any], name: str, default: float) -> float:
    """A time of the policy, which counts in milliseconds; the least one is left to who asks."""
    value = policy.get(name)
    if value is None:
        return default
    if not isinstance(value, int | float) or isinstance(value, bool) or not 0 < value <= MAX_POLICY_SECONDS * 1000:
        shown = reprlib.repr(value)  # of what may be megabytes
        raise InvalidSubmission(
            f'"policy.{name}" is a number of milliseconds up to {MAX_POLICY_SECONDS * 1000:.0f}, not {shown}'
        )
    return value / 1000


def _pin(routing: JobsRouting) -> RevisionId:
    if routing.preview is None:
        raise NotFound(
            f"endpoint {routing.route.name} has no revision that waits for its promotion",
            next_step=f"call /v2/{routing.route.name}/... without the preview",
        )
    return routing.preview


def _header(head: RequestHead, name: bytes) -> str | None:
    value = head.get(name)
    if not value:
        return None
    _check_length(f"the header {name.decode()}", len(value))
    return value.decode("latin-1")


def _word(name: str, value: object) -> str | None:
    """What would stand in a header, from where nothing has checked it."""
    if value is None or value == "":
        return None
    if not isinstance(value, str) or not value.isprintable():
        raise InvalidSubmission(f"{name} is a text of printable characters")
    _check_length(name, len(value))
    return value


def _check_length(what: str, size: int) -> None:
    if size > MAX_KEY:
        raise InvalidSubmission(f"{what} holds {size} characters, {MAX_KEY} are allowed")


def _context(head: RequestHead) -> dict[str, str]:
    context = {"request_id": head.request_id.decode("latin-1")}
    if is_in_trace(head):
        context["traceparent"] = head.index[b"traceparent"].decode("latin-1")
        state = head.index.get(b"tracestate", b"")
        if 0 < len(state) <= MAX_TRACE_STATE:
            context["tracestate"] = state.decode("latin-1")
    return context


def _take_over_id(context: dict[str, str], given: object) -> None:
    """As of a request: what has not the right form is no id."""
    if isinstance(given, str) and given.isascii() and is_usable_id(given.encode()):
        context["request_id"] = given


def _add_trace(context: dict[str, str], parent: object, state: object) -> None:
    """As of a request: what has not the right form is no trace."""
    if not isinstance(parent, str) or not parent.isascii() or not is_trace(parent.encode()):
        return
    context["traceparent"] = parent
    if isinstance(state, str) and 0 < len(state) <= MAX_TRACE_STATE and state.isascii() and state.isprintable():
        context["tracestate"] = state
