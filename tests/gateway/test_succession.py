"""A gateway that takes another one's place: the next one serves at once, the last one ends what it had begun.

Real processes, on the sockets of the first of them, as the control plane starts them.
"""

from __future__ import annotations

import asyncio
import http.client
import json
import os
import signal
import socket
import ssl
import sys
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path

import psutil
import pytest
from tests.gateway.conftest import Answer, eventually, http_replica, http_route, jobs_route, side
from tests.gateway.successions import call, held_listeners, opened, successor, talker, web
from tests.gateway.test_process import GatewayProcess, listening, serving, spawn

from flashcore.gateway.http.websocket import RESTARTING, close_frame
from flashcore.gateway.retired import retired_gateways
from flashcore.model.layout import Layout
from flashcore.model.parts import PartRef
from flashcore.model.table import RoutingTable
from flashcore.presence import read_presence
from flashcore.testing.certificate import make_certificate
from flashcore.testing.fake_worker import FakeWorker, worker_hello
from flashcore.wire.messages import Assignment


async def test_a_stream_and_a_tunnel_go_on_over_several_gateways(layout: Layout) -> None:
    """Each next one answers what is new at once, at the same address; the first ends with the last that it began."""
    async with talker(layout) as replica, listening(layout) as first, serving(layout, web(replica)):
        url = first.presence.url
        stream, stream_writer = await opened(first, "GET /web/stream HTTP/1.1")
        tunnel, tunnel_writer = await opened(first, "GET /web/ws HTTP/1.1", "connection: upgrade", "upgrade: websocket")
        replica.pieces.put_nowait(b"one")
        assert (await stream.readuntil(b"one\r\n")).startswith(b"HTTP/1.1 200")
        await tunnel.readuntil(b"\r\n\r\n")

        async with successor(layout) as second, successor(layout) as third:
            answers = [await call(url, "GET", "/ping") for _ in range(3)]
            retired = {one.presence.pid for one in retired_gateways(layout)}
            present = third.presence
            replica.pieces.put_nowait(b"two")
            tunnel_writer.write(b"hello")
            said = await stream.readuntil(b"two\r\n"), await tunnel.readexactly(5)
            replica.pieces.put_nowait(b"")
            end = await stream.readexactly(5)
            assert first.process.returncode is None, "the tunnel is open still"
            tunnel_writer.close()
            status, other = await first.process.wait(), await second.process.wait()
        stream_writer.close()

    assert [answer.status for answer in answers] == [200] * 3
    assert first.process.pid in retired
    assert (present.pid, present.url) == (third.process.pid, url)
    assert said == (b"3\r\ntwo\r\n", b"hello")
    assert end == b"0\r\n\r\n"
    assert (status, other) == (0, 0)
    assert retired_gateways(layout) == ()


async def test_whoever_waits_for_a_job_is_told_how_it_is_and_goes_on_at_the_next(layout: Layout) -> None:
    """Callers have what the API gives when their time is over; workers come back with what they have."""
    go_on = asyncio.Event()
    begun: list[str] = []

    async def answer(job: Assignment) -> bytes:
        begun.append(job.id)
        await go_on.wait()
        return bytes(job.input.data)

    hello = worker_hello("hello", slots=2)
    async with listening(layout) as first, serving(layout, jobs_route("hello", side(hello))):
        url = first.presence.url
        async with FakeWorker(layout.worker_socket, hello, answer) as worker:
            waiting = asyncio.create_task(call(url, "POST", "/v2/hello/runsync?wait=60000", {"input": 1}))
            await eventually(lambda: len(worker.seen) == 1)
            job = worker.seen[0].id
            asking = asyncio.create_task(call(url, "GET", f"/v2/hello/status-sync/{job}?wait=60000"))
            reading = asyncio.create_task(call(url, "GET", f"/v2/hello/stream/{job}?wait=60000"))
            await asked(first, 3)

            async with successor(layout):
                told = [await one for one in (waiting, asking, reading)]
                go_on.set()
                done = await call(url, "GET", f"/v2/hello/status-sync/{job}?wait=50000")
                other = await call(url, "POST", "/v2/hello/runsync?wait=50000", {"input": 2})
                status = await first.process.wait()

    assert [one.status for one in told] == [200] * 3
    assert {one.json["status"] for one in told} == {"IN_PROGRESS"}
    assert told[2].json["stream"] == []
    assert (done.json["status"], done.json["output"], other.json["output"]) == ("COMPLETED", 1, 2)
    assert len(begun) == 2, "nothing was done twice"
    assert status == 0


