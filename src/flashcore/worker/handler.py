"""The queue handler in RunPod's manner: it takes `{"id": ..., "input": ...}` and gives the output.

`create_handler` is what generated files call. The result runs unmodified under `runpod.serverless.start`; flashcore's
own worker finds the functions behind it and calls them itself.

What goes back under RunPod's worker, which takes some keys of a plain result for its own:
    a value            the value as JSON (see `plain`), in the envelope where the caller used it
    {"error": ...},    in the envelope always, so that it is not mistaken for a failure or an order
    {"refresh_worker": ...}
    an exception       {"error": RemoteFailure as JSON text}
An endpoint with a generator among its functions streams all its calls there: a plain value is a stream of one item.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from typing import Any

from flashcore.wire.envelope import wrap_value
from flashcore.worker.call import FUNCTIONS_ATTRIBUTE, TableCallables
from flashcore.worker.failure import failure_of, text_of
from flashcore.worker.functions import FunctionTable, Invocation
from flashcore.worker.job import CURRENT, CurrentJob
from flashcore.worker.plain import to_plain

Handler = Callable[[Mapping[str, Any]], Any]
"""Takes a job; gives an awaitable of its output, or an async iterator of its pieces."""

_RUNPODS_OWN = frozenset({"error", "refresh_worker"})
_END = object()


def create_handler(functions: FunctionTable) -> Handler:
    """The handler of one queue-based endpoint."""
    serve = _Serving(TableCallables(functions), os.environ.get("RUNPOD_POD_ID", ""))

    # RunPod's worker recognises generators by inspecting the function itself, so there have to be two.
    async def handler(job: Mapping[str, Any]) -> Any:
        return await serve.value(job)

    async def streaming_handler(job: Mapping[str, Any]) -> AsyncIterator[Any]:
        async for piece in serve.pieces(job):
            yield piece

    chosen: Handler = streaming_handler if any(kind.streams for kind in functions.kinds) else handler
    setattr(chosen, FUNCTIONS_ATTRIBUTE, functions)
    return chosen


class _Serving:
    """Runs the jobs of one handler."""

    def __init__(self, callables: TableCallables, worker_id: str) -> None:
        self._callables = callables
        self._worker_id = worker_id

    async def value(self, job: Mapping[str, Any]) -> Any:
        """The output of a job, or what says that it failed."""
        token = CURRENT.set(CurrentJob(str(job.get("id", ""))))
        try:
            invocation = self._callables.invocation_for(str(job.get("id", "")), job.get("input"))
            value = await _value_of(invocation)
            return _output(to_plain(value), invocation)
        except (Exception, SystemExit) as error:  # noqa: BLE001 - user code may raise anything; a cancelled job is RunPod's to end
            return self._failed(error)
        finally:
            CURRENT.reset(token)

    async def pieces(self, job: Mapping[str, Any]) -> AsyncIterator[Any]:
        """The output of a job, piece by piece, and at last what says that it failed."""
        CURRENT.set(CurrentJob(str(job.get("id", ""))))
        try:
            invocation = self._callables.invocation_for(str(job.get("id", "")), job.get("input"))
            position = 0
            async for item in _items_of(invocation):
                yield _output(to_plain(item, f"item[{position}]"), invocation)
                position += 1
        except (Exception, SystemExit) as error:  # noqa: BLE001 - as above
            yield self._failed(error)

    def _failed(self, error: BaseException) -> dict[str, str]:
        failure = failure_of(error, self._worker_id)
        sys.stderr.write(failure.error_traceback)
        return {"error": text_of(failure)}


async def _value_of(invocation: Invocation) -> Any:
    value = invocation.begin() if invocation.kind.on_loop else await asyncio.to_thread(invocation.begin)
    return await value if hasattr(value, "__await__") else value


async def _items_of(invocation: Invocation) -> AsyncIterator[Any]:
    if not invocation.kind.streams:
        yield await _value_of(invocation)
    elif invocation.kind.on_loop:
        async for item in invocation.begin():
            yield item
    else:
        items: Iterator[Any] = await asyncio.to_thread(invocation.begin)
        while (item := await asyncio.to_thread(next, items, _END)) is not _END:
            yield item


def _output(value: Any, invocation: Invocation) -> Any:
    if invocation.enveloped or (isinstance(value, dict) and not _RUNPODS_OWN.isdisjoint(value)):
        return wrap_value(value)
    return value
