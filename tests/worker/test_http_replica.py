"""A load-balanced replica's process: when it is ready, whom it answers, and how it ends."""

import asyncio
import json
import signal
import textwrap
import time
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.worker.conftest import HTTP_HANDLER, RunningReplica, Start, function, write_artifact

from flashcore.model.manifest import Route
from flashcore.wire.hello import Stage
from flashcore.wire.messages import Drain

NOTICE_OVER = "those who ask for the readiness had their time"

CODE = """
    import asyncio, sys, time
    from pathlib import Path

    print("imported")

    def hello(name: str = "world"):
        print("greeting", name)
        print("and no more", end="")
        return f"hello {name}"

    def stick():
        print("begun", flush=True)
        while True:
            time.sleep(0.01)

    async def slow(seconds: float):
        print("begun", flush=True)
        await asyncio.sleep(seconds)
        return "done"

    async def held(until: str):
        print("begun", flush=True)
        while not Path(until).exists():
            await asyncio.sleep(0.01)
        return "done"

    async def stall(seconds: float):
        print("begun", flush=True)
        time.sleep(seconds)

    async def leave_in_a_task():
        async def leaves():
            sys.exit(3)
        asyncio.get_running_loop().create_task(leaves())
        await asyncio.sleep(0.05)
        return "still here"

    async def stream(until: str):
        yield 1
        await held(until)
        yield 2

    async def broken():
        yield 1
        raise ValueError("no second")

    async def streamed():
        from fastapi.responses import StreamingResponse

        async def lines():
            yield "1"
            raise ValueError("no second")

        return StreamingResponse(lines())
"""

UNHURRIED = """
    from flashcore.worker import runtime

    runtime.LONGEST_NOTICE = runtime.END_WITHIN = 600.0
"""
"""Of a replica whose notice ends when it is told so, and which takes its time to end, however slow the machine is."""

IMPATIENT = """
    from flashcore.worker import services

    services.STUCK_AFTER, services._LOOK = 0.05, 0.01
"""
"""Of a replica that soon gives a function up which does not end."""

ROUTES = {
    **dict.fromkeys(["hello", "stick"], "function"),
    **dict.fromkeys(["slow", "held", "stall", "leave_in_a_task", "streamed"], "async_function"),
    **dict.fromkeys(["stream", "broken"], "async_generator"),
}


@dataclass(frozen=True)
class Answer:
    """What came back."""

    status: int
    headers: dict[str, str]
    body: str


