"""The handler that RunPod's worker runs unmodified: what it is, and what comes back."""

import asyncio
import inspect
import json
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest
from tests.worker.conftest import function

from flashcore.wire.envelope import Arguments, Call, unwrap_value, wrap_call, wrap_value
from flashcore.worker.functions import FunctionTable, LoadedFunction
from flashcore.worker.handler import Handler, create_handler


def handler_of(*targets: Callable[..., Any]) -> Handler:
    """The handler of these functions."""
    return create_handler(FunctionTable([LoadedFunction(function(t.__name__), t) for t in targets]))


async def run(handler: Handler, value: Any) -> Any:
    """What RunPod's worker would report, a stream as the list of its pieces."""
    job = {"id": "j1", "input": value}
    if inspect.isasyncgenfunction(handler):
        return [piece async for piece in handler(job)]
    output = handler(job)
    return await output if inspect.isawaitable(output) else output


def plain(x: Any = None) -> Any:
    """Give back what it is given."""
    return x


async def waits(x: Any = None) -> Any:
    """The same, as a coroutine."""
    await asyncio.sleep(0)
    return x


def counts(n: int) -> Iterator[int]:
    """Count."""
    yield from range(n)


async def counts_slowly(n: int) -> AsyncIterator[int]:
    """The same, as an async generator."""
    for number in range(n):
        yield number


@pytest.mark.parametrize("target", [plain, waits])
@pytest.mark.parametrize("value", [None, 0, "", [], {"a": 1}, "text"])
async def test_a_plain_call_gives_a_plain_value(target: Callable[..., Any], value: Any) -> None:
    """B32: who calls with keyword arguments alone gets the value alone, falsy ones too."""
    assert await run(handler_of(target), {"x": value}) == value


@pytest.mark.parametrize("target", [plain, waits])
async def test_an_enveloped_call_gives_the_value_in_an_envelope(target: Callable[..., Any]) -> None:
    """B33: nothing that a function returns can be taken for anything else."""
    call = wrap_call(Call(target.__name__, arguments=Arguments(({"error": 1},))))

    assert unwrap_value(await run(handler_of(target), call)) == {"error": 1}


@pytest.mark.parametrize("value", [{"error": 1}, {"error": ""}, {"refresh_worker": True, "x": 1}])
async def test_a_plain_value_that_runpod_would_misread_travels_in_the_envelope(value: Any) -> None:
    """B33: a result with a key named `error` is no failure under RunPod's worker either."""
    assert await run(handler_of(plain), {"x": value}) == wrap_value(value)


async def test_an_exception_is_told_in_runpods_names() -> None:
    """The error is a text, as RunPod's own worker sends it, and shows the user's frames alone."""

    def broken() -> None:
        raise KeyError("gone")

    output = await run(handler_of(broken), {})
    failure = json.loads(output["error"])

    assert (failure["error_type"], failure["error_message"]) == ("KeyError", "'gone'")
    assert "in broken" in failure["error_traceback"]
    assert failure["error_traceback"].count("File ") == 1


@pytest.mark.parametrize("value", ["text", None, [1], 5])
async def test_an_input_that_is_no_object_is_refused(value: Any) -> None:
    """The error says what an input has to be."""
    output = await run(handler_of(plain), value)

    assert "must be an object" in json.loads(output["error"])["error_message"]


async def test_a_result_without_a_form_is_a_failure_with_its_path() -> None:
    """B33: RunPod's worker would lose a job whose output is not JSON without a word."""
    output = await run(handler_of(plain, waits), wrap_call(Call("plain", arguments=Arguments((1,)))))
    assert unwrap_value(output) == 1

    def bad() -> Any:
        return {"f": open}

    output = await run(handler_of(bad), {})
    assert json.loads(output["error"])["error_message"].startswith("result.f has no JSON form")


async def test_sys_exit_in_a_handler_is_a_failed_job() -> None:
    """Q23: it ends the job, not the worker."""

    def leaves() -> None:
        raise SystemExit(3)

    async def leaves_slowly() -> None:
        raise SystemExit(3)

    for target in (leaves, leaves_slowly):
        output = await run(handler_of(target), {})
        assert json.loads(output["error"])["error_type"] == "SystemExit"


@pytest.mark.parametrize("target", [counts, counts_slowly])
async def test_generators_stream(target: Callable[..., Any]) -> None:
    """RunPod's worker recognises the handler as a generator by inspecting it, and streams what it yields."""
    handler = handler_of(target)

    assert inspect.isasyncgenfunction(handler)
    assert await run(handler, {"n": 3}) == [0, 1, 2]
    pieces = await run(handler, wrap_call(Call(arguments=Arguments((2,)))))
    assert [unwrap_value(piece) for piece in pieces] == [0, 1]


async def test_a_generator_that_raises_has_streamed_what_came_before() -> None:
    """The failure is the last piece."""

    def breaks() -> Iterator[int]:
        yield 1
        raise ValueError("no more")

    *before, last = await run(handler_of(breaks), {})

    assert before == [1]
    assert json.loads(last["error"])["error_message"] == "no more"


async def test_a_plain_function_beside_a_generator_is_a_stream_of_one() -> None:
    """RunPod decides by the handler, not by the call."""
    assert await run(handler_of(plain, counts), wrap_call(Call("plain", arguments=Arguments((7,))))) == [wrap_value(7)]


async def test_plain_functions_do_not_block_the_loop() -> None:
    """B38: a blocking function runs in a thread, so that RunPod's loop can go on taking and stopping jobs."""
    import threading

    release = threading.Event()

    def blocks() -> bool:
        return release.wait(60)

    task = asyncio.create_task(run(handler_of(blocks), {}))
    await asyncio.sleep(0)
    release.set()

    assert await task is True


async def test_a_cancelled_job_is_cancelled() -> None:
    """RunPod's job-stop cancels the task; nothing is reported of it."""

    async def endless() -> None:
        await asyncio.sleep(3600)

    task = asyncio.create_task(run(handler_of(endless), {}))
    await asyncio.sleep(0)
    task.cancel()

    with pytest.raises(asyncio.CancelledError):
        await task


def test_generated_handlers_run_under_runpods_own_worker(tmp_path: Any) -> None:
    """B32, with the real package where it is installed: its local test mode runs the handler as it is."""
    import os
    import subprocess
    import sys
    from importlib.util import find_spec

    from tests.worker.conftest import QUEUE_HANDLER, SOURCE, write_artifact

    if find_spec("runpod") is None:
        pytest.skip("the runpod package is not installed (flashcore-framework[runpod])")
    start = "\nimport runpod\nrunpod.serverless.start({'handler': handler})\n"
    code = "def double(x):\n    return {'twice': 2 * x}\n"
    path = write_artifact(tmp_path, QUEUE_HANDLER + start, {"code_of_user.py": code}, [function("double")])

    done = subprocess.run(
        [sys.executable, path.name, "--test_input", '{"input": {"x": 21}}'],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(SOURCE)},
        capture_output=True,
        text=True,
        check=True,
    )

    assert "42" in done.stdout + done.stderr
