"""A queue worker's process against a gateway: what it takes, runs, reports and stops."""

import asyncio
import json
import textwrap
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from tests.worker.conftest import QUEUE_HANDLER, RunningReplica, Start, function, value_of, write_artifact

from flashcore.model.job import Payload
from flashcore.model.names import JobId
from flashcore.testing.fake_gateway import FakeGateway
from flashcore.wire.envelope import Arguments, Call, unwrap_value, wrap_call
from flashcore.wire.hello import Stage
from flashcore.wire.messages import Assignment, Beat, Chunk, Received, Refusal, Results, Serves, Taken

CODE = """
    import asyncio, os, subprocess, sys, threading, time
    from flashcore.worker.job import current_job

    RUNNING = set()
    MOST = []

    def add(a, b=1):
        return a + b

    def boom(text="bad"):
        raise ValueError(text)

    async def sleep(seconds):
        print("sleeping", flush=True)
        await asyncio.sleep(seconds)
        return "slept"

    def block(until):
        while not os.path.exists(until):
            time.sleep(0.01)
        return "blocked"

    async def wait(until):
        while not os.path.exists(until):
            await asyncio.sleep(0.01)
        print("waited", flush=True)
        return "waited"

    def count(n):
        for number in range(n):
            yield number

    async def count_slowly(n):
        for number in range(n):
            await asyncio.sleep(0)
            yield number

    def flood(size, n):
        for number in range(n):
            print("yielded", number, flush=True)
            yield "x" * size

    def report():
        job = current_job()
        job.progress({"half": True})
        print("hello from", job.id)
        return [job.id, job.attempt, dict(job.context)]

    def meet(others):
        RUNNING.add(threading.get_ident())
        MOST.append(len(RUNNING))
        while max(MOST) < others:
            time.sleep(0.001)
        time.sleep(0.02)  # in which one too many would have come
        RUNNING.discard(threading.get_ident())
        return max(MOST)

    def leave():
        sys.exit(3)

    async def leave_slowly():
        sys.exit(3)

    async def leave_in_a_task():
        async def leaves():
            sys.exit(3)
        asyncio.get_running_loop().create_task(leaves())
        await asyncio.sleep(0.05)
        return "still here"

    async def stall(until):
        while not os.path.exists(until):
            time.sleep(0.01)
        return "stalled"

    def swallow():
        while True:
            try:
                time.sleep(0.01)
                raise KeyboardInterrupt
            except BaseException:
                return "swallowed"

    async def stubborn():
        try:
            print("deaf from now on", flush=True)
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            return "finished all the same"

    def read_input():
        return sys.stdin.read()

    def forks():
        import multiprocessing
        context = multiprocessing.get_context("fork")
        child = context.Process(target=time.sleep, args=(60,))
        child.start()
        time.sleep(0.1)
        child.terminate()
        child.join()
        return child.exitcode

    def splits():
        returns, may_end = os.pipe()
        child = os.fork()
        if child == 0:
            os.write(may_end, b"!")
            return "the child's"
        os.read(returns, 1)
        time.sleep(0.1)  # in which a child that has a say would have said it
        os.kill(child, 9)
        os.waitpid(child, 0)
        return "the parent's"

    class Counter:
        def __init__(self, start=0):
            self.n = start
        def up(self):
            self.n += 1
            return self.n
"""

NAMES = {
    **dict.fromkeys(["add", "boom", "block", "report", "meet", "leave", "swallow", "read_input"], "function"),
    **dict.fromkeys(["forks", "splits"], "function"),
    **dict.fromkeys(["sleep", "wait", "leave_slowly", "leave_in_a_task", "stall", "stubborn"], "async_function"),
    **dict.fromkeys(["count", "flood"], "generator"),
    "count_slowly": "async_generator",
}

Run = Callable[..., Awaitable[RunningReplica]]


@pytest.fixture
def handler(tmp_path: Path) -> Path:
    """An artifact with functions of every kind."""
    entries = [function(name, kind) for name, kind in NAMES.items()]
    entries.append(function("Counter", "class", methods=("up",)))
    return write_artifact(tmp_path / "artifact", QUEUE_HANDLER, {"code_of_user.py": CODE}, entries)


