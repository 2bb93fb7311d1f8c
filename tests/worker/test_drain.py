"""The end of a queue worker: what runs is finished, what cannot be is given back."""

import asyncio
import time
from pathlib import Path

import pytest
from tests.worker.conftest import QUEUE_HANDLER, RunningReplica, Start, function, value_of, write_artifact

from flashcore.testing.fake_gateway import FakeGateway
from flashcore.wire.hello import Stage
from flashcore.wire.messages import Drain

CODE = """
    import asyncio, time
    from pathlib import Path

    GO_ON = Path("go-on")

    async def hold(_):
        print("begun", flush=True)
        while not GO_ON.exists():
            await asyncio.sleep(0.01)
        return "done"

    def hold_thread(_):
        print("begun", flush=True)
        while not GO_ON.exists():
            time.sleep(0.01)
        return "done"

    async def sleep(seconds):
        print("begun", flush=True)
        await asyncio.sleep(seconds)
        return "done"

    def block(seconds):
        print("begun", flush=True)
        time.sleep(seconds)
        return "done"

    def stick(_):
        from flashcore.worker import runner

        runner.STUCK_AFTER = 0.05
        print("begun", flush=True)
        while True:
            time.sleep(0.01)

    async def tidy(seconds):
        from flashcore.worker import queue, runtime

        # Not to be cut off, however slow the machine is.
        queue.CANCELLED_WITHIN = runtime.END_WITHIN = 600.0
        print("begun", flush=True)
        try:
            await asyncio.sleep(seconds)
        finally:
            await asyncio.sleep(0.05)
            print("tidied up", flush=True)
"""


@pytest.fixture
async def replica(start: Start, gateway: FakeGateway, tmp_path: Path) -> RunningReplica:
    """A connected worker with two slots and a grace of one second."""
    return await _worker(start, gateway, tmp_path, "1.0")


@pytest.fixture
async def patient(start: Start, gateway: FakeGateway, tmp_path: Path) -> RunningReplica:
    """One whose grace is longer than any machine is slow."""
    return await _worker(start, gateway, tmp_path, "100.0")


async def _worker(start: Start, gateway: FakeGateway, folder: Path, grace: str, slots: str = "2") -> RunningReplica:
    entries = [
        *(function(name, "async_function") for name in ("hold", "sleep", "tidy")),
        *(function(name) for name in ("hold_thread", "block", "stick")),
    ]
    handler = write_artifact(folder / "artifact", QUEUE_HANDLER, {"code_of_user.py": CODE}, entries)
    started = await start(handler, FLASHCORE_SLOTS=slots, FLASHCORE_GRACE=grace)
    await gateway.worker()
    return started


def go_on(replica: RunningReplica) -> None:
    """Let jobs end that hold."""
    (replica.folder / "go-on").touch()


def calling(name: str, seconds: float = 0) -> dict[str, object]:
    """The input of a call."""
    return {"$flashcore": {"version": 1, "function": name, "arguments": {"args": [seconds]}}}


async def begun(replica: RunningReplica, times: int = 1) -> None:
    """Wait until so many jobs have begun."""
    async with asyncio.timeout(60):
        while replica.log.count("begun") < times:  # noqa: ASYNC110 - a file has no event
            await asyncio.sleep(0.01)


async def test_running_jobs_finish_within_the_grace(patient: RunningReplica, gateway: FakeGateway) -> None:
    """Q21: a plain function and a coroutine that are not done yet get their time; exit status 0."""
    jobs = [gateway.give(calling(name)) for name in ("hold", "hold_thread")]
    await begun(patient, 2)

    patient.terminate()
    await gateway.until(lambda: gateway.leaving)
    go_on(patient)

    for job in jobs:
        result = await gateway.result(job)
        assert value_of(result.output)["$flashcore"]["value"] == "done"
    assert await patient.ended() == 0


async def test_what_does_not_finish_is_released(replica: RunningReplica, gateway: FakeGateway) -> None:
    """Q21: at the end of the grace both go back to the queue uncharged; a plain function does not keep the process."""
    jobs = [gateway.give(calling(name, 600)) for name in ("sleep", "block")]
    await begun(replica, 2)

    began = time.monotonic()
    replica.terminate()

    for job in jobs:
        assert (await gateway.result(job)).released
    assert await replica.ended() == 0
    assert time.monotonic() - began > 0.9


