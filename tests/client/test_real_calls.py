"""Calls by user code's own functions to real replicas, through a real gateway: what arrives is what was sent."""

from __future__ import annotations

import asyncio
import datetime as dt
import importlib
import ipaddress
import json
import math
import os
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from collections import deque
from collections.abc import AsyncIterator, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import opentelemetry.propagate  # noqa: F401 - as who records spans has imported it
import pytest
from opentelemetry import trace
from opentelemetry.context import attach, detach

from flashcore import (
    DeadlineExceeded,
    JobStatus,
    NotFound,
    PythonMismatch,
    RemoteError,
    SignatureRefused,
    Unserializable,
)
from flashcore.client.exchange import Request, Response
from flashcore.client.functions import RemoteFunction, RouteFunction
from flashcore.client.transport import Transport
from flashcore.model.manifest import FunctionEntry, FunctionKind, MethodEntry
from flashcore.testing.stand import Served, Stand, standing
from flashcore.wire import seal
from flashcore.wire.envelope import Arguments, Call
from flashcore.wire.seal import SigningKey, new_stamp
from flashcore.wire.sealed import KEY_VARIABLE, seal_call

APP = Path(__file__).parent / "app"
KEY = "the key of the tests"


def entries_of(module: Any, kind: type[Any]) -> list[FunctionEntry]:
    """The entries of what a module gives to endpoints of one kind."""
    found = [value for value in vars(module).values() if isinstance(value, kind)]
    return [
        FunctionEntry(one.__name__, "shop.py", one.__name__, FunctionKind.FUNCTION, route=getattr(one, "route", None))
        for one in found
    ]


@pytest.fixture(scope="module")
def shop() -> Iterator[Any]:
    """The module of endpoints, as its user imports it."""
    sys.path.insert(0, str(APP))
    yield importlib.import_module("shop")
    sys.path.remove(str(APP))
    del sys.modules["shop"]


@pytest.fixture(scope="module")
def stand(shop: Any) -> Iterator[Stand]:
    """A gateway, a replica of the queue, a replica of the routes."""
    methods = tuple(MethodEntry(name, FunctionKind.FUNCTION, ()) for name in ("add", "add_async", "count"))
    counter = FunctionEntry("Counter", "shop.py", "RemoteCounter", FunctionKind.CLASS, methods=methods)
    calc = Served("calc", "jobs", APP, [*entries_of(shop, RemoteFunction), counter])
    web = Served("web", "http", APP, entries_of(shop, RouteFunction))
    with tempfile.TemporaryDirectory(prefix="fc") as folder, standing(Path(folder), [calc, web], KEY) as made:
        yield made


@pytest.fixture
def with_key(stand: Stand, monkeypatch: pytest.MonkeyPatch) -> None:
    """This process is a caller with the environment's key."""
    monkeypatch.setenv("FLASHCORE_GATEWAY_URL", stand.url)
    monkeypatch.setenv(KEY_VARIABLE, KEY)


@pytest.fixture
def outside(stand: Stand, monkeypatch: pytest.MonkeyPatch) -> None:
    """This process is a caller without a key."""
    monkeypatch.setenv("FLASHCORE_GATEWAY_URL", stand.url)
    monkeypatch.setenv(KEY_VARIABLE, "")


VALUES: list[Any] = [
    *({"error": 1}, {"status": "FAILED"}, None, 0, "", [], False, b"\x00\xff", bytearray(b"x"), (1, (2,)), {1, 2}),
    *(frozenset("a"), {1: "one", (2, 3): None}, dt.datetime(2026, 1, 2, tzinfo=dt.UTC), dt.timedelta(seconds=5)),
    *(Decimal("1.10"), Path("a/b"), uuid.UUID(int=7), ipaddress.ip_address("::1"), deque([1]), range(3), 1 + 2j),
    *(10**40, "ä\ud800", math.inf, {"$flashcore": {"version": 9}}, {"$bytes": "no base64"}, slice(1, 2), Ellipsis, int),
]