@pytest.fixture
def run(start: Start, gateway: FakeGateway, handler: Path) -> Run:
    """Starts a worker of these functions, connected to the gateway."""

    async def run_one(slots: int = 1, **variables: str) -> RunningReplica:
        replica = await start(handler, FLASHCORE_SLOTS=str(slots), **variables)
        await gateway.worker()
        return replica

    return run_one


def calling(name: str, *args: Any, **kwargs: Any) -> dict[str, Any]:
    """The input of an enveloped call."""
    return wrap_call(Call(name, arguments=Arguments(args, kwargs)))


def returned(result: Any) -> Any:
    """What the function returned."""
    assert result.error is None, result.error
    return unwrap_value(value_of(result.output))


def failure(result: Any) -> dict[str, str]:
    """What the function raised."""
    told: dict[str, str] = json.loads(result.error)
    return told


async def logged(replica: RunningReplica, text: str, times: int = 1) -> None:
    """Wait for a line in the log."""
    async with asyncio.timeout(60):
        while replica.log.count(text) < times:  # noqa: ASYNC110 - a file has no event
            await asyncio.sleep(0.01)


async def test_calls_of_every_kind_return(run: Run, gateway: FakeGateway) -> None:
    """Functions, coroutines, generators, async generators and methods of a class that keeps its state."""
    await run()

    assert returned(await gateway.call(calling("add", 1, b=2))) == 3
    assert returned(await gateway.call(calling("sleep", 0))) == "slept"
    assert returned(await gateway.call(calling("count", 3))) == [0, 1, 2]
    assert returned(await gateway.call(calling("count_slowly", 2))) == [0, 1]
    up = wrap_call(Call("Counter", "up"))
    assert [returned(await gateway.call(up)), returned(await gateway.call(up))] == [1, 2]
    apart = wrap_call(Call("Counter", "up", constructor=Arguments((10,))))
    assert returned(await gateway.call(apart)) == 11


async def test_an_exception_is_reported_and_logged_with_its_job(run: Run, gateway: FakeGateway) -> None:
    """The caller gets type, message and traceback; the log says which job it was."""
    replica = await run()

    job = gateway.give(calling("boom"))
    told = failure(await gateway.result(job))

    assert (told["error_type"], told["error_message"], told["worker_id"]) == ("ValueError", "bad", "tested-1/life-1")
    assert told["error_traceback"].count("File ") == 1
    assert f"[job {job}] ValueError: bad" in replica.log


@pytest.mark.parametrize(
    ("job", "said"),
    [
        (calling("add"), "add() missing 1 required positional argument: 'a'\n  signature: add(a, b=1)"),
        (calling("nothing"), "no function 'nothing'"),
        ({"a": 1}, "the call names none of them"),
        ({"$flashcore": {"version": 99}}, "version 99"),
    ],
)
async def test_a_call_that_fits_nothing_is_a_failed_job(
    run: Run, gateway: FakeGateway, job: dict[str, Any], said: str
) -> None:
    """B35: it says what would fit."""
    await run()

    assert said in failure(await gateway.call(job))["error_message"]


@pytest.mark.parametrize(
    "job",
    [
        {"a": 1},
        {"$flashcore": {"version": 1, "function": "add", "arguments": {"a": 1}}},
        {"$flashcore": {"version": 1, "function": "Counter", "method": "up", "arguments": {"n": 1}}},
    ],
)
async def test_a_call_that_is_written_wrong_is_shown_one_to_copy(
    run: Run, gateway: FakeGateway, job: dict[str, Any]
) -> None:
    """What is shown can be sent; the last one said `"arguments": {...}`, and what was put there was refused."""
    await run()
    said = failure(await gateway.call(job))["error_message"]

    shown = json.loads(said[said.index('{"$flashcore"') :])

    called = failure(await gateway.call(shown))["error_message"]
    assert "got an unexpected keyword argument 'x'" in called


