"""A control plane that comes back: replicas are found by their hello, and what is left of others is cleared away."""

import asyncio
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
from tests.process_provider.conftest import (
    HINTS,
    ONE,
    Machine,
    eventually,
    forgotten,
    freeze,
    gone,
    processes_of,
    ready,
    state_of,
    until,
)

from flashcore.builtin.process.ending import adopt
from flashcore.builtin.process.options import ProcessOptions
from flashcore.builtin.process.supervised import DRAIN_FIRST
from flashcore.builtin.process_provider import ProcessProvider
from flashcore.hookspecs.providers import Gone, Hints, Pending, Running
from flashcore.model.codec import to_json
from flashcore.model.declaration import Template
from flashcore.model.layout import Layout
from flashcore.model.names import ReplicaId
from flashcore.model.revision import Revision
from flashcore.testing.fake_gateway import FakeGateway
from flashcore.wire.hello import Stage
from flashcore.worker.processes import start_ticks

NONE = frozenset[ReplicaId]()
TWO = ReplicaId("e-2")

DIES = """
import asyncio, json, os, signal, sys, tempfile
from pathlib import Path
from tests.process_provider.conftest import HINTS, ONE, Machine, ready
from flashcore.model.codec import from_json
from flashcore.model.layout import Layout
from flashcore.model.revision import Revision

async def main():
    machine = Machine(Layout(Path(sys.argv[1]), "test"))
    provider = await machine.provider()
    await provider.apply(from_json(Revision, json.loads(sys.argv[2])), frozenset({ONE}), HINTS)
    if sys.argv[3] == "ready":
        await ready(provider)
    else:
        while not machine.places().joinpath(sys.argv[3]).exists():
            await asyncio.sleep(0.001)
    os.kill(os.getpid(), signal.SIGKILL)

asyncio.run(main())
"""


async def leave_running(machine: Machine, revision: Revision, moment: str = "ready") -> None:
    """Start a replica from a control plane that is killed with -9 at a moment: ready, or when a file appears."""
    repository = Path(__file__).parents[2]
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", DIES, str(machine.layout.root), json.dumps(to_json(revision)), moment),
        cwd=repository,
        env={**os.environ, "PYTHONPATH": str(repository)},
    )
    assert await process.wait() == -signal.SIGKILL


async def started(machine: Machine, revision: Revision) -> ProcessProvider:
    """A provider with one replica that is ready."""
    provider = await machine.provider()
    await provider.apply(revision, frozenset({ONE}), HINTS)
    await ready(provider)
    return provider


async def test_replicas_outlive_a_control_plane_that_is_killed(machine: Machine) -> None:
    """Kill -9 of the control plane: the next one hears the same life of the same replica, and can end it."""
    revision = await machine.revision()
    await leave_running(machine, revision)
    pid = processes_of(machine)[0].pid

    provider = await machine.provider()
    running = await state_of(provider)
    await provider.apply(revision, frozenset({ONE}), HINTS)

    assert isinstance(running, Running)
    assert (running.stage, running.connected) == (Stage.READY, True)
    assert [process.pid for process in processes_of(machine)] == [pid]
    assert (await provider.observe())[0].revision == revision.id
    await provider.apply(revision, NONE, HINTS)
    await forgotten(provider)
    assert processes_of(machine) == []


@pytest.mark.parametrize("moment", ["launch.json", "replica.json"])
async def test_a_control_plane_that_is_killed_while_it_starts_one_leaves_no_orphan(
    machine: Machine, moment: str
) -> None:
    """Whether or not the process had come as far as its record: it is found, or it is gone; never two of it."""
    revision = await machine.revision()
    await leave_running(machine, revision, moment)

    provider = await machine.provider()
    await provider.apply(revision, frozenset({ONE}), HINTS)
    await ready(provider)

    assert len(processes_of(machine)) == 1


async def test_a_replica_whose_start_nobody_waits_for_any_more_goes_on(machine: Machine) -> None:
    """The control plane left while the process was being started: that it listens is told to nobody, and found out."""
    first = await machine.provider()
    revision = await machine.revision(template=Template(warm=False))
    await first.apply(revision, frozenset({ONE}), HINTS)
    await eventually((machine.places() / "launch.json").exists)
    await first.close()
    instance = json.loads((machine.places() / "launch.json").read_text())["instance"]
    await machine.logged("ready after")

    second = await machine.provider()
    running = await state_of(second)

    assert isinstance(running, Running)
    assert running.instance == instance