@pytest.mark.parametrize("value", VALUES, ids=lambda value: f"{type(value).__name__}-{value!r:.30}")
def test_a_caller_with_the_key_gets_what_was_given_as_it_is(shop: Any, with_key: None, value: Any) -> None:
    """B33, B34: through a queue and by a direct call, every value keeps its type."""
    for echo in (shop.echo, shop.web_echo):
        given = echo.remote(value)

        assert (type(given), given) == (type(value), value)


def test_values_of_the_users_own_types_arrive_as_themselves(shop: Any, with_key: None) -> None:
    """B33, B34: dataclass, enum, pydantic model, and NaN."""
    value: list[Any] = [shop.Point(1, 2), shop.Color.RED, shop.Item(name="pen")]

    assert shop.echo.remote(value) == shop.web_echo.remote(value) == shop.echo.local(value) == value
    assert math.isnan(shop.echo.remote(math.nan))
    assert shop.point.remote(3, y=4) == shop.Point(3, 4)


def test_a_script_has_the_types_of_its_replicas(stand: Stand) -> None:
    """B34: what is `__main__` here is a module over there, and its classes are the same ones, both ways."""
    environment = {**os.environ, "FLASHCORE_GATEWAY_URL": stand.url, KEY_VARIABLE: KEY}

    ran = subprocess.run(
        [sys.executable, str(APP / "shop.py")], env=environment, capture_output=True, text=True, check=False
    )

    assert (ran.stdout, ran.stderr) == ("([True, True], True, <Color.RED: 'red'>) 7\n", "")


def test_what_only_this_process_knows_is_sent_whole(shop: Any, with_key: None) -> None:
    """A function and a class without a module to import them from."""

    class Local:
        """Known here alone."""

        number = 5

    assert shop.echo.remote(lambda: 42)() == 42
    assert shop.echo.remote(Local()).number == 5


def test_an_array_arrives_as_one_that_can_be_written_to(shop: Any, with_key: None) -> None:
    """B33: its memory travels beside the pickle, both ways, and belongs to whom it was given."""
    numpy = pytest.importorskip("numpy")
    array = numpy.arange(300_000.0).reshape(300, 1000)

    changed = shop.change.remote(array)
    echoed = shop.web_echo.remote({"array": array.T})["array"]

    assert (changed == array + 1).all()
    assert (echoed == array.T).all()
    assert changed.flags.writeable
    assert changed.flags.aligned
    assert echoed.flags.writeable


@pytest.mark.slow
def test_a_hundred_megabytes_go_through_a_queue_and_straight(shop: Any, with_key: None) -> None:
    """B33: the same value by a job and by a direct call."""
    value = bytearray(100 << 20)
    value[::4096] = b"x" * len(value[::4096])

    assert shop.echo.remote(value) == value
    assert shop.web_echo.remote(value) == value


@pytest.mark.parametrize("value", [None, 0, "", [], {"error": 1}, {"status": "FAILED"}, 1.5, "ä", (1, 2)], ids=repr)
def test_a_caller_without_the_key_speaks_json(shop: Any, outside: None, value: Any) -> None:
    """B33, B34: nothing that looks like a failure is one, and tuples are lists."""
    assert shop.echo.remote(value) == (list(value) if isinstance(value, tuple) else value)


@pytest.mark.parametrize(
    ("what", "seen"),
    [
        ("bytes", {"$bytes": "/w=="}),
        ("point", {"x": 1, "y": 2}),
        ("item", {"name": "pen", "price": 1.5}),
        ("array", [0, 1, 2]),
        ("error", {"error": 1}),
        ("status", {"status": "FAILED"}),
        ("refresh", {"refresh_worker": True}),
        ("none", None),
        ("nothing", []),
    ],
)
def test_every_result_has_one_json_form(shop: Any, outside: None, what: str, seen: Any) -> None:
    """B33, B34: what a function returns is a value, whatever its keys are called."""
    assert shop.make.remote(what) == seen


