"""Which trace a call is part of."""

from __future__ import annotations

import sys
from types import SimpleNamespace

import pytest

from flashcore.client.in_process import run_here_blocking
from flashcore.client.many import MapOptions, map_blocking
from flashcore.client.tracing import trace_headers
from flashcore.wire.current import CURRENT, CurrentJob

TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def headers_within(context: dict[str, str]) -> dict[str, str]:
    """What a call says that is made by code which works on one with this context."""
    token = CURRENT.set(CurrentJob("job-1", context=context))
    try:
        return dict(trace_headers())
    finally:
        CURRENT.reset(token)


@pytest.fixture
def without_otel(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a process that has not imported it."""
    monkeypatch.delitem(sys.modules, "opentelemetry.propagate", raising=False)


def test_a_call_from_nowhere_begins_no_trace(without_otel: None) -> None:
    """Nor a request: the gateway gives it an id."""
    assert trace_headers() == {}


def test_what_the_call_came_with_is_carried_on(without_otel: None) -> None:
    """And nothing else of what was sent along."""
    context = {"traceparent": TRACE, "tracestate": "a=b", "request_id": "me"}

    assert headers_within(context) == {"traceparent": TRACE, "tracestate": "a=b"}


def test_what_came_without_a_trace_carries_its_requests_id_on(without_otel: None) -> None:
    """And makes no trace up: an unsampled parent keeps a tracer from recording anything below it."""
    assert headers_within({"request_id": "me"}) == {"x-request-id": "me"}
    assert headers_within({}) == {}


def test_an_active_span_comes_before_the_trace_that_came(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is a child of it, if user code made it so."""
    span = TRACE.replace("b7ad", "ffff")

    def inject(carrier: dict[str, str]) -> None:
        carrier.update({"traceparent": span, "baggage": "x=1"})

    monkeypatch.setitem(sys.modules, "opentelemetry.propagate", SimpleNamespace(inject=inject))

    assert headers_within({"traceparent": TRACE, "tracestate": "a=b"}) == {"traceparent": span}


@pytest.mark.parametrize("problem", ["raises", "nothing active"])
def test_a_tracer_that_has_nothing_to_say_changes_nothing(monkeypatch: pytest.MonkeyPatch, problem: str) -> None:
    """Neither one without an active span nor one that is set up wrongly stands in a call's way."""

    def inject(carrier: dict[str, str]) -> None:
        if problem == "raises":
            raise ZeroDivisionError

    monkeypatch.setitem(sys.modules, "opentelemetry.propagate", SimpleNamespace(inject=inject))

    assert headers_within({"traceparent": TRACE}) == {"traceparent": TRACE}


def test_calls_that_are_made_in_threads_are_part_of_the_same_trace(without_otel: None) -> None:
    """Those of `map`, and of a coroutine function that a thread waits for in its own replica."""

    async def here() -> dict[str, str]:
        return dict(trace_headers())

    options = MapOptions(concurrency=2, ordered=True, return_errors=False)
    token = CURRENT.set(CurrentJob("job-1", context={"traceparent": TRACE}))
    try:
        mapped = [*map_blocking(lambda _number: dict(trace_headers()), [(1,), (2,), (3,)], options)]
        own = run_here_blocking(here, (), {})
    finally:
        CURRENT.reset(token)

    assert [*mapped, own] == [{"traceparent": TRACE}] * 4
