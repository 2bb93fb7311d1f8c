"""A replica that runs a script: the script here speaks as RunPod's package does, and needs nothing installed."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import textwrap
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.worker.conftest import RunningReplica, Start, value_of

from flashcore.builtin.script_handler import ScriptHandlerGenerator
from flashcore.model.declaration import Declaration, Template
from flashcore.testing.fake_gateway import FakeGateway
from flashcore.wire.hello import Stage

SCRIPT = """
    import json, os, signal, sys, time, urllib.request

    AGENT = "RunPod-Python-SDK/1.12.0 (a test)"

    def ask(url, value=None):
        body = None if value is None else json.dumps(value).encode()
        headers = {"Authorization": os.environ["RUNPOD_AI_API_KEY"], "User-Agent": AGENT}
        with urllib.request.urlopen(urllib.request.Request(url, body, headers)) as answer:
            return json.loads(answer.read() or b"null")

    def url(name, job=""):
        return os.environ[name].replace("$RUNPOD_POD_ID", os.environ["RUNPOD_POD_ID"]).replace("$ID", job)

    def work(job):
        asked = job["input"]
        while "until" in asked and not os.path.exists(asked["until"]):
            time.sleep(0.01)
        if "stream" in asked:
            for item in asked["stream"]:
                ask(url("RUNPOD_WEBHOOK_POST_STREAM", job["id"]) + "&isStream=false", {"output": item})
            return {"output": []}
        if "show" in asked:
            return {"output": {name: os.environ.get(name) for name in asked["show"]}}
        return asked

    told = []
    signal.signal(signal.SIGTERM, lambda *_: told.append(1))
    print("the script has begun")
    if "UNFIT" in os.environ:
        ask(url("RUNPOD_WEBHOOK_PING") + "&status=unhealthy&check=weights&reason=not+there")
        os._exit(1)
    if "FAILS" in os.environ:
        raise RuntimeError("no such model")
    while not told:
        jobs = ask(url("RUNPOD_WEBHOOK_GET_JOB", os.environ["RUNPOD_POD_ID"]) + "&job_in_progress=0") or []
        for job in jobs if isinstance(jobs, list) else [jobs]:
            ask(url("RUNPOD_WEBHOOK_POST_OUTPUT", job["id"]) + "&isStream=false", work(job))
    print("the script has been told to end")
"""


def artifact(root: Path, script: str = SCRIPT) -> Path:
    """An artifact's folder with the script; the path of its handler."""
    declaration = Declaration("tested", "worker_script", Template(script="jobs/worker.py"))
    generated = ScriptHandlerGenerator().generate(declaration, ())
    (root / "jobs").mkdir()
    (root / "jobs" / "worker.py").write_text(textwrap.dedent(script))
    for file in generated.files:
        (root / file.path).write_text(file.text)
    return root / generated.entry


async def call(gateway: FakeGateway, value: Mapping[str, Any]) -> Any:
    """The output of a job, or its error."""
    result = await gateway.call(value)
    return result.error or value_of(result.output)


def script_of(replica: RunningReplica) -> int:
    """The script's process."""
    children = Path(f"/proc/{replica.process.pid}/task/{replica.process.pid}/children").read_text().split()
    return int(children[0])


async def test_a_script_is_given_jobs_as_the_cloud_would(tmp_path: Path, gateway: FakeGateway, start: Start) -> None:
    """Q-C1, Q-C3, Q-C4, Q-C5: what it posts is the job's output, its error, its stream; and it knows who it is."""
    replica = await start(artifact(tmp_path), FLASHCORE_GATEWAY_URL="http://127.0.0.1:8700")
    await replica.ready()
    await gateway.worker()

    assert await call(gateway, {"output": {"ä": [None, 0]}}) == {"ä": [None, 0]}
    assert await call(gateway, {"error": "bad", "output": {"kept": 1}}) == "bad"
    streamed = gateway.give({"stream": [1, {"two": 2}]})
    await gateway.result(streamed)
    assert gateway.chunks(streamed) == [1, {"two": 2}]
    shown = await call(gateway, {"show": ["RUNPOD_POD_ID", "RUNPOD_ENDPOINT_ID", "RUNPOD_ENDPOINT_BASE_URL"]})
    assert [*shown.values()] == ["tested-1", "tested", "http://127.0.0.1:8700/v2"]
    assert "the script has begun" in replica.log


async def test_only_the_script_may_ask(tmp_path: Path, gateway: FakeGateway, start: Start) -> None:
    """Another process of this machine that finds the port has no key."""
    replica = await start(artifact(tmp_path))
    await replica.ready()
    await gateway.worker()
    url = (await call(gateway, {"show": ["RUNPOD_WEBHOOK_GET_JOB"]}))["RUNPOD_WEBHOOK_GET_JOB"]
    port = int(url.split(":")[2].split("/")[0])

    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"GET /v2/tested/job-take/x?gpu=LOCAL HTTP/1.1\r\nauthorization: Bearer guessed\r\n\r\n")
    answer = await reader.readuntil(b"\r\n")
    writer.close()

    assert answer == b"HTTP/1.1 401 Unauthorized\r\n"