async def ask(replica: RunningReplica, target: str, **headers: str) -> Answer:
    """GET over the replica's socket, on a connection of its own."""
    reader, writer = await asyncio.open_unix_connection(str(replica.http))
    lines = [f"GET {target} HTTP/1.1", "Host: x", "Connection: close"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    try:
        writer.write("\r\n".join([*lines, "", ""]).encode())
        head, _, body = (await reader.read()).decode().partition("\r\n\r\n")
    finally:
        writer.close()
    first, *rest = head.split("\r\n")
    named = dict(line.lower().split(": ", 1) for line in rest)
    return Answer(int(first.split()[1]), named, body)


@pytest.fixture
async def replica(start: Start, tmp_path: Path) -> RunningReplica:
    """A replica that is ready."""
    return await ready_replica(start, tmp_path, grace=2.0)


async def ready_replica(
    start: Start, tmp_path: Path, grace: float, code: str = CODE, **variables: str
) -> RunningReplica:
    """One with so many seconds for what runs when it is told to end."""
    entries = [function(name, kind, route=Route("GET", f"/{name}")) for name, kind in ROUTES.items()]
    artifact = write_artifact(tmp_path / "artifact", HTTP_HANDLER, {"code_of_user.py": code}, entries)
    started = await start(artifact, FLASHCORE_GRACE=str(grace), **variables)
    await started.ready()
    return started


async def begun(replica: RunningReplica, requests: int = 1) -> None:
    """Wait until so many slow requests are inside."""
    await written(replica, "begun", requests)


async def written(replica: RunningReplica, words: str, times: int = 1) -> None:
    """Wait until these words are in the replica's log."""
    async with asyncio.timeout(60):
        while replica.log.count(words) < times:  # noqa: ASYNC110 - a file has no event
            await asyncio.sleep(0.01)


async def test_a_replica_that_says_ready_accepts_at_its_address(replica: RunningReplica) -> None:
    """The address is told with the stage, and the first request succeeds."""
    status = (await replica.ready()).statuses[-1]

    assert status.address == f"unix:{replica.http}"
    assert (await ask(replica, "/ping")).status == 200
    assert (await ask(replica, "/hello?name=you")).body == '"hello you"'


async def test_a_request_for_another_life_is_refused(replica: RunningReplica) -> None:
    """S60: a gateway that means an earlier replica on this address hears 421 and who is here now."""
    for wanted, status in (("life-0", 421), ("life-1", 200)):
        answer = await ask(replica, "/hello", x_flashcore_instance=wanted)
        assert answer.status == status
    refused = await ask(replica, "/hello", x_flashcore_instance="life-0")
    assert refused.headers["x-flashcore-instance"] == "life-1"
    assert replica.log.count("greeting") == 1


async def test_the_requests_id_is_in_the_log_and_in_the_answer(replica: RunningReplica) -> None:
    """The caller's id where there is one, another where there is none."""
    given = await ask(replica, "/hello", x_request_id="r-77")
    made = await ask(replica, "/hello")

    assert given.headers["x-request-id"] == "r-77"
    assert "[request r-77] greeting world\n" in replica.log
    assert f"[request {made.headers['x-request-id']}] greeting world\n" in replica.log
    assert "[request r-77] and no more\n" in replica.log


@pytest.mark.parametrize("route", ["broken", "streamed"])
async def test_an_answer_that_breaks_off_is_logged_once_and_begins_where_the_users_code_does(
    replica: RunningReplica, route: str
) -> None:
    """Not with the fifty frames of the server and the framework, which push everything else out of sight."""
    assert "1" in (await ask(replica, f"/{route}", x_request_id="r-1")).body
    await written(replica, "ValueError")

    lines = [line for line in replica.log.splitlines() if "[request r-1]" in line]
    assert lines[0].endswith("raised while a request was answered. Its answer is cut off, if it had begun:")
    assert lines[1].endswith("Traceback (most recent call last):")
    assert "code_of_user.py" in lines[2]
    assert (len(lines), lines[4].endswith("ValueError: no second")) == (5, True)


async def test_requests_inside_finish_and_new_ones_are_turned_away(start: Start, tmp_path: Path) -> None:
    """Q21: 503 with a header by which the gateway knows to go elsewhere; a stream goes on to its end."""
    replica, go_on = await ready_replica(start, tmp_path, grace=1200.0, code=UNHURRIED + CODE), tmp_path / "go-on"
    held = asyncio.create_task(ask(replica, f"/held?until={go_on}"))
    stream = asyncio.create_task(ask(replica, f"/stream?until={go_on}"))
    await begun(replica, 2)
    listener = await replica.connect()
    assert listener.channel is not None

    replica.terminate()
    await listener.until_stage(Stage.DRAINING)
    # The word goes out from one thread a moment before the door is closed in the other.
    while (refused := await ask(replica, "/hello")).status == 200:
        continue
    go_on.touch()

    assert (refused.status, refused.headers["x-flashcore-draining"]) == (503, "1")
    assert (await held).body == '"done"'
    assert "1\n" in (await stream).body
    assert "2\n" in (await stream).body
    listener.channel.send(Drain(600.0))
    assert await replica.ended() == 0
    assert not await asyncio.to_thread(replica.http.exists)


async def test_a_replica_gives_itself_up_for_a_function_that_does_not_end(start: Start, tmp_path: Path) -> None:
    """Q22: nothing interrupts it, and no other can have its thread. Who waits for that is sent elsewhere."""
    limit = {"FLASHCORE_EXECUTION_TIMEOUT": "0.5", "FLASHCORE_SLOTS": "1"}
    replica = await ready_replica(start, tmp_path, grace=1.0, code=IMPATIENT + CODE, **limit)
    listener = await replica.connect()
    stuck = asyncio.create_task(ask(replica, "/stick"))
    await begun(replica)
    waiting = await ask(replica, "/hello")

    said = await listener.until_stage(Stage.DRAINING)

    assert (waiting.status, waiting.headers["x-flashcore-draining"]) == (503, "1")
    assert "a request still runs, 0.05 s past the execution timeout of 0.5 s" in said.detail
    assert await replica.ended() == 0
    await asyncio.gather(stuck, return_exceptions=True)


async def test_what_does_not_finish_is_cut_off_at_the_end_of_the_grace(replica: RunningReplica) -> None:
    """The process ends all the same, with status 0."""
    slow = asyncio.create_task(ask(replica, "/slow?seconds=600"))
    await begun(replica)
    listener = await replica.connect()
    assert listener.channel is not None

    listener.channel.send(Drain(0.3))

    assert await replica.ended() == 0
    assert "cutting off 1 requests" in replica.log
    await asyncio.gather(slow, return_exceptions=True)


async def test_an_idle_replica_that_its_provider_ends_is_gone_at_once(replica: RunningReplica) -> None:
    """Nobody sends it anything any more; kept-alive connections do not hold it."""
    _, writer = await asyncio.open_unix_connection(str(replica.http))
    listener = await replica.connect()
    assert listener.channel is not None

    listener.channel.send(Drain(300.0))

    assert await replica.ended() == 0
    writer.close()


async def test_after_sigterm_a_replica_says_for_a_while_that_it_drains(start: Start, tmp_path: Path) -> None:
    """S44: readiness 503 draining, liveness 200, and new connections are accepted."""
    replica = await ready_replica(start, tmp_path, grace=1200.0, code=UNHURRIED + CODE)
    before = [(await ask(replica, path)).status for path in ("/ping", "/ping/live")]
    listener = await replica.connect()
    assert listener.channel is not None

    replica.terminate()
    await listener.until_stage(Stage.DRAINING)
    while (ready := await ask(replica, "/ping")).status == 200:  # as above
        continue
    live = await ask(replica, "/ping/live")
    listener.channel.send(Drain(2.0))
    assert await replica.ended() == 0

    assert before == [200, 200]
    assert (ready.status, json.loads(ready.body)["message"]) == (503, "this replica is draining")
    assert (live.status, json.loads(live.body)) == (200, {"status": "draining"})


async def test_a_replica_that_had_a_signal_ends_after_its_notice(start: Start, tmp_path: Path) -> None:
    """S44: the notice takes half of the grace, and nobody need say that it is over."""
    replica = await ready_replica(start, tmp_path, grace=2.0)

    told = time.monotonic()
    replica.terminate()

    assert await replica.ended() == 0
    assert time.monotonic() - told > 0.9
    assert NOTICE_OVER in replica.log


async def test_the_provider_ends_the_notice_of_a_replica_that_had_a_signal(start: Start, tmp_path: Path) -> None:
    """S44: once it is out of the traffic there is nobody left to be told."""
    replica = await ready_replica(start, tmp_path, grace=1200.0, code=UNHURRIED + CODE)
    listener = await replica.connect()
    assert listener.channel is not None
    replica.terminate()
    await listener.until_stage(Stage.DRAINING)

    listener.channel.send(Drain(2.0))

    assert await replica.ended() == 0
    assert NOTICE_OVER not in replica.log


async def test_sys_exit_in_a_task_does_not_end_the_server(replica: RunningReplica) -> None:
    """Q23: the next request is answered."""
    assert (await ask(replica, "/leave_in_a_task")).body == '"still here"'
    assert (await ask(replica, "/hello")).status == 200
    assert "raised SystemExit: 3; the replica goes on" in replica.log


async def test_a_coroutine_that_blocks_is_named(replica: RunningReplica) -> None:
    """B38: with the place in the user's code; the control socket answers meanwhile."""
    stalled = asyncio.create_task(ask(replica, "/stall?seconds=600"))
    await written(replica, "in stall\n")

    assert (await (await replica.connect()).until_stage(Stage.READY)).stage is Stage.READY
    assert not stalled.done()

    assert "blocked for 1 s by 1 requests" in replica.log
    replica.process.kill()
    await asyncio.gather(stalled, return_exceptions=True)


async def test_a_blocked_replica_ends_all_the_same(replica: RunningReplica) -> None:
    """User code that holds the main thread does not hold the process after its grace."""
    stalled = asyncio.create_task(ask(replica, "/stall?seconds=600"))
    await begun(replica)
    listener = await replica.connect()
    assert listener.channel is not None

    listener.channel.send(Drain(0.2))

    assert await replica.ended() == 0
    await asyncio.gather(stalled, return_exceptions=True)


async def test_an_app_that_refuses_to_start_is_a_failed_replica(start: Start, tmp_path: Path) -> None:
    """The traceback of its lifespan is what the status tells."""
    path = tmp_path / "handler_x.py"
    path.write_text(
        textwrap.dedent("""
            from contextlib import asynccontextmanager
            from fastapi import FastAPI

            @asynccontextmanager
            async def lifespan(app):
                raise RuntimeError("no database")
                yield

            app = FastAPI(lifespan=lifespan)
        """)
    )
    replica = await start(path)

    assert await replica.ended() == 1
    assert replica.record is not None
    assert "RuntimeError: no database" in replica.record.status.detail


async def test_any_asgi_application_can_be_served(start: Start, tmp_path: Path) -> None:
    """A handler of somebody else's needs no FastAPI, and has no lifespan."""
    path = tmp_path / "handler_x.py"
    path.write_text(
        textwrap.dedent("""
            async def app(scope, receive, send):
                assert scope["type"] == "http"
                await send({"type": "http.response.start", "status": 200, "headers": []})
                await send({"type": "http.response.body", "body": b"bare"})
        """)
    )
    replica = await start(path)
    await replica.ready()

    assert (await ask(replica, "/")).body.endswith("bare\r\n0\r\n\r\n")


async def test_a_killed_server_leaves_no_half_answer_behind(replica: RunningReplica) -> None:
    """Q22: the connection ends, which the gateway sees at once."""
    slow = asyncio.create_task(ask(replica, "/slow?seconds=600"))
    await begun(replica)

    replica.process.send_signal(signal.SIGKILL)

    assert await replica.ended() == -signal.SIGKILL
    with pytest.raises((IndexError, ValueError)):
        await slow