async def test_letting_go_leaves_replicas_alone(machine: Machine) -> None:
    """`close` ends nothing, is idempotent, and the next provider goes on where this one was."""
    revision = await machine.revision()
    first = await started(machine, revision)
    before = await state_of(first)

    await first.close()
    await first.close()
    second = await machine.provider()
    after = await state_of(second)

    assert isinstance(before, Running)
    assert isinstance(after, Running)
    assert after.instance == before.instance
    assert after.since <= before.since + 10.0


async def test_the_end_of_an_adopted_replica_is_seen(machine: Machine) -> None:
    """It is nobody's child here; its end is an event all the same, and its strays end with it."""
    code = """
        import subprocess
        subprocess.Popen(["sleep", "600"], start_new_session=True)
        def f(): ...
    """
    revision = await machine.revision(code)
    await leave_running(machine, revision)
    provider = await machine.provider()
    record = json.loads((machine.places() / "replica.json").read_text())
    await eventually(lambda: len(processes_of(machine)) == 2)

    os.kill(record["identity"]["pid"], signal.SIGKILL)
    told = await gone(provider)

    assert told.reason == "it ended"
    assert told.exit_code is None
    assert processes_of(machine) == []


async def test_a_replica_that_died_meanwhile_is_cleared_away_and_started_again(machine: Machine) -> None:
    """Its record and sockets are stale; the wish for it is a new life."""
    revision = await machine.revision()
    await leave_running(machine, revision)
    old = json.loads((machine.places() / "replica.json").read_text())["identity"]
    processes_of(machine)[0].kill()
    await eventually(lambda: not processes_of(machine))

    provider = await machine.provider()
    assert await provider.observe() == ()
    assert not machine.places().exists()
    assert list(machine.layout.run.iterdir()) == []
    await provider.apply(revision, frozenset({ONE}), HINTS)

    assert (await ready(provider)).instance != old["instance"]


async def test_a_reused_pid_is_not_taken_for_the_replica(machine: Machine) -> None:
    """The record names a process that is somebody else's by now: it is not touched."""
    revision = await machine.revision()
    await leave_running(machine, revision)
    path = machine.places() / "replica.json"
    processes_of(machine)[0].kill()
    await eventually(lambda: not processes_of(machine))
    other = await asyncio.create_subprocess_exec("sleep", "600", start_new_session=True)
    record = json.loads(path.read_text())
    record["identity"]["pid"] = other.pid
    path.write_text(json.dumps(record))

    provider = await machine.provider()

    assert await provider.observe() == ()
    assert other.returncode is None
    assert psutil.Process(other.pid).status() != psutil.STATUS_ZOMBIE
    other.kill()
    await other.wait()


async def test_a_record_from_before_a_reboot_is_stale(machine: Machine) -> None:
    """Pid and start may repeat after a reboot; the boot does not."""
    revision = await machine.revision()
    await leave_running(machine, revision)
    path = machine.places() / "replica.json"
    record = json.loads(path.read_text())
    record["identity"]["boot_id"] = "another boot"
    path.write_text(json.dumps(record))

    provider = await machine.provider()

    assert await provider.observe() == ()
    assert processes_of(machine) == []  # this one carries the replica's id in its environment, so it is ours to end


@pytest.mark.parametrize("content", ["", "{", '{"identity": {}}', '{"identity": 5}'])
async def test_a_record_that_is_half_written_is_no_record(machine: Machine, content: str) -> None:
    """What cannot be proven is ended by what it carries in its environment, and forgotten."""
    revision = await machine.revision()
    await leave_running(machine, revision)
    (machine.places() / "replica.json").write_text(content)

    provider = await machine.provider()

    assert await provider.observe() == ()
    assert processes_of(machine) == []
    assert not machine.places().exists()


async def test_a_replica_that_does_not_answer_is_ended(machine: Machine) -> None:
    """It is the right process, and frozen: nobody can work with it, so its group is killed."""
    revision = await machine.revision()
    await leave_running(machine, revision)
    await freeze(processes_of(machine)[0])

    provider = await machine.provider(ProcessOptions(hello_within=0.5))

    assert (await gone(provider)).reason == "it did not say who it is within 0.5 s"
    assert processes_of(machine) == []


