"""The trace that a call is part of (W3C Trace Context): of the span that is active here, or of the call worked on.

There are no spans of flashcore's own. So a trace is carried on as it came: what the next call is told is the last span
that somebody recorded. What came without a trace gives its request's id to its calls, and makes none up: a tracer that
finds a parent which nobody has sampled records nothing.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

from flashcore.wire.current import CURRENT

NAMES = ("traceparent", "tracestate")
REQUEST_ID = "x-request-id"

_NOTHING: Mapping[str, str] = {}


def trace_headers() -> Mapping[str, str]:
    """The headers that tell of which trace or request a call is part; none for one that begins both."""
    # OpenTelemetry is nobody's dependency here: who uses it has imported it.
    propagate = sys.modules.get("opentelemetry.propagate")
    if propagate is not None and (active := _injected(propagate)):
        return active
    current = CURRENT.get()
    return _NOTHING if current is None else _of_call(current.context)


def _injected(propagate: Any) -> Mapping[str, str]:
    carrier: dict[str, str] = {}
    try:
        propagate.inject(carrier)
    except Exception:  # noqa: BLE001 - a propagator that is broken is the tracer's business, the call is the caller's
        return _NOTHING
    return {name: carrier[name] for name in NAMES if name in carrier} if "traceparent" in carrier else _NOTHING


def _of_call(context: Mapping[str, str]) -> Mapping[str, str]:
    """Those that it came with, or its request's id: by either its own calls can be told to belong together."""
    if "traceparent" in context:
        return {name: context[name] for name in NAMES if name in context}
    request = context.get("request_id", "")
    return {REQUEST_ID: request} if request else _NOTHING