async def test_an_input_that_is_no_json_is_a_failed_job(run: Run, gateway: FakeGateway) -> None:
    """Bytes of another kind, or broken ones, harm nobody else."""
    await run()

    gateway.give_all(
        [
            Assignment(JobId("broken"), 1, 10.0, Payload(b"{")),
            Assignment(JobId("other"), 1, 10.0, Payload(b"\x80", "application/x-pickle")),
        ]
    )

    assert failure(await gateway.result(JobId("broken")))["error_type"] == "json.decoder.JSONDecodeError"
    assert "application/x-pickle" in failure(await gateway.result(JobId("other")))["error_message"]


async def test_user_code_knows_its_job(run: Run, gateway: FakeGateway) -> None:
    """Id, attempt and context are there; progress is reported; what it prints carries the id."""
    replica = await run()

    job = gateway.give(calling("report"), context={"traceparent": "00-1"})

    assert returned(await gateway.result(job)) == [job, 1, {"traceparent": "00-1"}]
    assert gateway.progress(job) == [{"half": True}]
    assert f"[job {job}] hello from {job}\n" in replica.log


async def test_as_many_jobs_run_as_there_are_slots_and_never_more(run: Run, gateway: FakeGateway) -> None:
    """Q25: jobs beyond the slots wait their turn, in order."""
    await run(slots=3)

    jobs = [gateway.give(calling("meet", 3)) for _ in range(12)]
    most = [returned(await gateway.result(job)) for job in jobs]

    assert max(most) == 3


async def test_plain_functions_and_coroutines_share_the_slots(run: Run, gateway: FakeGateway) -> None:
    """A coroutine takes a slot, too: with one slot the second job begins when the first has ended."""
    replica = await run(slots=1)

    first, second = gateway.give(calling("sleep", 0.2)), gateway.give(calling("add", 1))
    await gateway.result(second)

    assert [result.id for result in gateway.results] == [first, second]
    assert "sleeping" in replica.log


async def test_results_are_reported_in_batches(run: Run, gateway: FakeGateway, tmp_path: Path) -> None:
    """Q20: one message holds the results that were there at the same time."""
    replica, go_on = await run(slots=30), tmp_path / "go-on"
    jobs = [gateway.give(calling("wait", str(go_on))) for _ in range(30)]
    await gateway.until(lambda: any(len(beat.ids) == 30 for beat in gateway.beats))

    await gateway.stop()
    go_on.touch()
    await logged(replica, "waited", 30)
    await gateway.start()
    for job in jobs:
        await gateway.result(job)

    assert len([message for message in gateway.messages if isinstance(message, Results)]) < 10


async def test_a_cancelled_coroutine_ends_at_once(run: Run, gateway: FakeGateway) -> None:
    """Q07: its slot is free again for the next job."""
    replica = await run()
    job = gateway.give(calling("sleep", 60))
    await logged(replica, "sleeping")

    gateway.cancel(job)

    assert (await gateway.result(job)).released
    assert returned(await gateway.call(calling("add", 1))) == 2


async def test_a_waiting_job_can_be_cancelled(run: Run, gateway: FakeGateway) -> None:
    """A job that has not begun never begins."""
    replica = await run()
    first = gateway.give(calling("sleep", 60))
    second = gateway.give(calling("boom", "it ran"))
    await logged(replica, "sleeping")

    gateway.cancel(second)
    assert (await gateway.result(second)).released
    gateway.cancel(first)
    await gateway.result(first)

    assert "it ran" not in replica.log


async def test_a_cancelled_plain_function_keeps_its_slot_until_it_returns(
    run: Run, gateway: FakeGateway, tmp_path: Path
) -> None:
    """Q07: nothing can interrupt it; its end is reported when it comes, and the heartbeat names it until then."""
    await run()
    go_on = tmp_path / "go-on"
    job = gateway.give(calling("block", str(go_on)))

    gateway.cancel(job)
    later = gateway.give(calling("add", 1))
    await gateway.until(lambda: any(beat.ids == (job, later) for beat in gateway.beats))
    go_on.touch()

    assert returned(await gateway.result(job)) == "blocked"
    assert returned(await gateway.result(later)) == 2


