"""Looking at a replica: its output, and commands beside it."""

import asyncio
import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.process_provider.conftest import HINTS, ONE, Machine, eventually, forgotten, processes_of, ready

from flashcore.builtin.process.tail import follow, last_lines
from flashcore.hookspecs.providers import Hints
from flashcore.model.errors import DeadlineExceeded, NotFound
from flashcore.model.names import ReplicaId

NONE = frozenset[ReplicaId]()


async def take(lines: AsyncIterator[str], count: int) -> list[str]:
    """The next lines."""
    async with asyncio.timeout(60):
        return [await anext(lines) for _ in range(count)]


async def test_logs_are_told_from_their_end(machine: Machine) -> None:
    """The last lines, oldest first; also of a replica that is gone."""
    provider = await machine.provider()
    revision = await machine.revision("for n in range(100): print('line', n)\ndef f(): ...")
    await provider.apply(revision, frozenset({ONE}), HINTS)
    await ready(provider)
    await machine.logged("ready after")

    lines = [line async for line in provider.logs(ONE, tail=3, follow=False)]
    assert lines[:2] == ["line 98", "line 99"]
    assert "ready after" in lines[2]
    assert [line async for line in provider.logs(ONE, tail=0, follow=False)] == []
    await provider.apply(revision, NONE, HINTS)
    await forgotten(provider)

    assert len([line async for line in provider.logs(ONE, tail=1000, follow=False)]) > 100


async def test_logs_are_followed_to_the_replicas_end(machine: Machine) -> None:
    """What is written while one looks comes line by line; the end of the replica is the end."""
    provider, go_on = await machine.provider(), machine.layout.root / "go-on"
    code = f"""
        import pathlib, threading, time
        def go_on():
            while not pathlib.Path({str(go_on)!r}).exists():
                time.sleep(0.01)
            print("two")
        print("one")
        threading.Thread(target=go_on, daemon=True).start()
        def f(): ...
    """
    revision = await machine.revision(code)
    await provider.apply(revision, frozenset({ONE}), HINTS)
    await ready(provider)

    lines = provider.logs(ONE, tail=10, follow=True)
    seen = await take(lines, 1)
    go_on.touch()
    seen += [line async for line in _until(lines, "two")]
    await provider.apply(revision, NONE, HINTS)
    rest = [line async for line in lines]

    assert seen[0] == "one"
    assert seen[-1] == "two"
    assert any("draining" in line for line in rest)


async def _until(lines: AsyncIterator[str], last: str) -> AsyncIterator[str]:
    while True:
        line = await asyncio.wait_for(anext(lines), 60)
        yield line
        if line == last:
            return


async def test_a_replica_without_a_log_is_not_found(machine: Machine) -> None:
    """A name that nobody has."""
    provider = await machine.provider()

    with pytest.raises(NotFound, match="no log of replica nobody"):
        await anext(provider.logs(ReplicaId("nobody"), tail=1, follow=False))


def test_the_tail_reaches_into_the_older_file(tmp_path: Path) -> None:
    """A log that has just been rotated is still told."""
    (tmp_path / "a.log.1").write_text("".join(f"{n}\n" for n in range(10)))
    (tmp_path / "a.log").write_text("10\n11\n12")

    assert last_lines(tmp_path / "a.log", 5) == ("8", "9", "10", "11", "12")
    assert last_lines(tmp_path / "a.log", 1) == ("12",)
    assert len(last_lines(tmp_path / "a.log", 1000)) == 13
    assert last_lines(tmp_path / "gone.log", 5) == ()


def test_long_and_odd_lines_are_told(tmp_path: Path) -> None:
    """Lines longer than what is read at once, and bytes that are no text."""
    (tmp_path / "a.log").write_bytes(b"x" * 200_000 + b"\n\xff\xfe\n")

    assert last_lines(tmp_path / "a.log", 2) == ("x" * 200_000, "��")


async def test_following_goes_on_over_a_rotation(tmp_path: Path) -> None:
    """No line is lost or told twice when the file becomes another one."""
    log, over = tmp_path / "a.log", asyncio.Event()
    log.write_text("1\n2\nhal")
    lines = follow(log, 1, over.is_set)

    assert await take(lines, 1) == ["2"]
    with log.open("a") as stream:
        stream.write("f\n3\n")
    log.replace(tmp_path / "a.log.1")
    log.write_text("4\n5\n")
    assert await take(lines, 4) == ["half", "3", "4", "5"]
    over.set()

    assert [line async for line in lines] == []


async def test_who_is_called_away_while_a_log_is_opened_leaves_no_file_open(tmp_path: Path) -> None:
    """A client that hangs up at once: what a thread would open for it then, nobody would close."""
    log = tmp_path / "log"
    log.write_text("a\n")
    following = follow(log, 10, lambda: False)
    first = asyncio.ensure_future(anext(following))
    await asyncio.sleep(0)
    first.cancel()

    await asyncio.gather(first, return_exceptions=True)

    links = await asyncio.to_thread(lambda: [os.path.realpath(one) for one in Path("/dev/fd").iterdir()])
    assert str(log) not in links


async def test_a_command_runs_beside_the_replica(machine: Machine) -> None:
    """With its environment and in its folder; status and output are told."""
    provider = await machine.provider()
    await provider.apply(await machine.revision(), frozenset({ONE}), Hints(secrets={"PASSWORD": "s3cret"}))
    await ready(provider)

    told = await provider.execute(ONE, ("sh", "-c", "pwd; echo $PASSWORD; echo $FLASHCORE_REPLICA >&2; exit 3"), 60.0)

    assert told == (3, f"{machine.places() / 'work'}\ns3cret\ne-1\n")


async def test_a_command_that_does_not_end_is_killed(machine: Machine) -> None:
    """With all that it started; the replica goes on."""
    provider = await machine.provider()
    await provider.apply(await machine.revision(), frozenset({ONE}), HINTS)
    await ready(provider)

    with pytest.raises(DeadlineExceeded, match=r"sh had not ended after 0\.3 s"):
        await provider.execute(ONE, ("sh", "-c", "sleep 600 & sleep 600"), 0.3)

    await eventually(lambda: len(processes_of(machine)) == 1)
    assert (await ready(provider)).connected


async def test_a_command_that_writes_for_ever_fills_no_memory(machine: Machine) -> None:
    """Only the beginning of its output is kept."""
    provider = await machine.provider()
    await provider.apply(await machine.revision(), frozenset({ONE}), HINTS)
    await ready(provider)

    status, output = await provider.execute(ONE, ("sh", "-c", "head -c 3000000 /dev/zero"), 60.0)

    assert (status, len(output)) == (0, 64 * 1024)


async def test_a_command_beside_nobody_is_not_found(machine: Machine) -> None:
    """A replica that does not run has no environment to run in."""
    provider = await machine.provider()

    with pytest.raises(NotFound, match="nobody"):
        await provider.execute(ReplicaId("nobody"), ("true",), 1.0)


async def test_a_command_that_is_not_there_is_an_error(machine: Machine) -> None:
    """As the system tells it."""
    provider = await machine.provider()
    await provider.apply(await machine.revision(), frozenset({ONE}), HINTS)
    await ready(provider)

    with pytest.raises(FileNotFoundError):
        await provider.execute(ONE, (f"{os.sep}no{os.sep}such",), 1.0)
