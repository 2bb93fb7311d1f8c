"""The trace that a call is part of (W3C Trace Context): of the span that is active here, or of the call worked on.

There are no spans of flashcore's own. So a trace is carried on as it came: what the next call is told is the last span
that somebody recorded.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from typing import Any

from flashcore.wire.current import CURRENT

NAMES = ("traceparent", "tracestate")

_HEX_ID = re.compile(r"(?!0{16})[0-9a-f]{32}")
_NOTHING: Mapping[str, str] = {}


def trace_headers() -> Mapping[str, str]:
    """The headers that put a call into its trace; none for a call that begins one."""
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
    """Those that it came with, or a trace under its request's id: then its own calls can be told to belong together."""
    if "traceparent" in context:
        return {name: context[name] for name in NAMES if name in context}
    request = context.get("request_id", "")
    return {"traceparent": f"00-{request}-{request[:16]}-00"} if _HEX_ID.fullmatch(request) else _NOTHING