async def test_a_coroutine_that_will_not_be_cancelled_keeps_its_slot(run: Run, gateway: FakeGateway) -> None:
    """Q23: user code that catches what cancels it is let end in its own way."""
    replica = await run()
    job = gateway.give(calling("stubborn"))
    await logged(replica, "deaf from now on")

    gateway.cancel(job)

    assert returned(await gateway.result(job)) == "finished all the same"


async def test_a_job_that_takes_too_long_is_ended(run: Run, gateway: FakeGateway, tmp_path: Path) -> None:
    """Its timeout counts in the worker, too, for when no gateway is there; a plain function ends by itself."""
    await run(slots=2)

    go_on = tmp_path / "go-on"
    calls = {JobId("one"): calling("sleep", 600), JobId("other"): calling("block", str(go_on))}
    # In one message, so that their time begins together.
    gateway.give_all([Assignment(job, 1, 0.1, Payload(json.dumps(call).encode())) for job, call in calls.items()])
    await gateway.result(JobId("one"))
    beats = len(gateway.beats)
    await gateway.until(lambda: len(gateway.beats) > beats + 3)  # by now the other one's time is over as well
    go_on.touch()

    for job in calls:
        told = failure(await gateway.result(job))
        assert told["error_type"] == "flashcore.model.errors.DeadlineExceeded"
        assert "execution timeout of 0.1 s" in told["error_message"]


async def test_chunks_come_in_order_and_before_the_result(run: Run, gateway: FakeGateway) -> None:
    """Q11: each item of a generator once, in the envelope if the caller used it; the output is the whole list."""
    await run()

    job = gateway.give(calling("count", 500))

    assert returned(await gateway.result(job)) == list(range(500))
    assert [unwrap_value(chunk) for chunk in gateway.chunks(job)] == list(range(500))


async def test_a_stopped_generator_stops_at_its_next_item(run: Run, gateway: FakeGateway) -> None:
    """A stream that nobody wants does not go on for ever."""
    replica = await run()
    job = gateway.give(calling("flood", 100, 10**9))
    await gateway.until(lambda: len(gateway.chunks(job)) > 10)

    gateway.cancel(job)

    assert (await gateway.result(job)).released
    assert replica.process.returncode is None


async def test_a_reader_that_is_slow_holds_back_the_generator(run: Run, gateway: FakeGateway) -> None:
    """Q11: what is not read stays in the generator, not in memory."""
    replica = await run()
    job = gateway.give(calling("flood", 100_000, 1000))
    transport = gateway._channels[-1]._transport  # noqa: SLF001 - a reader that does not read
    assert transport is not None
    transport.pause_reading()
    await logged(replica, "yielded")
    await asyncio.sleep(0.5)  # in which all thousand would have been yielded

    assert replica.log.count("yielded") < 100
    transport.resume_reading()
    assert len(returned(await gateway.result(job))) == 1000


async def test_chunks_that_nobody_took_are_sent_again_to_the_next_gateway(run: Run, gateway: FakeGateway) -> None:
    """Q11: by their numbers, in order, before the result; what was taken is not."""
    await run()
    gateway.acknowledges = False
    job = gateway.give(calling("count", 5))
    await gateway.result(job)
    await gateway.stop()
    gateway.messages.clear()
    await gateway.start()
    await gateway.result(job)
    again = [message.number for message in gateway.messages if isinstance(message, Chunk)]
    gateway.tell(Taken(job, 1, 3))
    gateway.acknowledges = True
    await gateway.call(calling("add", 1))  # it has been heard when this one is answered
    gateway.messages.clear()
    await gateway.stop()
    await gateway.start()
    await gateway.result(job)
    rest = [message.number for message in gateway.messages if isinstance(message, Chunk)]

    assert again == [0, 1, 2, 3, 4]
    assert rest == [3, 4]


