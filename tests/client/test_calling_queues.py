"""Calls of queue-based endpoints: awaited, blocking, spawned, many at a time."""

import asyncio
import json
import threading
from typing import Any

import pytest
from tests.client.conftest import Answer, Gateway, Seen, completed

from flashcore import (
    DeadlineExceeded,
    JobStatus,
    NotFound,
    ProtocolError,
    QueueEndpoint,
    RemoteError,
    Unauthorized,
    Unavailable,
    Unserializable,
    UsageError,
    remote,
)

gpu = QueueEndpoint("embed")


@gpu.function
async def embed(texts: list[str], *, size: int = 3) -> list[int]:
    """Say how long texts are."""
    return [min(len(text), size) for text in texts]


@gpu.function
def double(number: int) -> int:
    """Twice the number."""
    return 2 * number


class Plain:
    """Counts how often it was searched."""

    def __init__(self, path: str = "idx") -> None:
        self.path = path
        self.searched = 0

    def search(self, query: str, k: int = 5) -> str:
        """Find nothing."""
        self.searched += 1
        return f"{self.path}:{query}:{k}:{self.searched}"


Index: Any = remote(gpu)(Plain)  # mypy does not see what a decorator makes of a class


async def test_awaiting_a_function_gives_its_value(gateway: Gateway) -> None:
    """`await f(...)` sends the arguments in the envelope and returns what came back in one."""
    gateway.complete([1, 2])

    value = await embed(["a", "bc"], size=9)

    assert value == [1, 2]
    call = gateway.seen[0].call
    assert (call.function, call.method, call.constructor) == ("embed", None, None)
    assert (call.arguments.args, call.arguments.kwargs) == ((["a", "bc"],), {"size": 9})


def test_a_blocking_call_gives_the_value(gateway: Gateway) -> None:
    """`f.remote(...)` is the same for code without an event loop."""
    gateway.complete(42)

    assert double.remote(21) == 42
    assert gateway.seen[0].target.startswith("/v2/embed/runsync?wait=")


@pytest.mark.parametrize("value", [None, 0, "", [], {"error": 1}, {"status": "FAILED"}, False])
async def test_values_that_look_like_failures_are_values(gateway: Gateway, value: Any) -> None:
    """B33: what a function returns is never taken for a verdict on the job."""
    gateway.complete(value)

    assert await double(1) == value
    assert double.remote(1) == value


async def test_a_call_that_outlives_the_wait_is_asked_for_until_it_ends(gateway: Gateway) -> None:
    """The gateway holds a request only so long; then the job's status is polled."""
    documents = iter([{"id": "j7", "status": "IN_QUEUE"}, {"id": "j7", "status": "IN_PROGRESS"}, completed(5, "j7")])
    gateway.answer = lambda _: Answer(body=next(documents))

    assert await double(1) == 5
    assert [seen.target.partition("?")[0] for seen in gateway.seen] == [
        "/v2/embed/runsync",
        "/v2/embed/status-sync/j7",
        "/v2/embed/status-sync/j7",
    ]


def failed(error: str) -> dict[str, Any]:
    """The document of a job whose function raised."""
    return {"id": "j", "status": "FAILED", "error": error}


async def test_an_error_in_the_function_comes_back_with_its_traceback(gateway: Gateway) -> None:
    """The remote type, message and traceback are there to be read, and to be asked for."""
    told = {"error_type": "KeyError", "error_message": "'x'", "error_traceback": "Traceback: line 3", "worker_id": "w1"}
    gateway.answer = lambda _: Answer(body=failed(json.dumps(told)))

    with pytest.raises(RemoteError) as caught:
        await double(1)

    assert (caught.value.type_name, caught.value.message) == ("KeyError", "'x'")
    assert "Traceback: line 3" in str(caught.value)
    assert caught.value.data["worker_id"] == "w1"


def test_an_error_that_is_plain_text_is_kept_as_it_is(gateway: Gateway) -> None:
    """Other workers report errors as text."""
    gateway.answer = lambda _: Answer(body=failed("job timed out after 1 retries"))

    with pytest.raises(RemoteError, match="job timed out after 1 retries"):
        double.remote(1)


@pytest.mark.parametrize(
    ("status", "code", "expected"),
    [
        (404, "not_found", NotFound),
        (413, "body_too_large", Unserializable),
        (401, "unauthorized", Unauthorized),
        (503, "no_replica", Unavailable),
        (504, "timeout", DeadlineExceeded),
        (500, "internal", RemoteError),
    ],
)
def test_refusals_have_types(gateway: Gateway, status: int, code: str, expected: type[Exception]) -> None:
    """What the gateway answers is caught by what it means."""
    gateway.answer = lambda _: Answer(status, {"error": {"code": code, "message": "so it is"}})

    with pytest.raises(expected, match=r"embed\.double: so it is"):
        double.remote(1)


