"""RunPod's own clients, of several versions, and what reaches callers of what can go wrong."""

from __future__ import annotations

import asyncio
import json
import subprocess
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx2
import pytest
from tests.gateway.test_access import guarded, made
from tests.runpod_sdk.conftest import HERE, NEWEST, Sdk

from flashcore.model.layout import Layout
from flashcore.model.token import TokenScope

Started = list[subprocess.Popen[bytes]]

VERSIONS = ("1.6.2", "1.10.1", NEWEST)
WORKER_COUNTS = ["idle", "initializing", "ready", "running", "throttled", "unhealthy"]

TOO_OLD = {"InvalidURL", "InvalidUrlClientError"}
"""Before 1.8 the asyncio client asks for the health of an endpoint by half an address."""


@pytest.mark.parametrize("sdk", VERSIONS, indirect=True)
async def test_the_client_hears_of_what_went_wrong(sdk: Sdk, workers: Started) -> None:
    """Q-C3, Q-C20: a failed job has no output; what takes too long, and a job that is not there, raise."""
    workers.append(sdk.start_worker(SLOTS="4"))
    seen = await sdk.client("trouble", {"input": {"do": "raise", "value": "no"}}, {"input": sdk.hold()})

    assert seen == [None, "FAILED", "TimeoutError", "ReadTimeout", "HTTPError"]


@pytest.mark.parametrize("sdk", VERSIONS, indirect=True)
async def test_the_asyncio_client_sees_the_same(sdk: Sdk, workers: Started) -> None:
    """Q-C6: it puts what it is given into `input` itself."""
    workers.append(sdk.start_worker())
    seen = await sdk.client("asyncio", {"do": "echo", "value": [1, "ä"]}, None)

    assert seen[:4] == [[1, "ä"], "COMPLETED", None, "CANCELLED"]
    assert seen[4] == WORKER_COUNTS or seen[4] in TOO_OLD


@pytest.mark.parametrize(("sdk", "kind"), [("1.7.13", "1"), (NEWEST, "1"), (NEWEST, "plain")], indirect=["sdk"])
async def test_the_asyncio_client_streams(sdk: Sdk, workers: Started, kind: str) -> None:
    """Q-C5, Q-C6: each item once, of generators of both kinds; the output of a stream that is not gathered is empty."""
    workers.append(sdk.start_worker(STREAMS=kind))
    seen = await sdk.client("asyncio", {"items": []}, {"items": [1, {"two": 2}, "three"]})

    assert seen[:3] == [[], "COMPLETED", [1, {"two": 2}, "three"]]


@pytest.mark.parametrize("version", VERSIONS)
async def test_a_wrong_key_is_told_as_such(layout: Layout, python_with: Callable[[str], Path], version: str) -> None:
    """Q-C20: 401 is the client's RuntimeError; with the right key it is answered."""
    right, token = made(TokenScope.CALL)
    python = await asyncio.to_thread(python_with, version)
    async with guarded(layout, token) as running:
        seen = []
        for key in ("fc_0123_wrong", right):
            asked = await asyncio.create_subprocess_exec(
                *(str(python), str(HERE / "client_script.txt"), f"{running.gateway.url}/v2", "embed", "key"),
                env={"KEY": key, "HOME": str(layout.root)},
                stdout=asyncio.subprocess.PIPE,
            )
            out, _ = await asked.communicate()
            seen.append(json.loads(out))

    assert seen == ["RuntimeError", "IN_QUEUE"]


async def test_an_answer_that_comes_too_early_is_not_the_last(sdk: Sdk, workers: Started) -> None:
    """Q-C13, Q10: the wait of `runsync` ends, the job goes on, the client asks on."""
    workers.append(sdk.start_worker())
    early = await sdk.running.post("/v2/shop/runsync?wait=1000", {"input": sdk.hold()})
    sdk.go_on()
    whole = await sdk.ended(early.json["id"])
    answer = await sdk.client("run_sync", {"input": {"do": "sleep", "seconds": 1}})

    assert early.json["status"] in {"IN_QUEUE", "IN_PROGRESS"}
    assert (whole["status"], whole["output"], answer) == ("COMPLETED", "held", "slept")


async def test_hurried_progress_never_replaces_the_output(sdk: Sdk, workers: Started) -> None:
    """Q-C7: the package sends each update by itself, and some after the result."""
    workers.append(sdk.start_worker(SLOTS="4"))
    jobs = [await sdk.run({"do": "hurry"}) for _ in range(4)]
    for job in jobs:
        await sdk.ended(job)
    await asyncio.sleep(1)

    assert [(await sdk.ended(job))["output"] for job in jobs] == ["done"] * 4