async def test_it_finishes_what_it_has_and_ends(tmp_path: Path, gateway: FakeGateway, start: Start) -> None:
    """Q-C17, Q21: the script hears of the end when it has nothing to do any more, and its exit is the replica's."""
    replica = await start(artifact(tmp_path))
    await replica.ready()
    await gateway.worker()
    go_on = tmp_path / "go-on"
    job = gateway.give({"until": str(go_on), "output": "whole"})
    await gateway.until(lambda: any(beat.ids == (job,) for beat in gateway.beats))

    replica.terminate()
    await gateway.until(lambda: gateway.leaving)
    go_on.touch()
    result = await gateway.result(job)

    assert value_of(result.output) == "whole"
    assert await replica.ended() == 0
    assert replica.log.index("draining") < replica.log.index("the script has been told to end")


async def test_what_does_not_end_in_time_goes_back(tmp_path: Path, gateway: FakeGateway, start: Start) -> None:
    """Q21: released, uncharged, and the script is killed."""
    replica = await start(artifact(tmp_path), FLASHCORE_GRACE="0.2")
    await replica.ready()
    await gateway.worker()
    job = gateway.give({"until": "/never"})
    await gateway.until(lambda: any(beat.ids == (job,) for beat in gateway.beats))

    replica.terminate()

    assert (await gateway.result(job)).released
    assert await replica.ended() == 0


async def test_a_result_outlasts_the_gateway(tmp_path: Path, gateway: FakeGateway, start: Start) -> None:
    """Q26: the package drops what it cannot post; the replica keeps it and sends it once there is a gateway again."""
    replica = await start(artifact(tmp_path))
    await replica.ready()
    await gateway.worker()
    go_on = tmp_path / "go-on"
    job = gateway.give({"until": str(go_on), "output": 1})
    await gateway.until(lambda: any(beat.ids == (job,) for beat in gateway.beats))

    await gateway.stop()
    go_on.touch()
    await asyncio.sleep(0.5)  # by then the script has its result
    await gateway.start()

    assert value_of((await gateway.result(job)).output) == 1


async def test_a_killed_script_ends_its_replica(tmp_path: Path, gateway: FakeGateway, start: Start) -> None:
    """Q-C16, Q22: nothing is said of its job, which is therefore given to another."""
    replica = await start(artifact(tmp_path))
    heard = await replica.ready()
    await gateway.worker()
    job = gateway.give({"until": "/never"})
    await gateway.until(lambda: any(beat.ids == (job,) for beat in gateway.beats))

    os.kill(script_of(replica), signal.SIGKILL)

    assert "worker.py was ended by signal 9" in (await heard.until_stage(Stage.FAILED)).detail
    assert await replica.ended() == 1
    assert gateway.results == []


async def test_a_script_that_cannot_start_says_why(tmp_path: Path, gateway: FakeGateway, start: Start) -> None:
    """The replica was never ready, and no gateway has heard of it."""
    replica = await start(artifact(tmp_path), FAILS="1")
    detail = (await replica.failed()).detail

    assert detail == "worker.py ended with status 1 before it asked for a job: RuntimeError: no such model"
    assert gateway.hellos == []


async def test_a_script_that_starts_no_worker_is_told_so(tmp_path: Path, start: Start) -> None:
    """It comes to its end at once, as any script would."""
    replica = await start(artifact(tmp_path, "print('done')"))
    detail = (await replica.failed()).detail

    assert "does it end in runpod.serverless.start(...)?" in detail


async def test_a_check_that_fails_is_named(tmp_path: Path, start: Start) -> None:
    """Q-C20: the package says which of its checks failed in its last ping."""
    replica = await start(artifact(tmp_path), UNFIT="1")
    detail = (await replica.failed()).detail

    assert detail == "worker.py ended with status 1: it is not fit: weights: not there"


async def test_a_handler_may_have_its_worker_replaced(tmp_path: Path, gateway: FakeGateway, start: Start) -> None:
    """Q-C18: `refresh_worker` makes the package post `stopPod`; the replica takes no more and ends well."""
    replica = await start(artifact(tmp_path))
    await replica.ready()
    await gateway.worker()

    output = await call(gateway, {"output": {"pid": 1}, "stopPod": True})

    assert output == {"pid": 1}
    assert await replica.ended() == 0
    assert gateway.leaving


async def test_where_the_cloud_runs_the_handler_it_is_the_script(tmp_path: Path) -> None:
    """B32: RunPod's own image starts the generated file."""
    handler = artifact(tmp_path, "import json, sys\nprint(json.dumps([__name__, sys.path[0]]))")
    process = await asyncio.create_subprocess_exec(sys.executable, str(handler), stdout=asyncio.subprocess.PIPE)
    out, _ = await process.communicate()

    assert json.loads(out) == ["__main__", str(tmp_path / "jobs")]