def test_a_job_that_ran_out_of_time_says_so(gateway: Gateway) -> None:
    """TIMED_OUT is no failure of the function."""
    gateway.answer = lambda _: Answer(body={"id": "j", "status": "TIMED_OUT"})

    with pytest.raises(DeadlineExceeded, match="ran out of time"):
        double.remote(1)


def test_an_answer_without_envelope_is_not_taken_for_a_value(gateway: Gateway) -> None:
    """An endpoint that is not flashcore's is named as such."""
    gateway.answer = lambda _: Answer(body={"id": "j", "status": "COMPLETED", "output": 3})

    with pytest.raises(ProtocolError, match="envelope"):
        double.remote(1)


@pytest.mark.parametrize("body", [b"<html>", b"[1]", b'{"id": "j"}', b'{"id": "j", "status": "DONE"}'])
def test_nonsense_is_an_error_of_the_protocol(gateway: Gateway, body: bytes) -> None:
    """Whatever listens on the port, the caller gets a typed error."""
    gateway.answer = lambda _: Answer(body=body)

    with pytest.raises(ProtocolError):
        double.remote(1)


def test_a_spawned_job_is_asked_for_and_cancelled(gateway: Gateway) -> None:
    """spawn() returns at once; the handle does the rest."""
    statuses = {"run": "IN_QUEUE", "status": "IN_PROGRESS", "cancel": "CANCELLED"}
    gateway.answer = lambda seen: Answer(body={"id": "j1", "status": statuses[seen.target.split("/")[3]]})

    job = double.spawn(4)

    assert job.id == "j1"
    assert job.status() is JobStatus.IN_PROGRESS
    assert job.cancel() is JobStatus.CANCELLED
    assert gateway.seen[0].call.arguments.args == (4,)


async def test_a_handle_is_awaited_for_its_result(gateway: Gateway) -> None:
    """The three questions of a handle have awaited twins."""
    gateway.answer = lambda _: Answer(body=completed(8, "j1"))
    job = await double.spawn_async(4)

    assert await job == 8
    assert await job.result_async(timeout=60) == 8
    assert await job.status_async() is JobStatus.COMPLETED
    assert await job.cancel_async() is JobStatus.COMPLETED


def test_waiting_for_a_result_ends_when_the_caller_says(gateway: Gateway) -> None:
    """The job goes on; the caller hears that it has not ended."""
    gateway.answer = lambda _: Answer(body={"id": "j1", "status": "IN_PROGRESS"})

    with pytest.raises(DeadlineExceeded, match="had not ended"):
        double.spawn(4).result(timeout=0.05)


def test_map_keeps_the_order_and_the_bound(gateway: Gateway) -> None:
    """Results come in the order of the items, whichever is done first."""
    under_way, most, lock = 0, 0, threading.Lock()
    two = threading.Barrier(2, timeout=60)

    def answer(seen: Seen) -> Answer:
        nonlocal under_way, most
        with lock:
            under_way += 1
            most = max(most, under_way)
        two.wait()
        with lock:
            under_way -= 1
        return Answer(body=completed(10 * seen.call.arguments.args[0]))

    gateway.answer = answer

    assert list(double.map(range(6), concurrency=2)) == [0, 10, 20, 30, 40, 50]
    assert most == 2


def test_map_takes_items_as_it_has_room_for_them(gateway: Gateway) -> None:
    """An endless iterable may be mapped."""
    taken: list[int] = []

    def numbers() -> Any:
        for number in range(1000):
            taken.append(number)
            yield number

    gateway.complete(1)
    results: Any = double.map(numbers(), concurrency=3)
    next(results)
    results.close()

    assert len(taken) <= 5


def test_map_raises_where_the_error_is_due(gateway: Gateway) -> None:
    """What came before is given out; then the error is raised."""
    gateway.answer = lambda seen: Answer(
        body=failed("no twos") if seen.call.arguments.args[0] == 2 else completed(seen.call.arguments.args[0])
    )

    results = double.map(range(4), concurrency=2)

    assert [next(results), next(results)] == [0, 1]
    with pytest.raises(RemoteError, match="no twos"):
        next(results)


async def test_map_async_keeps_the_order(gateway: Gateway) -> None:
    """The same for `async for`, with several iterables as the built-in map takes them."""
    gateway.answer = lambda seen: Answer(body=completed(sum(seen.call.arguments.args)))

    assert [value async for value in double.map_async(range(5), range(10), concurrency=2)] == [0, 2, 4, 6, 8]


