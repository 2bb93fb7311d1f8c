"""The gateway is kept, whatever is in the way of the next one, and no start of one is lost sight of."""

from __future__ import annotations

import asyncio
import socket
import tempfile
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

import psutil
import pytest
from tests.full_disk import fill, small_disk_at
from tests.gateway.successions import talker, web
from tests.gateway.test_process import serving

from flashcore.gateway.handover import ask_for_listeners
from flashcore.gateway.http.websocket import RESTARTING, close_frame
from flashcore.gateway.retired import retired_gateways
from flashcore.model.errors import Refused, Unavailable
from flashcore.presence import Presence
from flashcore.server.gateways import GatewayKeeper
from flashcore.server.last_words import LastWords, last_words, size_of
from flashcore.settings import Project, open_project

PATIENCE = 60.0


@pytest.fixture
def project() -> Iterator[Project]:
    """An empty one, with a short path: sockets lie in it."""
    with tempfile.TemporaryDirectory(prefix="fc") as folder:
        Path(folder, "flashcore.toml").write_text("app = 'a'\n[ports]\ngateway = 0\n", encoding="utf-8")
        opened = open_project(Path(folder))
        for place in (opened.layout.home, opened.layout.logs, opened.layout.run):
            place.mkdir(mode=0o700, parents=True, exist_ok=True)
        for secret in (opened.layout.token, opened.layout.call_key, opened.layout.hop_key):
            secret.write_text("x" * 43, encoding="utf-8")
        yield opened


@pytest.fixture
async def keeper(project: Project) -> AsyncIterator[GatewayKeeper]:
    """A keeper whose gateway ends with the test."""
    made = GatewayKeeper(project)
    yield made
    await made.stop(0.0)


def gateways() -> list[psutil.Process]:
    """The gateways that this process has started and that run."""
    return [child for child in psutil.Process().children() if _is_gateway(child)]


def _is_gateway(child: psutil.Process) -> bool:
    try:
        return child.status() != psutil.STATUS_ZOMBIE and "flashcore.gateway" in child.cmdline()
    except psutil.NoSuchProcess:  # a zombie as well: it has ended between the two questions
        return False


async def until(holds: Callable[[], bool]) -> None:
    """Return when it holds; fail when it never does."""
    async with asyncio.timeout(PATIENCE):
        while not holds():  # noqa: ASYNC110 - of other processes
            await asyncio.sleep(0.005)


async def test_a_gateway_that_cannot_be_started_is_tried_again(
    project: Project, keeper: GatewayKeeper, caplog: pytest.LogCaptureFixture
) -> None:
    """Its log cannot be opened for a while, as with a full disk; the control plane does not give up on it."""
    first = await keeper.start()
    log = project.layout.logs / "gateway.log"
    log.unlink()
    log.mkdir()
    psutil.Process(first.pid).kill()
    await until(lambda: "the gateway cannot be started" in caplog.text)

    log.rmdir()

    await until(lambda: keeper.present is not None and keeper.present.pid != first.pid)


async def test_a_stop_ends_a_gateway_that_is_on_its_way_up(project: Project, keeper: GatewayKeeper) -> None:
    """The last one ended a moment ago, and the next one does not listen yet: it would stay for ever."""
    first = await keeper.start()
    psutil.Process(first.pid).kill()
    await until(lambda: any(one.pid != first.pid for one in gateways()))

    await keeper.stop(0.0)

    assert not gateways()


async def test_a_restart_waits_for_a_gateway_that_is_on_its_way_up(project: Project, keeper: GatewayKeeper) -> None:
    """Two of them would be at the same jobs."""
    first = await keeper.start()
    psutil.Process(first.pid).kill()
    await until(lambda: any(one.pid != first.pid for one in gateways()))
    (born,) = gateways()

    present = await keeper.restart()

    assert [one.pid for one in gateways()] == [present.pid]
    assert present.pid == born.pid


async def test_of_two_restarts_at_once_one_keeper_is_left(project: Project, keeper: GatewayKeeper) -> None:
    """Another one would start a gateway when all is to end."""
    await keeper.start()

    one, other = await asyncio.gather(keeper.restart(), keeper.restart())

    assert one.pid != other.pid
    assert [task.get_name() for task in asyncio.all_tasks()].count("gateway keeper") == 1
    assert [found.pid for found in gateways()] == [other.pid]


async def test_a_restart_that_cannot_be_leaves_the_gateway_that_runs(project: Project, keeper: GatewayKeeper) -> None:
    """Its settings are wrong, or a plugin of it: that is found out before the one that runs is asked for its place."""
    first = await keeper.start()
    wrong = replace(project, settings=replace(project.settings, gateway={"hold_seconds": -1.0}))
    other = GatewayKeeper(wrong)
    await other.start()

    with pytest.raises(Unavailable, match="hold_seconds"):
        await other.restart()

    assert other.present == first
    assert [one.pid for one in gateways()] == [first.pid]
    assert [task.get_name() for task in asyncio.all_tasks()].count("gateway keeper") == 2, "each of the two keeps it"
    await other.let_go()