def test_a_result_without_a_json_form_fails_the_call(shop: Any, outside: None) -> None:
    """B33: NaN is none of JSON's numbers."""
    with pytest.raises(Unserializable, match="result has no JSON form: JSON has no nan"):
        shop.make.remote("nan")


def test_replicas_call_each_other_as_they_are_called(shop: Any, with_key: None) -> None:
    """B34: an endpoint's own functions in the process, others through the gateway, values and errors as they are."""
    point = shop.Point(1, 2)

    assert shop.relay.remote(point) == (point, point, True)
    assert shop.relay_failure.remote() == "lid"


async def test_awaited_calls_share_connections(shop: Any, with_key: None) -> None:
    """As many as there are calls at a time, and no more."""
    for _ in range(3):
        await asyncio.gather(*(shop.web_echo(number) for number in range(4)))

    connections = shop.web._link.carrier._transport._of_loops[asyncio.get_running_loop()].plain  # noqa: SLF001 - what is asked
    assert [len(idle) for idle in connections._idle.values()] == [4]  # noqa: SLF001 - as above


def test_what_cannot_be_sent_is_named_by_its_path(shop: Any, with_key: None) -> None:
    """B33, B34: before anything is sent, with the type that stands there."""
    with pytest.raises(Unserializable, match=r"args\[1\]\['model'\]\.lock: _thread\.lock cannot be pickled") as refused:
        shop.echo.remote(1, {"model": Locked()})
    assert refused.value.path == "args[1]['model'].lock"

    with pytest.raises(Unserializable, match=r"key\[0\]: _thread\.lock"):
        shop.echo.remote(1, key=[threading.Lock()])


def test_what_cannot_be_returned_is_named_by_its_path(shop: Any, with_key: None) -> None:
    """B33: the failed call says which part of the result it was."""
    with pytest.raises(Unserializable, match=r"result\['model'\]\[1\]\['lock'\]: _thread\.lock"):
        shop.give_lock.remote()


def test_what_has_no_json_form_is_named_to_who_has_no_key(shop: Any, outside: None) -> None:
    """B33: the same error, whichever way the value goes."""
    with pytest.raises(Unserializable, match=r"result\.model\[1\]\.lock has no JSON form"):
        shop.give_lock.remote()
    with pytest.raises(Unserializable, match=r"calc\.echo: args\[0\].*type set"):
        shop.echo.remote({1})


class Locked:
    """Has a part that cannot be pickled."""

    def __init__(self) -> None:
        self.name = "x"
        self.lock = threading.Lock()


def test_an_exception_arrives_as_itself(shop: Any, with_key: None) -> None:
    """Its constructor takes other things than its message; its attributes and where it was raised come along."""
    with pytest.raises(shop.Broken, match="lid is broken") as caught:
        shop.fail.remote("broken")
    assert (caught.value.code, caught.value.part) == (7, "lid")
    assert 'raise Broken(7, part="lid")' in str(caught.value.__cause__)

    with pytest.raises(shop.Broken) as direct:
        shop.web_fail.remote()
    assert direct.value.code == 9


def test_a_builtin_exception_keeps_its_fields(shop: Any, with_key: None) -> None:
    """A file that is missing over there is missing under its name."""
    with pytest.raises(FileNotFoundError) as caught:
        shop.fail.remote("/there/not")

    assert (caught.value.errno, caught.value.filename) == (2, "/there/not")


def test_a_group_of_exceptions_arrives_as_one(shop: Any, with_key: None) -> None:
    """`except*` works over there as here."""
    with pytest.raises(ExceptionGroup) as caught:
        shop.fail.remote("group")

    assert [type(one) for one in caught.value.exceptions] == [shop.Broken, ValueError]
    assert vars(caught.value.exceptions[0])["code"] == 1


def test_an_exception_that_cannot_be_pickled_is_told(shop: Any, with_key: None) -> None:
    """A RemoteError names its type and has its traceback."""
    with pytest.raises(RemoteError) as caught:
        shop.fail.remote("stuck")

    assert caught.value.type_name == "shop.Stuck"
    assert "raise Stuck" in caught.value.remote_traceback


