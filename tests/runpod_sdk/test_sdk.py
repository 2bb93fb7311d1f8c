"""RunPod's own worker and client against the gateway, as if it were RunPod."""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess

import pytest
from tests.gateway.conftest import eventually
from tests.runpod_sdk.conftest import NEWEST, Sdk

Started = list[subprocess.Popen[bytes]]

VERSIONS = ("1.6.2", "1.7.13", "1.9.1", "1.10.1", "1.12.0", "2.0.0rc1")


@pytest.mark.parametrize("sdk", VERSIONS, indirect=True)
async def test_every_version_works_off_jobs(sdk: Sdk, workers: Started) -> None:
    """Q-C1, Q-C2, Q-C3, Q-C4, Q-C19: what is returned, raised and called an error arrives as what it is."""
    trace = {"traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "tracestate": "a=b"}
    traced = await sdk.running.post("/v2/shop/run", {"input": {"do": "trace"}}, trace)
    jobs = {
        "trace": str(traced.json["id"]),
        "echo": await sdk.run({"do": "echo", "value": ["ä", None, 0]}),
        "raise": await sdk.run({"do": "raise", "value": "no"}),
        "error": await sdk.run({"do": "error", "value": "bad"}),
        "object": await sdk.run({"do": "error", "value": {"code": 3}}),
        "null": await sdk.run({"do": "echo", "value": None}),
    }
    workers.append(sdk.start_worker(SLOTS="8"))
    ended = {name: await sdk.ended(job) for name, job in jobs.items()}

    assert {name: one["status"] for name, one in ended.items()} == {
        "trace": "COMPLETED",
        "echo": "COMPLETED", "raise": "FAILED", "error": "FAILED", "object": "FAILED", "null": "COMPLETED",
    }  # fmt: skip
    assert ended["trace"]["output"] == list(trace.values())
    assert ended["echo"]["output"] == ["ä", None, 0]
    assert "no" in ended["raise"]["error"]
    assert (ended["error"]["error"], ended["error"]["output"]) == ("bad", {"kept": 1})
    assert json.loads(ended["object"]["error"]) == {"code": 3}
    assert ended["null"]["output"] is None
    assert all({"id", "delayTime", "executionTime", "workerId"} <= one.keys() for one in ended.values())


async def test_the_client_sees_what_it_sees_in_the_cloud(sdk: Sdk, workers: Started) -> None:
    """Q-C1, Q-C2, Q-C8, Q-C13: run_sync, run, status, output, cancel, purge_queue, health."""
    purged = await sdk.client("purge", {"input": {"do": "echo", "value": 1}})
    cancelled = await sdk.client("cancel", {"input": {"do": "echo", "value": 1}})
    workers.append(sdk.start_worker())
    answer = await sdk.client("run_sync", {"input": {"do": "echo", "value": {"deep": [1]}}})
    run = await sdk.client("run", {"input": sdk.hold()})
    health = await sdk.client("health")

    assert (purged["removed"], cancelled) == (3, "CANCELLED")
    assert answer == {"deep": [1]}
    assert run["first"] in {"IN_QUEUE", "IN_PROGRESS"}
    assert (run["output"], run["last"]) == ("held", "COMPLETED")
    assert set(health["workers"]) == {"idle", "initializing", "ready", "running", "throttled", "unhealthy"}


@pytest.mark.parametrize("sdk", ["1.7.13", "1.12.0"], indirect=True)
async def test_generators_stream(sdk: Sdk, workers: Started) -> None:
    """Q-C5, Q-C6: every item once, in order; the list as output only where it was asked for."""
    workers.append(sdk.start_worker(STREAMS="1", AGGREGATE="1"))
    streamed = await sdk.client("stream", {"input": {"items": [1, {"two": 2}, "three"]}})
    whole = await sdk.ended(await sdk.run({"items": [1, 2]}))
    broken = await sdk.ended(await sdk.run({"items": [1, "raise"]}))

    assert streamed == [1, {"two": 2}, "three"]
    assert (whole["status"], whole["output"]) == ("COMPLETED", [1, 2])
    assert broken["status"] == "FAILED"


async def test_progress_is_shown_and_does_not_outlive_its_job(sdk: Sdk, workers: Started) -> None:
    """Q-C7: whatever order the updates come in."""
    workers.append(sdk.start_worker())
    job = await sdk.run(sdk.hold("progress"))

    async def shows() -> bool:
        return str((await sdk.running.get(f"/v2/shop/status/{job}")).json.get("output")).startswith("step")

    await eventually(shows)
    sdk.go_on()
    assert (await sdk.ended(job))["output"] == "done"


async def test_a_running_job_can_be_cancelled(sdk: Sdk, workers: Started) -> None:
    """Q-C9: its sibling goes on."""
    workers.append(sdk.start_worker(SLOTS="2"))
    job = await sdk.run({"do": "sleep", "seconds": 600})
    sibling = await sdk.run(sdk.hold())
    await sdk.begun(job)
    await sdk.begun(sibling)

    cancelled = (await sdk.running.post(f"/v2/shop/cancel/{job}")).json

    sdk.go_on()
    assert cancelled["status"] == "CANCELLED"
    assert (await sdk.ended(sibling))["output"] == "held"
    assert (await sdk.ended(await sdk.run({"do": "echo", "value": 1})))["output"] == 1


async def test_a_function_that_blocks_can_be_cancelled_and_the_next_job_runs(sdk: Sdk, workers: Started) -> None:
    """Q-C10: it cannot be stopped, but nobody waits for it."""
    workers.append(sdk.start_worker())
    job = await sdk.run(sdk.hold("block"))
    await sdk.begun(job)

    cancelled = (await sdk.running.post(f"/v2/shop/cancel/{job}")).json
    sdk.go_on()
    after = await sdk.ended(await sdk.run({"do": "echo", "value": 1}))

    assert cancelled["status"] == "CANCELLED"
    assert after["output"] == 1


async def test_a_job_out_of_time_is_stopped(sdk: Sdk, workers: Started) -> None:
    """Q-C11: it is TIMED_OUT, and its worker takes others; then it may be tried again under its id (Q-C12)."""
    workers.append(sdk.start_worker())
    job = await sdk.run({"do": "sleep", "seconds": 600}, policy={"executionTimeout": 1000})

    assert (await sdk.ended(job))["status"] == "TIMED_OUT"
    assert (await sdk.ended(await sdk.run({"do": "echo", "value": 1})))["output"] == 1
    assert (await sdk.running.post(f"/v2/shop/retry/{job}")).json["id"] == job


async def test_a_killed_worker_gives_its_job_to_another(sdk: Sdk, workers: Started) -> None:
    """Q-C16: and what it left behind, which goes on pinging, holds nothing back."""
    workers.append(sdk.start_worker("w1", SLOTS="4"))
    job = await sdk.run(sdk.hold())
    await sdk.begun(job)

    await sdk.kill(workers[0])
    sdk.go_on()
    workers.append(sdk.start_worker("w2"))
    ended = await sdk.ended(job)

    assert (ended["status"], ended["retries"]) == ("COMPLETED", 1)
    assert ended["workerId"].startswith("w2/")


async def test_a_worker_killed_as_it_is_given_its_job_gives_it_to_another(sdk: Sdk, workers: Started) -> None:
    """Q-C16: whether it has read it or not, and before it may have asked what to stop."""
    workers.append(sdk.start_worker("w1"))
    job = await sdk.run(sdk.hold())

    async def handed_out() -> bool:
        return bool((await sdk.running.get(f"/v2/shop/status/{job}")).json["status"] != "IN_QUEUE")

    await eventually(handed_out)
    await sdk.kill(workers[0])
    sdk.go_on()
    workers.append(sdk.start_worker("w2"))
    ended = await sdk.ended(job)

    assert (ended["status"], ended["retries"]) == ("COMPLETED", 1)


@pytest.mark.parametrize("sdk", ["1.10.1", NEWEST], indirect=True)
async def test_a_worker_killed_while_it_asks_nothing_gives_its_job_to_another(sdk: Sdk, workers: Started) -> None:
    """Q-C16: the package rests for a second after each answer that has nothing for it to stop."""
    workers.append(sdk.start_worker("w1"))
    job = await sdk.run(sdk.hold())
    await sdk.begun(job)
    await sdk.halt_at_rest(workers[0])

    await sdk.kill(workers[0])
    sdk.go_on()
    workers.append(sdk.start_worker("w2"))
    ended = await sdk.ended(job)

    assert (ended["status"], ended["retries"]) == ("COMPLETED", 1)
    assert ended["workerId"].startswith("w2/")


async def test_a_worker_told_to_end_finishes_and_ends(sdk: Sdk, workers: Started) -> None:
    """Q-C17: SIGTERM while it works; exit status 0, and the job is done."""
    workers.append(sdk.start_worker())
    job = await sdk.run(sdk.hold())
    await sdk.begun(job)

    workers[0].send_signal(signal.SIGTERM)
    sdk.go_on()
    ended = await sdk.ended(job)
    code = await asyncio.to_thread(workers[0].wait, 110)

    assert (ended["status"], code) == ("COMPLETED", 0)


async def test_as_many_jobs_run_at_a_time_as_there_are_slots(sdk: Sdk, workers: Started) -> None:
    """Q-C18, Q25: 50 of them overlap."""
    workers.append(sdk.start_worker(SLOTS="50"))
    jobs = [await sdk.run(sdk.hold()) for _ in range(50)]
    for job in jobs:
        assert (await sdk.begun(job))["status"] == "IN_PROGRESS"

    sdk.go_on()

    assert {(await sdk.ended(job))["status"] for job in jobs} == {"COMPLETED"}


async def test_a_result_that_cannot_be_posted_is_given_up(sdk: Sdk, workers: Started) -> None:
    """Q-C15: the package logs it and says nothing; the job is tried once more elsewhere, and then has failed."""
    workers += [sdk.start_worker("w1"), sdk.start_worker("w2")]
    job = await sdk.run({"do": "unserializable"})

    ended = await sdk.ended(job)

    assert ended["status"] == "FAILED"
    assert "never said what became of it" in ended["error"]