async def test_a_purge_leaves_what_runs(sdk: Sdk, workers: Started) -> None:
    """Q-C8, Q08: the queued jobs alone are removed."""
    workers.append(sdk.start_worker())
    running = await sdk.run(sdk.hold())
    await sdk.begun(running)

    purged = await sdk.client("purge", {"input": {"do": "echo", "value": 1}})

    sdk.go_on()
    assert purged["removed"] == 3
    assert (await sdk.ended(running))["status"] == "COMPLETED"


@pytest.mark.parametrize("sdk", ["1.6.2", NEWEST], indirect=True)
async def test_large_results_and_those_that_are_not_json(sdk: Sdk, workers: Started) -> None:
    """Q09: 12 MB arrive whole; NaN, which Python's json writes and nobody else reads, is the job's failure."""
    workers.append(sdk.start_worker())
    much = await sdk.ended(await sdk.run({"do": "much", "size": 12_000_000}))
    odd = await sdk.ended(await sdk.run({"do": "not a number"}))

    assert (much["status"], len(much["output"])) == ("COMPLETED", 12_000_000)
    assert odd["status"] == "FAILED"
    assert "NaN" in odd["error"]


@pytest.mark.parametrize("sdk", VERSIONS, indirect=True)
async def test_a_killed_worker_of_every_version(sdk: Sdk, workers: Started) -> None:
    """Q-C16, Q-C19: once more, elsewhere, and counted."""
    workers.append(sdk.start_worker("w1"))
    job = await sdk.run(sdk.hold())
    await sdk.begun(job)
    await sdk.kill(workers[0])
    sdk.go_on()
    workers.append(sdk.start_worker("w2"))

    ended = await sdk.ended(job)

    assert (ended["status"], ended["retries"]) == ("COMPLETED", 1)
    assert (await sdk.running.get("/v2/shop/health")).json["jobs"]["retried"] == 1


@pytest.mark.parametrize("sdk", ["1.7.13"], indirect=True)
async def test_two_workers_do_not_share_what_they_know(sdk: Sdk, workers: Started) -> None:
    """Q-C19: versions before 1.10.1 keep a list of jobs in the working directory; each has its own."""
    workers += [sdk.start_worker("w1"), sdk.start_worker("w2")]
    jobs = [await sdk.run(sdk.hold()) for _ in range(2)]
    for job in jobs:
        await sdk.begun(job)
    sdk.go_on()

    assert len({(await sdk.ended(job))["workerId"] for job in jobs}) == 2


@pytest.fixture
def flaky() -> Iterator[Callable[[str], str]]:
    """Stands before a gateway's job-done and fails the first two posts of each job: 500, then 502."""
    servers: list[ThreadingHTTPServer] = []
    threads: list[threading.Thread] = []

    class Joined(ThreadingHTTPServer):
        """Its end waits for the answers that are being given."""

        daemon_threads = False

    def before(url: str) -> str:
        posts: dict[str, int] = {}

        class Flaky(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                count = posts[self.path] = posts.get(self.path, 0) + 1
                if count > 2:
                    httpx2.post(url + self.path, content=body)
                self.send_response({1: 500, 2: 502}.get(count, 200))
                self.send_header("content-length", "0")
                self.end_headers()

            def log_request(self, code: object = "-", size: object = "-") -> None:
                """Say nothing."""

        servers.append(Joined(("127.0.0.1", 0), Flaky))
        threads.append(threading.Thread(target=servers[-1].serve_forever))
        threads[-1].start()
        return f"http://127.0.0.1:{servers[-1].server_port}"

    yield before
    for server, thread in zip(servers, threads, strict=True):
        server.shutdown()
        thread.join()
        server.server_close()


async def test_a_result_that_was_refused_twice_counts_once(
    sdk: Sdk, workers: Started, flaky: Callable[[str], str]
) -> None:
    """Q-C15: the package posts it again after a 500 and a 502."""
    url = await asyncio.to_thread(flaky, sdk.running.gateway.url)
    target = f"{url}/v2/shop/job-done/$RUNPOD_POD_ID/$ID?gpu=LOCAL"
    workers.append(sdk.start_worker(RUNPOD_WEBHOOK_POST_OUTPUT=target))

    ended = await sdk.ended(await sdk.run({"do": "echo", "value": 5}))

    assert (ended["status"], ended["output"]) == ("COMPLETED", 5)
    assert not ended.get("retries")