async def test_waiting_jobs_are_released_at_once(patient: RunningReplica, gateway: FakeGateway) -> None:
    """Q21: no new job begins, neither one that waits nor one that comes too late."""
    for _ in range(2):
        gateway.give(calling("hold"))
    await begun(patient, 2)
    waiting = gateway.give(calling("hold"))

    patient.terminate()
    assert (await gateway.result(waiting)).released
    late = gateway.give(calling("hold"))
    assert (await gateway.result(late)).released

    go_on(patient)
    assert await patient.ended() == 0
    assert patient.log.count("begun") == 2


async def test_a_second_sigterm_ends_it_at_once(patient: RunningReplica, gateway: FakeGateway) -> None:
    """Q21: whoever asks twice means it; the gateway sees the connection end and gives the job back."""
    gateway.give(calling("hold_thread"))
    await begun(patient)

    patient.terminate()
    await gateway.until(lambda: gateway.leaving)
    patient.terminate()

    assert await patient.ended() == 143
    await gateway.until(lambda: gateway.connected == 0)


async def test_a_drain_message_brings_its_own_grace(replica: RunningReplica, gateway: FakeGateway) -> None:
    """The provider says how long; a signal that follows it changes nothing."""
    job = gateway.give(calling("hold"))
    await begun(replica)
    listener = await replica.connect()
    assert listener.channel is not None

    listener.channel.send(Drain(100.0))
    await gateway.until(lambda: gateway.leaving)
    replica.terminate()
    await asyncio.sleep(1.2)  # in which a grace of one second would have been over
    go_on(replica)

    assert value_of((await gateway.result(job)).output)["$flashcore"]["value"] == "done"
    assert await replica.ended() == 0


async def test_interrupted_coroutines_can_clean_up(replica: RunningReplica, gateway: FakeGateway) -> None:
    """Their `finally` blocks run."""
    gateway.give(calling("tidy", 30))
    await begun(replica)

    replica.terminate()

    assert await replica.ended() == 0
    assert "tidied up" in replica.log


async def test_results_that_nobody_takes_do_not_keep_it_for_ever(replica: RunningReplica, gateway: FakeGateway) -> None:
    """A gateway that is away at the end: the job will run again, and the log says so."""
    gateway.give(calling("hold"))
    await begun(replica)
    await gateway.stop()
    go_on(replica)

    replica.terminate()

    assert await replica.ended() == 0
    assert "they will run again" in replica.log


async def test_results_wait_for_a_gateway_that_comes_back(patient: RunningReplica, gateway: FakeGateway) -> None:
    """Q26: it restarts while the worker drains, and gets what it is owed."""
    job = gateway.give(calling("hold"))
    await begun(patient)
    await gateway.stop()
    patient.terminate()
    go_on(patient)
    await asyncio.sleep(0.5)  # by then it has its result

    await gateway.start()

    assert value_of((await gateway.result(job)).output)["$flashcore"]["value"] == "done"
    assert await patient.ended() == 0
    assert gateway.leaving


async def test_a_replica_gives_itself_up_for_a_job_that_does_not_end(
    start: Start, gateway: FakeGateway, tmp_path: Path
) -> None:
    """Q22: nothing interrupts a plain function. One that hangs for each slot, and no job would run here again.

    The drain waits for the others, and not for one that is past its own timeout only later.
    """
    patient = await _worker(start, gateway, tmp_path, "100.0", slots="3")
    listener = await patient.ready()
    held = gateway.give(calling("hold"))
    gateway.give(calling("stick", 0), timeout=0.01)
    gateway.give(calling("stick", 0), timeout=0.5)

    said = await listener.until_stage(Stage.DRAINING)
    await gateway.until(lambda: gateway.leaving)
    go_on(patient)

    assert value_of((await gateway.result(held)).output)["$flashcore"]["value"] == "done"
    assert await patient.ended() == 0
    assert "still runs, 0.05 s past its execution timeout, and cannot be interrupted" in said.detail