async def test_a_stream_over_a_restart_has_no_hole(run: Run, gateway: FakeGateway) -> None:
    """Q11: whatever was on its way when the gateway died comes to the next one."""
    await run()
    job = gateway.give(calling("count", 3_000))
    await gateway.until(lambda: len(gateway.chunks(job)) > 100)
    await gateway.stop()
    await gateway.start()
    await gateway.result(job)
    numbers = [message.number for message in gateway.messages if isinstance(message, Chunk)]

    assert sorted({number for number in numbers if number is not None}) == list(range(3_000))


async def test_an_older_gateway_is_spoken_to_as_it_understands(run: Run, gateway: FakeGateway) -> None:
    """Protocol 1 has no numbers, nothing to say of what functions take, and no word for what does not fit."""
    gateway.protocol = 1
    await run()

    stream = gateway.give(calling("count", 3))
    await gateway.result(stream)
    wrong = await gateway.call(calling("add"))

    assert [message.number for message in gateway.messages if isinstance(message, Chunk)] == [None] * 3
    assert wrong.unfit is None
    assert not any(isinstance(message, Serves) for message in gateway.messages)


async def test_what_does_not_fit_is_told_with_what_does(run: Run, gateway: FakeGateway) -> None:
    """Q33: arguments that do not bind, a function that is not there; a mistake of the function's own is none of it."""
    await run()

    calls = [("add",), ("nobody",), ("add", "1", "2", "3"), ("boom",)]
    results = [await gateway.call(calling(*call)) for call in calls]
    says = next(message for message in gateway.messages if isinstance(message, Serves))

    assert says.takes["add"] == "add(a, b=1)"
    assert [result.unfit and result.unfit.partition(")")[0] for result in results] == [
        "add(a, b=1", next(iter(says.takes.values())).partition(")")[0], "add(a, b=1", None,
    ]  # fmt: skip


@pytest.mark.parametrize("name", ["leave", "leave_slowly"])
async def test_sys_exit_ends_the_job_and_not_the_replica(run: Run, gateway: FakeGateway, name: str) -> None:
    """Q23: the next job finds the same replica."""
    await run()

    assert failure(await gateway.call(calling(name)))["error_type"] == "SystemExit"
    assert returned(await gateway.call(calling("add", 1))) == 2


async def test_sys_exit_in_a_task_that_nobody_awaits_ends_nothing(run: Run, gateway: FakeGateway) -> None:
    """Q23: an event loop would stop; the worker's goes on."""
    replica = await run()

    assert returned(await gateway.call(calling("leave_in_a_task"))) == "still here"
    assert returned(await gateway.call(calling("add", 1))) == 2
    assert "raised SystemExit: 3; the replica goes on" in replica.log


async def test_code_that_catches_everything_or_reads_stdin_harms_nobody(run: Run, gateway: FakeGateway) -> None:
    """Q23: stdin is empty, and exceptions of the worker's own never pass through user code."""
    await run()

    assert returned(await gateway.call(calling("swallow"))) == "swallowed"
    assert returned(await gateway.call(calling("read_input"))) == ""


async def test_a_child_that_is_terminated_does_not_terminate_the_replica(run: Run, gateway: FakeGateway) -> None:
    """Q23: a forked child inherits the worker's handlers, and ends by a signal as any process does."""
    await run()

    assert returned(await gateway.call(calling("forks"))) == -15
    assert returned(await gateway.call(calling("add", 1))) == 2
    assert not gateway.leaving


async def test_a_forked_child_that_returns_has_no_say_in_the_result(run: Run, gateway: FakeGateway) -> None:
    """It has the worker's connection, too: what it wrote there would be taken for the job's result."""
    await run()

    assert returned(await gateway.call(calling("splits"))) == "the parent's"
    assert len(gateway.results) == 1


async def test_a_coroutine_that_blocks_is_named_and_heartbeats_go_on(
    run: Run, gateway: FakeGateway, tmp_path: Path
) -> None:
    """B38: who blocks the event loop is told, with the place in the code; the gateway still hears the worker."""
    replica, go_on = await run(slots=2), tmp_path / "go-on"
    job = gateway.give(calling("stall", str(go_on)))
    await logged(replica, "in stall\n")
    beats = len(gateway.beats)
    await gateway.until(lambda: len(gateway.beats) > beats + 5)
    go_on.touch()

    assert returned(await gateway.result(job)) == "stalled"
    assert f"blocked for 1 s by stall (job {job})" in replica.log
    assert replica.log.count("blocked for") == 1