async def test_methods_of_a_class_are_called_by_name(gateway: Gateway) -> None:
    """B36: the constructor's arguments travel with the call; without any, the class's defaults hold."""
    gateway.complete("found")

    assert await Index("other").search("q", k=2) == "found"
    assert Index().search.remote("q") == "found"

    first, second = (seen.call for seen in gateway.seen)
    assert (first.function, first.method) == ("Plain", "search")
    assert first.constructor is not None
    assert first.constructor.args == ("other",)
    assert second.constructor is None


def test_attributes_of_a_remote_instance_stay_remote() -> None:
    """A name that is no public method is refused here, not after a round trip."""
    with pytest.raises(AttributeError, match="no public method 'path'"):
        _ = Index("x").path


def test_local_calls_the_function_itself() -> None:
    """`.local` needs no platform."""
    assert double.local(3) == 6
    assert asyncio.run(embed.local(["abcd"])) == [3]
    assert Index.local("here").search("q") == "here:q:5:1"
    assert Index("here").search.local("q") == "here:q:5:1"


async def test_a_replica_calls_its_own_endpoint_in_the_process(gateway: Gateway, monkeypatch: Any) -> None:
    """Otherwise a replica with one slot would wait for itself for ever."""
    monkeypatch.setenv("FLASHCORE_ENDPOINT", "embed")

    index = Index("idx")

    assert await double(4) == 8
    assert double.remote(4) == 8
    assert embed.remote(["abcd"]) == [3]
    assert await index.search("a") == "idx:a:5:1"
    assert await index.search("a") == "idx:a:5:2"
    assert gateway.seen == []


async def test_a_replica_of_another_endpoint_calls_through_the_gateway(gateway: Gateway, monkeypatch: Any) -> None:
    """Only the own endpoint is near."""
    monkeypatch.setenv("FLASHCORE_ENDPOINT", "other")
    gateway.complete(1)

    assert await double(4) == 1


@pytest.mark.parametrize(
    ("argument", "path"),
    [
        (object(), "args[0]: it is of type object"),
        ({"a": [1, {2}]}, "args[0]['a'][1]: it is of type set"),
        ({1: 2}, "args[0]: its key 1 is not text"),
        ([float("nan")], "args[0][0]: JSON has no nan"),
        ("\ud800", "args[0]: it holds half of a surrogate pair"),
    ],
)
def test_an_argument_that_cannot_be_sent_is_named_by_its_path(gateway: Gateway, argument: Any, path: str) -> None:
    """B33: nothing is sent, and the path says what to change."""
    name, _, problem = path.partition(": ")

    with pytest.raises(UsageError) as caught:
        double.remote(argument)

    assert f"embed.double: {name} cannot be sent: {problem}" in str(caught.value)
    assert gateway.seen == []


def test_an_argument_that_contains_itself_is_refused() -> None:
    """Instead of a stack overflow."""
    loop: list[Any] = []
    loop.append(loop)

    with pytest.raises(UsageError, match="contains itself"):
        double.remote(loop)  # type: ignore[arg-type]  # on purpose


def test_a_token_is_shown_when_one_is_set(gateway: Gateway, monkeypatch: Any) -> None:
    """A gateway that wants to know who calls is told."""
    monkeypatch.setenv("FLASHCORE_TOKEN", "t0ken")
    gateway.complete(1)

    double.remote(1)

    assert gateway.seen[0].headers["authorization"] == "Bearer t0ken"


def test_a_function_keeps_its_name_and_its_self() -> None:
    """Decorated functions look like themselves, and the worker finds what is inside."""
    assert double.__name__ == "double"
    assert double.__doc__ == "Twice the number."
    assert double.__wrapped__(2) == 4
    assert Index.__wrapped__("p").path == "p"


def test_a_class_is_itself_to_its_own_code() -> None:
    """Its name stands for it: class attributes, checks of instances, static methods."""

    class Counted:
        made = 0

        def __init__(self) -> None:
            Counter.made += 1

        @staticmethod
        def word() -> str:
            return "w"

    Counter: Any = remote(gpu)(Counted)  # noqa: N806 - it stands for a class
    made = Counter.local()

    assert (Counted.made, Counter.made, Counter.word()) == (1, 1, "w")
    assert isinstance(made, Counter)
    assert not isinstance(3, Counter)


def test_a_class_can_be_inherited_from() -> None:
    """Whoever inherits from a remote class inherits from the class itself."""

    class Better(Index):  # type: ignore[misc]  # of a class that mypy does not know
        """With another search."""

    assert Better("x").search("q") == "x:q:5:1"