async def test_a_next_gateway_that_is_killed_is_said_to_be(project: Project, keeper: GatewayKeeper) -> None:
    """For lack of memory, say: it leaves no word of it."""
    first = await keeper.start()
    restarting = asyncio.create_task(keeper.restart())
    await until(lambda: len(gateways()) == 2)
    next(one for one in gateways() if one.pid != first.pid).kill()

    with pytest.raises(Unavailable, match=r"the gateway ended while it started: killed by signal 9\n"):
        await restarting

    await until(lambda: keeper.present is not None and keeper.present.alive)


async def test_a_restart_that_fails_once_there_is_room_is_told_of_and_tried_again(
    project: Project, keeper: GatewayKeeper
) -> None:
    """The job store cannot be opened, which nobody can try out while another gateway has it."""
    first = await keeper.start()
    wrong = replace(project, settings=replace(project.settings, jobs="sqlite:////proc/none/jobs.db"))
    other = GatewayKeeper(wrong)
    await other.start()

    with pytest.raises(Unavailable, match="/proc/none"):
        await other.restart()
    # The keeper of before sees the end of its own gateway, and starts one that can open it.
    await until(lambda: other.present is not None and other.present.pid != first.pid)

    assert [one.pid for one in gateways()] == [other.present and other.present.pid]
    await other.let_go()


async def test_a_stop_ends_gateways_that_were_replaced(project: Project, keeper: GatewayKeeper) -> None:
    """Whoever stops: this control plane has never heard of them."""
    first = await keeper.start()
    async with talker(project.layout) as replica, serving(project.layout, web(replica)):
        reader, writer = await tunnel(first)
        second, third = await keeper.restart(), await keeper.restart()
        await until(lambda: second.pid not in {one.pid for one in gateways()})
        retired = retired_gateways(project.layout)
        await keeper.let_go()

        later = GatewayKeeper(project)
        await later.start()
        await later.stop(1.0)
        heard = await reader.read()
        writer.close()

    assert [one.presence.pid for one in retired] == [first.pid]
    assert third.url == first.url
    assert heard == close_frame(RESTARTING, "the gateway stops")
    assert not gateways()
    assert retired_gateways(project.layout) == ()


async def test_a_stop_in_the_middle_of_a_restart_leaves_no_gateway(project: Project, keeper: GatewayKeeper) -> None:
    """Neither the one that runs nor the one that is on its way; and nobody begins another one then."""
    await keeper.start()
    restarting = asyncio.create_task(keeper.restart())
    await until(lambda: len(gateways()) == 2)

    await keeper.stop(0.2)

    assert restarting.done()
    assert not gateways()
    with pytest.raises(Refused):
        await keeper.restart()


async def test_a_restart_that_is_called_off_leaves_no_gateway_behind(project: Project, keeper: GatewayKeeper) -> None:
    """Its request was cut off as the control plane ended: the gateway that is on its way goes on by itself."""
    await keeper.start()
    restarting = asyncio.create_task(keeper.restart())
    await until(lambda: len(gateways()) == 2)
    restarting.cancel()
    await asyncio.wait({restarting})

    await keeper.stop(0.2)

    assert not gateways()
    assert retired_gateways(project.layout) == ()


async def test_a_gateway_that_was_replaced_is_not_taken_for_the_one_that_is_kept(
    project: Project, keeper: GatewayKeeper
) -> None:
    """The next one is killed: that one is started again, beside the first, which still has something to do."""
    first = await keeper.start()
    async with talker(project.layout) as replica, serving(project.layout, web(replica)):
        reader, writer = await tunnel(first)
        second = await keeper.restart()

        psutil.Process(second.pid).kill()
        await until(lambda: keeper.present is not None and keeper.present.pid not in (first.pid, second.pid))
        writer.write(b"still")
        heard = await reader.readexactly(5)
        running = {one.pid for one in gateways()}
        writer.close()

    assert keeper.present is not None
    assert heard == b"still"
    assert running == {first.pid, keeper.present.pid}


async def test_a_gateway_that_another_control_plane_had_begun_to_replace_is_given_up_for_the_next(
    project: Project, keeper: GatewayKeeper
) -> None:
    """That one is dead. The last gateway goes on with what it has, and is not the one that is kept, nor ended alone."""
    earlier = GatewayKeeper(project)
    first = await earlier.start()
    async with talker(project.layout) as replica, serving(project.layout, web(replica)):
        reader, writer = await tunnel(first)
        restarting = asyncio.create_task(earlier.restart())
        await until(lambda: len(gateways()) == 2)
        restarting.cancel()
        await asyncio.wait({restarting})
        await earlier.let_go()
        found = await keeper.start()

        await until(lambda: keeper.present is not None and keeper.present != first)
        kept = keeper.present
        running = {one.pid for one in gateways()}
        writer.write(b"still")
        heard = await reader.readexactly(5)
        await keeper.stop(0.2)
        writer.close()

    assert found == first
    assert kept is not None
    assert running == {first.pid, kept.pid}
    assert heard == b"still"
    assert not gateways()
    await earlier.stop(0.0)