def test_sys_exit_in_a_function_fails_its_call_alone(shop: Any, with_key: None) -> None:
    """Q23: neither the replica ends nor the caller."""
    with pytest.raises(RemoteError) as caught:
        shop.fail.remote("exit")

    assert (caught.value.type_name, caught.value.message) == ("SystemExit", "3")
    assert shop.echo.remote(1) == 1


@pytest.mark.parametrize(
    ("args", "kwargs", "said"),
    [
        ((), {}, r"missing 1 required positional argument: 'seconds'"),
        ((1, 2), {}, r"takes 1 positional argument but 2 were given"),
        ((1,), {"length": 2}, r"unexpected keyword argument 'length'"),
    ],
)
@pytest.mark.parametrize("who", ["with_key", "outside"])
def test_arguments_that_do_not_fit_are_refused_in_pythons_words(
    shop: Any, request: pytest.FixtureRequest, who: str, args: Any, kwargs: Any, said: str
) -> None:
    """B35: with the signature that would fit."""
    request.getfixturevalue(who)
    expected = TypeError if who == "with_key" else RemoteError

    with pytest.raises(expected, match=rf"(?s){said}.*signature: rest\(seconds: .?float.?\)"):
        shop.rest.remote(*args, **kwargs)


def test_positional_keyword_and_further_arguments_arrive_where_they_belong(shop: Any, with_key: None) -> None:
    """B35: nothing is cut off."""
    assert shop.echo.remote(1, 2, 3, key="k", other=4) == (1, 2, 3, "k", {"other": 4})


def test_methods_share_the_instance_that_their_constructor_arguments_made(shop: Any, with_key: None) -> None:
    """B36: by name, sync and async, with arguments of any type."""
    assert shop.RemoteCounter().add.remote(3) == 3
    assert shop.RemoteCounter(Decimal("1.5")).add.remote(2) == Decimal("3.5")
    assert asyncio.run(shop.RemoteCounter(4).add_async(1)) == 5
    assert shop.RemoteCounter(4).count.remote(2) == [4, 5]


@pytest.mark.parametrize("who", ["with_key", "outside"])
def test_a_stream_gives_each_item_once_and_in_order(shop: Any, request: pytest.FixtureRequest, who: str) -> None:
    """Q11: sync and async generators, methods, blocking and awaited."""
    request.getfixturevalue(who)

    async def awaited() -> list[int]:
        job = await shop.count_async.spawn_async(7)
        return [item async for item in job.stream_async()]

    assert list(shop.count.spawn(50).stream()) == list(range(50))
    assert asyncio.run(awaited()) == list(range(7))
    assert list(shop.RemoteCounter(3).count.spawn(3).stream()) == [3, 4, 5]
    assert list(shop.count.spawn(0).stream()) == []
    assert list(shop.rest.spawn(0.0).stream()) == [0.0]


def test_two_readers_of_a_stream_each_get_all_of_it(shop: Any, with_key: None) -> None:
    """Q11: what the other one has taken is in the job's output."""
    first = shop.count.spawn(30)
    second = shop.count.job(first.id)
    one = first.stream()
    next(one)

    assert list(second.stream()) == list(range(30))
    assert list(one) == list(range(1, 30))


def test_a_stream_that_fails_gives_what_there_was_then_raises(shop: Any, with_key: None) -> None:
    """The exception is the function's own."""
    stream = shop.count_and_fail.spawn(3).stream()

    assert [next(stream), next(stream), next(stream)] == [0, 1, 2]
    with pytest.raises(shop.Broken, match="end is broken"):
        next(stream)


def test_a_generators_value_is_the_list_of_its_items(shop: Any, with_key: None) -> None:
    """For who does not stream."""
    assert shop.count.remote(3) == shop.numbers.remote(3) == [0, 1, 2]