async def test_a_result_is_sent_again_until_it_is_received(run: Run, gateway: FakeGateway) -> None:
    """Q26: a gateway that could not store it, and restarts, gets it again; then it is forgotten."""
    await run()
    gateway.acknowledges = False
    job = gateway.give(calling("add", 1))
    await gateway.result(job)

    await gateway.stop()
    await gateway.start()
    await gateway.until(lambda: len([r for r in gateway.results if r.id == job]) == 2)
    gateway.tell(Received((job,)))
    await gateway.call(calling("add", 1))  # it has been heard when this one is answered
    await gateway.stop()
    gateway.acknowledges = True
    await gateway.start()
    await gateway.worker()
    await gateway.call(calling("add", 2))

    assert len([result for result in gateway.results if result.id == job]) == 2


async def test_jobs_go_on_while_the_gateway_is_away(run: Run, gateway: FakeGateway, tmp_path: Path) -> None:
    """A gateway's restart costs no attempt: the worker comes back with its jobs and their results."""
    replica, go_on = await run(slots=2), tmp_path / "go-on"
    job, stream = gateway.give(calling("wait", str(go_on))), gateway.give(calling("count", 10_000))
    await gateway.until(lambda: len(gateway.chunks(stream)) > 5)

    await gateway.stop()
    before = len(gateway.messages)
    await gateway.start()
    again = await gateway.worker()
    await gateway.until(lambda: any(isinstance(message, Beat) for message in gateway.messages[before:]))
    go_on.touch()

    assert again.identity.instance == "life-1"
    assert returned(await gateway.result(job)) == "waited"
    assert returned(await gateway.result(stream)) == list(range(10_000))
    assert job in next(message.ids for message in gateway.messages[before:] if isinstance(message, Beat))
    assert replica.log.count("waited") == 1


async def test_a_job_that_is_given_twice_runs_once(run: Run, gateway: FakeGateway) -> None:
    """A gateway that forgot what it gave does no harm."""
    replica = await run(slots=2)
    gateway.acknowledges = False

    for _ in range(2):
        gateway.give(calling("report"), id="twice")
    await gateway.result(JobId("twice"))
    gateway.give(calling("report"), id="twice")
    await gateway.call(calling("add", 1))

    assert replica.log.count("hello from twice") == 1


async def test_a_gateway_that_will_never_have_the_worker_ends_it(run: Run, gateway: FakeGateway) -> None:
    """The replica says why, on its socket and in its record, and ends with a failure."""
    replica = await run()
    listener = await replica.ready()

    gateway.tell(Refusal("protocol 1 is not spoken here", final=True))

    status = await listener.until_stage(Stage.FAILED)
    assert status.detail == "protocol 1 is not spoken here"
    assert await replica.ended() == 1
    assert replica.record is not None
    assert replica.record.status == status


async def test_a_gateway_that_refuses_for_now_is_asked_again(run: Run, gateway: FakeGateway) -> None:
    """The worker comes back after a while."""
    await run()

    gateway.tell(Refusal("not yet", final=False))

    await gateway.until(lambda: len(gateway.hellos) == 2)
    assert returned(await gateway.call(calling("add", 1))) == 2


async def test_somebody_elses_handler_is_served_in_runpods_manner(
    start: Start, gateway: FakeGateway, tmp_path: Path
) -> None:
    """A plugin may generate a handler of its own: it gets the job, and a dict with `error` is a failure."""
    path = tmp_path / "handler_own.py"
    path.write_text(
        textwrap.dedent("""
            async def handler(job):
                return {"error": "no"} if job["input"].get("fail") else [job["id"], job["input"]]
        """)
    )
    await start(path)
    await gateway.worker()

    assert value_of((await gateway.call({"a": 1}, id="mine")).output) == ["mine", {"a": 1}]
    assert (await gateway.call({"fail": True})).error == "no"