async def test_workers_that_ask_for_jobs_are_answered_and_ask_the_next(layout: Layout) -> None:
    """With nothing, at once; what they had before they report to the next gateway."""
    async with listening(layout) as first, serving(layout, jobs_route("hello", side())):
        url = first.presence.url
        job = (await call(url, "POST", "/v2/hello/run", {"input": 1})).json["id"]
        taken = await call(url, "GET", "/v2/hello/job-take/w1")
        idle = asyncio.create_task(call(url, "GET", "/v2/hello/job-take/w2?job_in_progress=0"))
        stops = asyncio.create_task(call(url, "GET", "/v2/hello/job-stop/w1"))
        await asked(first, 2)

        async with successor(layout):
            answers = [(await one).status for one in (idle, stops)]
            done = await call(url, "POST", f"/v2/hello/job-done/w1/{job}", {"output": 7})
            seen = await call(url, "GET", f"/v2/hello/status/{job}")

    assert taken.json["id"] == job
    assert answers == [204, 204]
    assert done.status == 200
    assert (seen.json["status"], seen.json["output"]) == ("COMPLETED", 7)


async def test_a_connection_that_is_kept_is_answered_once_more_by_the_next(layout: Layout) -> None:
    """It may have been asked on at the very moment: what came is answered, by whoever can, and it ends with that."""
    async with http_replica(layout, "web-1") as replica, listening(layout) as first:
        routes = (http_route("web", side(replica.route), routing=PartRef("p2c")), jobs_route("hello", side()))
        async with serving(layout, *routes):
            address = first.presence.url.removeprefix("http://")
            kept = [http.client.HTTPConnection(address, timeout=60) for _ in range(2)]
            for connection in kept:
                await asyncio.to_thread(ask, connection, "GET", "/web/a")

            async with successor(layout):
                page = await asyncio.to_thread(ask, kept[0], "GET", "/web/b")
                job = await asyncio.to_thread(ask, kept[1], "POST", "/v2/hello/run", b'{"input": 1}')
                state = await call(f"http://{address}", "GET", f"/v2/hello/status/{job.json['id']}")

    assert (page.status, page.json["target"], page.headers["connection"]) == (200, "/b", "close")
    assert replica.seen[-1].headers["x-forwarded-for"] == "127.0.0.1"
    assert (job.status, job.headers["connection"]) == (200, "close")
    assert state.json["status"] == "IN_QUEUE"