async def test_a_stop_ends_a_gateway_that_another_control_plane_had_begun_to_start(
    project: Project, keeper: GatewayKeeper
) -> None:
    """It comes to the place of the one that is ended, and nobody has heard of it."""
    earlier = GatewayKeeper(project)
    first = await earlier.start()
    restarting = asyncio.create_task(earlier.restart())
    await until(lambda: len(gateways()) == 2)
    restarting.cancel()
    await asyncio.wait({restarting})
    await earlier.let_go()
    found = await keeper.start()
    await until(lambda: keeper._serving() not in (None, first))  # noqa: SLF001 - as a stop would see it

    await keeper.stop(0.2)

    assert found == first
    assert not gateways()
    assert not project.layout.gateway_file.exists()
    await earlier.stop(0.0)


async def test_a_gateway_that_does_not_come_up_is_told_of_in_its_own_words(project: Project) -> None:
    """In those of this start, with its own next step; what an earlier one said is not repeated."""
    log = project.layout.logs / "gateway.log"
    log.write_text(
        "2026-01-01 00:00:00,000 ERROR flashcore.gateway.main another time\n  next: do this\n", encoding="utf-8"
    )
    wrong = replace(project, settings=replace(project.settings, gateway={"hold_seconds": -1.0}))
    unknown = replace(project, settings=replace(project.settings, gateway={"hold_secnds": 1.0}))

    with pytest.raises(Unavailable) as first:
        await GatewayKeeper(wrong).start()
    with pytest.raises(Unavailable) as second:
        await GatewayKeeper(unknown).start()

    assert first.value.message.startswith(
        "the gateway ended while it started: the gateway's setting hold_seconds is -1.0"
    )
    assert first.value.next_step == f"look at {log}"
    assert second.value.message == "the gateway ended while it started: the gateway has no setting 'hold_secnds'"
    assert (second.value.next_step or "").startswith("set one of ")


@pytest.mark.parametrize(
    ("log", "words"),
    [
        ("", LastWords("")),
        ("killed\n", LastWords("killed")),
        ("Traceback ...\n  raise X\nOSError: no\n", LastWords("raise X OSError: no")),
        ("2026-01-01 00:00:00,000 ERROR a.b it is broken\n  next: mend it\n", LastWords("it is broken", "mend it")),
        ("  next: mend it\n", LastWords("", "mend it")),
    ],
)
def test_last_words_are_the_end_of_a_log(tmp_path: Path, log: str, words: LastWords) -> None:
    """Without what a log has before each line."""
    (tmp_path / "log").write_text(f"before\n{log}", encoding="utf-8")

    assert last_words(tmp_path / "log", len("before\n")) == words
    assert last_words(tmp_path / "none", size_of(tmp_path / "none")).said.startswith("its log cannot be read")


def test_a_full_disk_is_said_to_be_why_there_are_no_last_words(tmp_path: Path) -> None:
    """Q26: a gateway that could not start for it said so nowhere; whoever deploys has to hear it."""
    with small_disk_at(tmp_path / "disk", megabytes=1) as disk:
        (disk / "gateway.log").touch()
        quiet = last_words(disk / "gateway.log", 0)
        fill(disk)
        full = last_words(disk / "gateway.log", 0)

    assert quiet == LastWords("")
    assert full == LastWords(f"there is no room for a word of it in {disk / 'gateway.log'}", "make room on that disk")


def test_sockets_that_are_not_what_is_said_of_them_are_closed(project: Project) -> None:
    """Whoever has too many descriptors already is given fewer than there are, and must not keep those."""
    path = project.layout.listeners_socket
    with socket.socket(socket.AF_UNIX) as giving, socket.socket() as given:
        giving.bind(str(path))
        giving.listen()
        before = len([*Path("/dev/fd").iterdir()])

        def give() -> None:
            connection, _ = giving.accept()
            with connection:
                socket.send_fds(connection, [b'{"host": "h", "encrypted": 1, "plain": 1}'], [given.fileno()])

        thread = threading.Thread(target=give)
        thread.start()
        found = ask_for_listeners(path)
        thread.join()

        assert found is None
        assert len([*Path("/dev/fd").iterdir()]) == before


async def tunnel(gateway: Presence) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A WebSocket to the endpoint `web` there, open."""
    address = urlsplit(gateway.url)
    reader, writer = await asyncio.open_connection(address.hostname, address.port)
    writer.write(b"GET /web/ws HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n")
    await reader.readuntil(b"\r\n\r\n")
    return reader, writer