async def test_a_replica_of_the_same_id_elsewhere_is_left_alone(machine: Machine, root: Path) -> None:
    """Two projects on one machine: what one of them clears away is its own."""
    await started(machine, await machine.revision())
    other = Machine(Layout(root / "other", "test"))
    (other.layout.replicas / ONE).mkdir(parents=True)

    provider = await other.provider()

    assert not (other.layout.replicas / ONE).exists()
    assert len(processes_of(machine)) == 1
    await provider.close()


async def test_folders_of_nobody_are_removed(machine: Machine) -> None:
    """A folder without anything in it, and one with a launch that never became a process."""
    (machine.layout.replicas / "e-9").mkdir(parents=True)
    (machine.layout.replicas / "e-8").mkdir()
    (machine.layout.replicas / "e-8" / "launch.json").write_text("{")

    provider = await machine.provider()

    assert await provider.observe() == ()
    assert list(machine.layout.replicas.iterdir()) == []


async def test_what_adopted_replicas_have_is_counted(machine: Machine) -> None:
    """The new control plane does not give the same CPUs away again."""
    revision = await machine.revision(template=Template(cpu=1.5))
    await leave_running(machine, revision)

    provider = await machine.provider(ProcessOptions(cpus=2))
    await provider.apply(revision, frozenset({ONE, TWO}), HINTS)

    assert (await until(provider, Pending, lambda state: "CPUs" in state.reason, TWO)).reason.startswith("not enough")
    await provider.apply(revision, frozenset({TWO}), HINTS)
    await ready(provider, TWO)


async def test_a_drain_goes_on_over_a_restart_of_the_control_plane(machine: Machine) -> None:
    """The new one does not tell a draining replica to stop a second time: that would be an order to end at once."""
    gateway = FakeGateway(machine.layout.worker_socket)
    go_on = machine.layout.root / "go-on"
    code = f"""
        import pathlib, time
        def f():
            print("begun", flush=True)
            while not pathlib.Path({str(go_on)!r}).exists():
                time.sleep(0.01)
            return "finished"
        """
    revision = await machine.revision(code)
    first = await started(machine, revision)
    await gateway.start()
    await gateway.worker()
    job = gateway.give({})
    await machine.logged("begun")
    await first.apply(revision, NONE, Hints(grace=100.0))
    await gateway.until(lambda: gateway.leaving)
    await asyncio.sleep(2 * DRAIN_FIRST)  # by now it has had its signal, too

    await first.close()
    second = await machine.provider()
    draining = await state_of(second)
    await second.apply(revision, NONE, Hints(grace=100.0))
    go_on.touch()
    result = await gateway.result(job)

    assert isinstance(draining, Running)
    assert draining.stage is Stage.DRAINING
    assert result.output is not None
    assert result.output.data == b'"finished"'
    await forgotten(second)
    await gateway.stop()


async def test_somebody_else_at_the_socket_is_not_taken_for_the_replica(machine: Machine) -> None:
    """The process is right, and another one answers where it should: neither is believed."""
    revision = await machine.revision()
    provider = await started(machine, revision)
    await provider.apply(revision, frozenset({ONE, TWO}), HINTS)
    await ready(provider, TWO)
    await provider.close()
    (machine.layout.run / f"{ONE}.s").unlink()
    (machine.layout.run / f"{ONE}.s").symlink_to(machine.layout.run / f"{TWO}.s")

    again = await machine.provider()

    told = await gone(again)
    assert "e-1 was expected" in told.reason
    assert "e-2 answered" in told.reason


def test_a_process_is_adopted_by_its_start_and_not_by_its_pid() -> None:
    """A pid with another start is another process; so is one that has ended."""
    with subprocess.Popen(["sleep", "600"]) as process:
        ticks = start_ticks(process.pid)
        assert ticks is not None
        own = adopt(process.pid, ticks, 0.0)
        assert own is not None
        own.let_go()
        assert adopt(process.pid, ticks + 1, 0.0) is None
        process.kill()
        process.wait()
        assert adopt(process.pid, ticks, 0.0) is None


async def test_signals_to_an_ended_process_go_nowhere() -> None:
    """The descriptor knows that it has ended, whoever has its pid now."""
    process = await asyncio.create_subprocess_exec("sleep", "600", start_new_session=True)
    own = adopt(process.pid, start_ticks(process.pid), 0.0)
    assert own is not None
    process.kill()
    await process.wait()

    own.signal(signal.SIGTERM)
    own.kill_group()
    assert await own.ended() is None
    assert isinstance(Gone("it ended"), Gone)