async def test_a_websocket_that_is_asked_for_on_an_old_connection_goes_on_over_both(layout: Layout) -> None:
    """The last gateway passes on what it does not understand, and stays for as long as it does."""
    async with talker(layout) as replica, listening(layout) as first, serving(layout, web(replica)):
        host, _, port = first.presence.url.removeprefix("http://").rpartition(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        await asked(first, 0)
        async with successor(layout):
            writer.write(b"GET /web/ws HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n")
            head = await reader.readuntil(b"\r\n\r\n")
            writer.write(b"hello")
            heard = await reader.readexactly(5)
            assert first.process.returncode is None
            writer.close()
            status = await first.process.wait()

    assert head.startswith(b"HTTP/1.1 101 ")
    assert (heard, status) == (b"hello", 0)


async def test_a_body_that_is_on_its_way_comes_to_the_next(layout: Layout) -> None:
    """Nobody has read it yet, so nobody has to send it again."""
    async with listening(layout) as first, serving(layout, jobs_route("hello", side())):
        url = first.presence.url
        body = json.dumps({"input": "x" * 300_000}).encode()
        reader, writer = await opened(first, "POST /v2/hello/run HTTP/1.1", f"content-length: {len(body)}")
        writer.write(body[:100_000])
        await asked(first, 1)

        async with successor(layout):
            writer.write(body[100_000:])
            head = await reader.readuntil(b"\r\n\r\n")
            job = json.loads(await reader.read())["id"]
            state = await call(url, "GET", f"/v2/hello/status/{job}")
        writer.close()

    assert head.startswith(b"HTTP/1.1 200")
    assert b"connection: close" in head
    assert state.json["status"] == "IN_QUEUE"


async def test_who_waits_for_a_replica_waits_at_the_next(layout: Layout) -> None:
    """The last one hears of no replica any more."""
    async with http_replica(layout, "web-1") as replica, listening(layout) as first:
        held = http_route("web", side(replica.route), routing=PartRef("p2c"), held=True)
        async with serving(layout, held) as plane:
            url = first.presence.url
            waiting = asyncio.create_task(call(url, "POST", "/web/held", {"a": 1}))
            await asked(first, 1)

            async with successor(layout) as second:
                await asked(second, 1)
                released = http_route("web", side(replica.route), routing=PartRef("p2c"))
                await plane.publish(RoutingTable(2, (released,)))
                answer = await waiting

    assert (answer.status, answer.json["target"]) == (200, "/held")
    assert replica.seen[0].body == b'{"a": 1}'


async def test_a_next_gateway_that_cannot_begin_leaves_the_last_one_as_it_is(layout: Layout) -> None:
    """Whatever is found wrong before it would be the gateway."""
    async with listening(layout) as first, serving(layout, jobs_route("hello", side())):
        with held_listeners(layout) as held:
            wrong = await spawn(
                layout, "--succeed", "--tls-certificate", "none.pem", "--tls-key", "none.pem", inherited=held.plain
            )
            said = await wrong.last_words()
        answer = await first.call("POST", "/v2/hello/run", {"input": 1})

    assert wrong.process.returncode == 1
    assert "none.pem" in said
    assert answer.status == 200


async def test_a_gateway_that_cannot_say_that_it_retires_goes_on(layout: Layout) -> None:
    """For lack of room, say: nobody would find it then. The next one hears why, and nothing has happened."""
    async with listening(layout) as first, serving(layout, jobs_route("hello", side())):
        layout.retired.write_text("no folder", encoding="utf-8")
        with held_listeners(layout) as held:
            refused = await spawn(layout, "--succeed", inherited=held.plain)
            said = await refused.last_words()
        answer = await first.call("POST", "/v2/hello/run", {"input": 1})
        layout.retired.unlink()
        async with successor(layout) as second:
            later = await second.call("GET", f"/v2/hello/status/{answer.json['id']}")

    assert refused.process.returncode == 1
    assert f"the gateway that runs cannot retire, and goes on: [Errno 17] File exists: '{layout.retired}'" in said
    assert (answer.status, later.json["status"]) == (200, "IN_QUEUE")


async def test_the_address_stays_written_down_where_the_next_gateway_does_not_come(layout: Layout) -> None:
    """Callers look it up, and replicas are given it as they start: the next one's is the same."""
    async with listening(layout) as first:
        url = first.presence.url
        with held_listeners(layout) as held:
            broken = await spawn(layout, "--succeed", jobs="sqlite:////proc/none/jobs.db", inherited=held.plain)
            ends = await broken.process.wait(), await first.process.wait()
            await broken.process.communicate()
            meanwhile = read_presence(layout.gateway_file)
            asking = asyncio.create_task(call(url, "GET", "/ping/live"))
            async with listening(layout, "--succeed", inherited=held.plain) as last:
                answer = await asking
                there = last.presence

    assert ends == (1, 0)
    assert meanwhile is not None
    assert (meanwhile.url, there.url, there.pid) == (url, url, last.process.pid)
    assert answer.status == 200


@pytest.mark.parametrize("runs", [True, False])
async def test_no_endpoint_is_unknown_to_a_gateway_whose_table_was_lost(layout: Layout, *, runs: bool) -> None:
    """Its callers wait for the control plane that runs to send it again; without one they are told so."""
    async with http_replica(layout, "web-1") as replica, listening(layout) as first:
        routes = (http_route("web", side(replica.route), routing=PartRef("p2c")), jobs_route("hello", side()))
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(serving(layout, *routes))
            layout.table_file.write_text("damaged", encoding="utf-8")
            if not runs:
                await stack.aclose()
            with held_listeners(layout) as held:
                next_one = await spawn(layout, "--succeed", inherited=held.plain)
                assert await first.process.wait() == 0
                asked = ("GET", "/web/a", None), ("POST", "/v2/hello/run", {"input": 1})
                answers = await asyncio.gather(*(call(first.presence.url, *one) for one in asked))
            await next_one.end(signal.SIGTERM)
            await next_one.process.communicate()

    assert [answer.status for answer in answers] == ([200, 200] if runs else [503, 503])
    if not runs:
        assert {answer.json["error"]["code"] for answer in answers} == {"gateway_starting"}
        assert {answer.headers["retry-after"] for answer in answers} == {"1"}


async def test_of_two_next_gateways_each_has_its_turn(layout: Layout) -> None:
    """They were started at once, by a control plane and the one after it: none is killed for the other's sake."""
    hasty = "--set", "stop_grace=0.5"
    async with talker(layout) as replica, listening(layout, *hasty) as first, serving(layout, web(replica)):
        tunnel, writer = await opened(first, "GET /web/ws HTTP/1.1", "connection: upgrade", "upgrade: websocket")
        await tunnel.readuntil(b"\r\n\r\n")
        with held_listeners(layout) as held:
            first.process.send_signal(signal.SIGSTOP)
            nexts = [await spawn(layout, "--succeed", "--set", "stop_grace=10", inherited=held.plain) for _ in "12"]
            for one in nexts:
                await eventually(partial(wants_the_place, one))
            first.process.send_signal(signal.SIGCONT)
            ended = {asyncio.create_task(one.process.wait()) for one in nexts}
            done, _ = await asyncio.wait(ended, return_when="FIRST_COMPLETED", timeout=60)
            writer.write(b"still")
            heard = await tunnel.readexactly(5)
            serves = presence_pid(layout)
            answer = await call(f"{first.presence.url}", "GET", "/ping/live")
            for one in nexts:
                if one.process.returncode is None:
                    await one.end(signal.SIGTERM)
                await one.process.communicate()
        writer.close()

    assert [task.result() for task in done] == [0]
    assert heard == b"still"
    assert serves in {one.process.pid for one in nexts}
    assert answer.status == 200


OLDER = """
import fcntl, json, signal, socket, sys
from pathlib import Path
from flashcore.model.layout import Layout
from flashcore.presence import own_presence, write_presence

layout = Layout(Path(sys.argv[1]), sys.argv[2])
layout.run.mkdir(parents=True)
lock = (layout.home / "gateway.lock").open("a+b")
fcntl.flock(lock, fcntl.LOCK_EX)
door, given = socket.socket(), socket.socket(socket.AF_UNIX)
door.bind(("127.0.0.1", 0))
door.listen()
given.bind(str(layout.listeners_socket))
given.listen()
signal.signal(signal.SIGINT, lambda *_: sys.exit(0))
write_presence(layout.gateway_file, own_presence("http://127.0.0.1:1", "0"))
while True:
    asker, _ = given.accept()
    socket.send_fds(asker, [b'{"host": "127.0.0.1", "encrypted": 0, "plain": 1}'], [door.fileno()])
    asker.close()
"""


async def test_a_gateway_of_before_ends_what_it_has_and_is_followed(layout: Layout) -> None:
    """It gives its sockets away and knows of no retiring: SIGINT tells it that there is a next one."""
    layout.home.mkdir(parents=True, exist_ok=True)
    last = await asyncio.create_subprocess_exec(
        sys.executable, "-c", OLDER, str(layout.root), layout.environment, stderr=asyncio.subprocess.PIPE
    )
    await eventually(lambda: presence_pid(layout) == last.pid)

    async with successor(layout) as gateway:
        answer = await gateway.call("GET", "/ping/live")
        status = await last.wait()
    await last.communicate()

    assert (answer.status, status) == (200, 0)


async def test_a_connection_with_tls_that_is_kept_is_answered_by_the_next(layout: Layout, tmp_path: Path) -> None:
    """What is encrypted here goes onward over the socket of this machine's gateways, and is known to have been."""
    files = await asyncio.to_thread(make_certificate, tmp_path)
    tls = ("--tls-certificate", str(files.certificate), "--tls-key", str(files.key))
    context = ssl.create_default_context(cafile=str(files.certificate))
    async with http_replica(layout, "web-1") as replica, listening(layout, *tls) as first:
        async with serving(layout, http_route("web", side(replica.route), routing=PartRef("p2c"))):
            with held_listeners(layout) as held:
                with socket.socket(fileno=os.dup(held.encrypted[0])) as door:
                    port = door.getsockname()[1]
                kept = http.client.HTTPSConnection("localhost", port, timeout=60, context=context)
                before = await asyncio.to_thread(ask, kept, "GET", "/web/a")
                fds = [f"--listen-tls-fd={descriptor}" for descriptor in held.encrypted]
                gateway = await spawn(layout, "--succeed", *tls, *fds, inherited=held.plain, passed=held.encrypted)
                await eventually(lambda: presence_pid(layout) == gateway.process.pid)
                after = await asyncio.to_thread(ask, kept, "GET", "/web/b")
                again = await asyncio.to_thread(ask, kept, "GET", "/web/c")
                kept.close()
                status = await gateway.end(signal.SIGTERM)
                await gateway.process.communicate()
        ended = await first.process.wait()

    assert [one.status for one in (before, after, again)] == [200] * 3
    assert [one.headers.get("connection") for one in (before, after, again)] == [None, "close", None]
    assert {one.headers["x-forwarded-proto"] for one in replica.seen} == {"https"}
    assert (status, ended) == (0, 0)


@pytest.mark.parametrize("victim", ["last", "next"])
async def test_the_sudden_end_of_either_is_not_the_others(layout: Layout, victim: str) -> None:
    """Kill -9: the kernel gives the place free, and what goes on at the other one goes on."""
    async with talker(layout) as replica, listening(layout) as first, serving(layout, web(replica)):
        url = first.presence.url
        tunnel, writer = await opened(first, "GET /web/ws HTTP/1.1", "connection: upgrade", "upgrade: websocket")
        await tunnel.readuntil(b"\r\n\r\n")

        async with successor(layout) as second:
            doomed, stays = (first, second) if victim == "last" else (second, first)
            if victim == "next":
                with held_listeners(layout) as held:
                    await doomed.end(signal.SIGKILL)
                    async with listening(layout, "--succeed", inherited=held.plain):
                        answer = await call(url, "GET", "/ping")
                        writer.write(b"still")
                        heard = await tunnel.readexactly(5)
            else:
                await doomed.end(signal.SIGKILL)
                answer = await call(url, "GET", "/ping")
                heard = await tunnel.read()
            assert stays.process.returncode is None
        writer.close()

    assert answer.status == 200
    assert heard == (b"" if victim == "last" else b"still")


async def test_a_gateway_that_is_killed_as_it_retires_is_followed_all_the_same(layout: Layout) -> None:
    """It was asked, and could not let go in order: the next one finds what it left."""
    async with listening(layout) as first:
        with held_listeners(layout) as held:
            first.process.send_signal(signal.SIGSTOP)
            next_one = await spawn(layout, "--succeed", inherited=held.plain)
            await eventually(lambda: wants_the_place(next_one))
            await first.end(signal.SIGKILL)
            await eventually(lambda: presence_pid(layout) == next_one.process.pid)
        url = next_one.presence.url
        answer = await call(url, "GET", "/ping/live")
        status = await next_one.end(signal.SIGTERM)
        await next_one.process.communicate()

    assert (answer.status, status) == (200, 0)


@pytest.mark.slow
async def test_a_gateway_that_hangs_is_killed_by_the_next(layout: Layout) -> None:
    """It would keep the environment for ever."""
    async with listening(layout) as first:
        with held_listeners(layout) as held:
            first.process.send_signal(signal.SIGSTOP)
            async with listening(layout, "--succeed", "--set", "stop_grace=0.5", inherited=held.plain) as second:
                answer = await second.call("GET", "/ping/live")
            status = await first.process.wait()

    assert answer.status == 200
    assert status == -signal.SIGKILL


async def test_what_goes_on_for_longer_than_the_grace_is_cut_off(layout: Layout) -> None:
    """A WebSocket may be open for days, and a gateway of before is not to be."""
    brief = listening(layout, "--set", "handover_grace=0.2")
    async with talker(layout) as replica, brief as first, serving(layout, web(replica)):
        tunnel, writer = await opened(first, "GET /web/ws HTTP/1.1", "connection: upgrade", "upgrade: websocket")
        await tunnel.readuntil(b"\r\n\r\n")
        async with successor(layout):
            heard = await tunnel.read()
            status = await first.process.wait()
        writer.close()

    assert heard == close_frame(RESTARTING, "the gateway stops"), "a WebSocket is told so in its own way"
    assert status == 0


async def test_a_retired_gateway_that_is_told_to_end_lets_answers_end(layout: Layout) -> None:
    """One signal is an order to finish within the usual grace, two are an order to hurry."""
    patient = listening(layout, "--set", "stop_grace=30")
    async with http_replica(layout, "web-1") as replica, patient as first:
        route = http_route("web", side(replica.route), routing=PartRef("p2c"))
        async with serving(layout, route):
            replica.open.clear()
            slow = asyncio.create_task(first.call("GET", "/web/slow"))
            await eventually(lambda: replica.seen)
            async with successor(layout) as second:
                hasty = asyncio.create_task(second.call("GET", "/web/slow"))
                await eventually(lambda: len(replica.seen) == 2)
                async with successor(layout):
                    for number in (signal.SIGTERM, signal.SIGINT):  # two of one kind may arrive as one
                        second.process.send_signal(number)
                    hurried = await second.process.wait()
                    first.process.send_signal(signal.SIGTERM)
                    replica.open.set()
                    answer, status = await slow, await first.process.wait()
                with pytest.raises((OSError, http.client.HTTPException)):
                    await hasty

    assert (answer.status, status) == (200, 0)
    assert hurried in (128 + signal.SIGINT, 128 + signal.SIGTERM), "by whichever was delivered second"


async def test_nobody_who_keeps_asking_notices_three_successions(layout: Layout) -> None:
    """Requests and jobs, on connections that are kept and on new ones: all answered, each job stored once."""
    ended = asyncio.Event()
    hello = worker_hello("hello", slots=4)
    statuses: list[int] = []
    jobs: list[str] = []

    async def ask_on(url: str, method: str, path: str, body: bytes | None, *, keeps: bool) -> None:
        connection = http.client.HTTPConnection(url.removeprefix("http://"), timeout=60)
        while not ended.is_set():
            answer = await asyncio.to_thread(ask, connection, method, path, body)
            statuses.append(answer.status)
            if method == "POST":
                jobs.append(answer.json["id"])
            if not keeps:
                connection.close()
        connection.close()

    async with http_replica(layout, "web-1", concurrency=100) as replica, listening(layout) as first:
        routes = (http_route("web", side(replica.route), routing=PartRef("p2c")), jobs_route("hello", side(hello)))
        async with serving(layout, *routes), FakeWorker(layout.worker_socket, hello, lambda job: job.input.data):
            url = first.presence.url
            kinds: list[tuple[str, str, bytes | None]] = [
                ("GET", "/web/x", None), ("POST", "/v2/hello/run", b'{"input": 1}'),
                ("POST", "/v2/hello/runsync", b'{"input": 1}'),
            ]  # fmt: skip
            asking = [asyncio.create_task(ask_on(url, *kind, keeps=keeps)) for kind in kinds for keeps in (True, False)]
            async with successor(layout), successor(layout), successor(layout) as last:
                await eventually(lambda: len(statuses) > 300)
                ended.set()
                await asyncio.gather(*asking)

                async def settled() -> bool:
                    counts = (await last.call("GET", "/v2/hello/health")).json["jobs"]
                    return bool(counts["inQueue"] + counts["inProgress"] == 0)

                await eventually(settled)
                counts = (await last.call("GET", "/v2/hello/health")).json["jobs"]

    assert set(statuses) == {200}
    assert len(set(jobs)) == len(jobs) == counts["completed"]


def ask(connection: http.client.HTTPConnection, method: str, path: str, body: bytes | None = None) -> Answer:
    """One request on a connection that is kept."""
    connection.request(method, path, body)
    answer = connection.getresponse()
    return Answer(answer.status, {key.lower(): value for key, value in answer.getheaders()}, answer.read())


async def asked(gateway: GatewayProcess, requests: int) -> None:
    """Wait until so many requests are under way at the gateway."""

    async def are() -> bool:
        page = (await gateway.call("GET", "/metrics")).body.decode()
        busy = next(line for line in page.splitlines() if 'side="client",state="busy"' in line)
        return float(busy.split()[-1]) > requests  # the one that asks for the numbers is one of them

    await eventually(are)


def wants_the_place(gateway: GatewayProcess) -> bool:
    """Whether it has come so far as to wait for the environment's lock."""
    return any(file.path.endswith("gateway.lock") for file in psutil.Process(gateway.process.pid).open_files())


def presence_pid(layout: Layout) -> int:
    """The process that says that it is the gateway; 0 while none does."""
    found = read_presence(layout.gateway_file)
    return 0 if found is None else found.pid