def test_a_handle_is_made_again_from_an_id(shop: Any, with_key: None) -> None:
    """In another process, say: nothing else has to be kept."""
    spawned = shop.rest.spawn(0.05)

    job = shop.rest.job(spawned.id)

    assert job.wait(timeout=60) is JobStatus.COMPLETED
    assert job.result() == 0.05
    with pytest.raises(NotFound):
        shop.rest.job("nobody").status()


def test_calls_and_results_of_another_python_are_typed_errors(
    shop: Any, with_key: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whether through a queue or straight; JSON is for every version."""
    known = shop.rest.spawn(0.0)
    assert known.wait(timeout=60) is JobStatus.COMPLETED
    monkeypatch.setattr(seal, "_OWN_PYTHON", (3, sys.version_info.minor + 1))

    for call in (shop.echo.remote, shop.web_echo.remote):
        with pytest.raises(PythonMismatch, match=r"(?s)a call was pickled by Python .* set FLASHCORE_CALL_KEY"):
            call(0.0)
    with pytest.raises(PythonMismatch, match=r"(?s)a result was pickled by Python .* read it with Python"):
        known.result()

    monkeypatch.setenv(KEY_VARIABLE, "")
    assert shop.rest.remote(0.0) == 0.0
    with pytest.raises(SignatureRefused, match="the result of a pickled call"):
        shop.rest.job(known.id).result()


def test_a_job_is_cancelled_on_the_loop_and_in_a_thread(shop: Any, with_key: None, tmp_path: Path) -> None:
    """Q-C3: the caller hears of it at once, whatever the function does."""
    for function in (shop.hold_async, shop.hold):
        job = function.spawn(str(tmp_path / "go-on"))
        while job.status() is JobStatus.IN_QUEUE:
            time.sleep(0.01)

        assert job.cancel() is JobStatus.CANCELLED
        with pytest.raises(RemoteError, match="cancelled"):
            job.result()
    (tmp_path / "go-on").touch()


@pytest.mark.parametrize("who", ["with_key", "outside"])
def test_a_handle_tells_how_far_its_job_is(shop: Any, request: pytest.FixtureRequest, who: str) -> None:
    """As the function says it, while it runs."""
    request.getfixturevalue(who)
    job = shop.report.spawn(3)

    while (progress := job.progress()) is None:
        time.sleep(0.01)
    job.cancel()

    assert progress == {"step": 3}


def test_a_call_ends_when_its_time_is_over(shop: Any, with_key: None) -> None:
    """`within` limits the wait, of jobs and of direct calls; the error says where to look for what keeps the job."""
    with pytest.raises(DeadlineExceeded, match=r"had not ended after 0\.1 s") as late:
        shop.rest_async.within(0.1).remote(5.0)

    assert f"/status/{late.value.data['job']}" in (late.value.next_step or "")


async def test_calls_are_awaited_many_at_a_time(shop: Any, with_key: None, tmp_path: Path) -> None:
    """Within a running loop, fed from an asynchronous generator, in the order of the items or as they are done."""

    async def numbers() -> AsyncIterator[int]:
        for number in range(20):
            yield number

    assert [value async for value in shop.echo.map_async(numbers())] == list(range(20))
    first, second, third = (tmp_path / name for name in ("first", "second", "third"))
    second.touch()
    third.touch()
    mixed = shop.hold_async.map_async([str(first), str(second), str(third)], ordered=False)
    assert {await anext(mixed), await anext(mixed)} == {str(second), str(third)}
    first.touch()
    assert [value async for value in mixed] == [str(first)]
    assert shop.echo.remote(5) == 5


def test_errors_stand_among_the_results_where_that_is_wanted(shop: Any, with_key: None) -> None:
    """Otherwise the first one is raised where it is due."""
    results = list(shop.rest.map([0.0, "x", 0.0], return_errors=True))

    assert (results[0], results[2]) == (0.0, 0.0)
    assert isinstance(results[1], TypeError)


def test_a_caller_with_another_key_is_refused(shop: Any, with_key: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing that it sends is unpickled."""
    monkeypatch.setenv(KEY_VARIABLE, "another key")

    for call in (shop.echo, shop.web_echo):
        with pytest.raises(SignatureRefused, match="made with another key"):
            call.remote(1)


def test_a_call_that_was_overheard_is_refused_when_it_comes_again(stand: Stand, with_key: None) -> None:
    """Straight to a replica it is not carried out twice; as a job it is the job that it has been."""
    direct = b"".join(seal_call(SigningKey(KEY), "web", Call("web_echo", arguments=Arguments((1,))), new_stamp(60.0)))
    queued = b"".join(seal_call(SigningKey(KEY), "calc", Call("echo", arguments=Arguments((1,))), new_stamp(60.0)))

    first, second = (send(stand, "/web/echo", direct) for _ in range(2))
    jobs = [json.loads(send(stand, "/v2/calc/run", queued).body)["id"] for _ in range(2)]

    assert (first.status, second.status) == (200, 401)
    assert json.loads(second.body)["error"]["code"] == "signature_refused"
    assert jobs[0] == jobs[1]


def send(stand: Stand, path: str, body: bytes) -> Response:
    """Send a sealed body as it is."""
    return Transport().send(stand.url, Request("POST", path, body, {"Content-Type": seal.MEDIA}))


def test_blocking_calls_of_one_thread_share_a_connection(shop: Any, with_key: None) -> None:
    """Connecting costs more than a call does."""
    shop.web_echo.remote(1)
    before = shop.web._link.carrier._transport._own.kept._connection.sock.getsockname()  # noqa: SLF001 - what is asked
    shop.web_echo.remote(2)

    assert shop.web._link.carrier._transport._own.kept._connection.sock.getsockname() == before  # noqa: SLF001 - as above


def test_waiting_survives_a_gateway_that_crashes(
    shop: Any, stand: Stand, with_key: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Q11: a result, and a stream of which each item comes once, over a kill -9 of the gateway."""
    slow = shop.rest.spawn(1.0)
    stream = shop.count.spawn(20).stream()
    first = next(stream)
    results: list[Any] = []
    waiting = threading.Thread(target=lambda: results.append(slow.result()))
    waiting.start()

    stand.kill_gateway()
    stand.start_gateway()
    rest = list(stream)
    waiting.join(60)

    assert results == [1.0]
    assert [first, *rest] == list(range(20))


TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
STATE = "vendor=value"


@pytest.mark.parametrize("caller", ["with_key", "outside"])
@pytest.mark.parametrize("name", ["hop_to_route", "hop_to_queue"])
def test_a_trace_goes_through_jobs_and_requests(shop: Any, request: Any, caller: str, name: str) -> None:
    """From the caller's active span to the function, and on to what the function calls."""
    request.getfixturevalue(caller)
    context = trace.set_span_in_context(trace.NonRecordingSpan(_span_context()))
    token = attach(context)
    try:
        here, there = getattr(shop, name).remote()
    finally:
        detach(token)

    for heard in (here, there):
        assert (heard["traceparent"], heard["tracestate"]) == (TRACE, STATE)
    assert here["request_id"] != there["request_id"]


@pytest.mark.parametrize("caller", ["with_key", "outside"])
@pytest.mark.parametrize("name", ["hop_to_route", "hop_to_queue"])
def test_a_call_without_a_trace_shares_its_requests_id(shop: Any, request: Any, caller: str, name: str) -> None:
    """Whoever looks through logs finds them together. No trace is made up: it would keep tracers from recording."""
    request.getfixturevalue(caller)
    here, there = getattr(shop, name).remote()

    assert here.keys() == there.keys() == {"request_id"}
    assert there["request_id"] == here["request_id"]


def _span_context() -> trace.SpanContext:
    _, trace_id, span_id, flags = TRACE.split("-")
    state = trace.TraceState.from_header([STATE])
    return trace.SpanContext(int(trace_id, 16), int(span_id, 16), True, trace.TraceFlags(int(flags)), state)
