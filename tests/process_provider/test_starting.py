"""What stands between a wish and a process: artifacts, disks, CPUs, memory and GPUs."""

import asyncio
import errno
import threading
from typing import NoReturn

import pytest
from tests.full_disk import no_file_grows_beyond
from tests.process_provider.conftest import (
    HINTS,
    ONE,
    Machine,
    WallClock,
    forgotten,
    gone,
    processes_of,
    ready,
    revision_of,
    state_of,
    until,
)

from flashcore.builtin.process import supervised
from flashcore.builtin.process.options import ProcessOptions
from flashcore.hookspecs.providers import Pending
from flashcore.model.declaration import Template
from flashcore.model.names import Digest, ReplicaId

NONE = frozenset[ReplicaId]()
TWO = ReplicaId("e-2")


async def test_an_artifact_that_is_not_in_the_store(machine: Machine) -> None:
    """The digest is named, and what to do."""
    provider = await machine.provider()

    await provider.apply(revision_of(Digest("a" * 64), Template()), frozenset({ONE}), HINTS)
    told = await gone(provider)

    assert told.permanent
    assert "artifact aaaaaaaaaaaa is not in" in told.reason


async def test_an_artifact_that_is_not_what_its_digest_says(machine: Machine) -> None:
    """A store that was tampered with, or a disk that lost bits: nothing of it is run."""
    provider = await machine.provider()
    revision = await machine.revision()
    stored = machine.layout.artifacts / revision.content.artifact
    stored.write_bytes(stored.read_bytes() + b"!")

    await provider.apply(revision, frozenset({ONE}), HINTS)
    told = await gone(provider)

    assert told.permanent
    assert "cannot be unpacked: its content has the digest" in told.reason
    assert list(machine.layout.unpacked.iterdir()) == []


async def test_an_artifact_without_its_handler(machine: Machine) -> None:
    """The file that is missing is named."""
    provider = await machine.provider()

    await provider.apply(revision_of(await machine.artifact({"x.py": b""}), Template()), frozenset({ONE}), HINTS)

    assert "no handler 'handler_e.py'" in (await gone(provider)).reason


async def test_a_full_disk_while_unpacking_is_waited_for(machine: Machine) -> None:
    """Nothing is half there; when there is room again, the replica starts."""
    provider = await machine.provider()
    revision = await machine.revision(f"DATA = {'x' * 10_000!r}\ndef f(): ...")

    with no_file_grows_beyond(5_000):
        await provider.apply(revision, frozenset({ONE}), HINTS)
        pending = await until(provider, Pending, lambda state: state.retry_at is not None)
        assert list(machine.layout.unpacked.iterdir()) == []

    assert "there is no room" in pending.reason
    assert (await ready(provider)).connected


async def test_a_full_disk_while_starting_is_waited_for(machine: Machine) -> None:
    """The provider's own note cannot be written: no process is started that nobody would find again."""
    provider = await machine.provider()
    revision = await machine.revision()
    await provider.apply(revision, frozenset({TWO}), HINTS)
    await ready(provider, TWO)

    with no_file_grows_beyond(10):
        await provider.apply(revision, frozenset({ONE, TWO}), HINTS)
        pending = await until(provider, Pending, lambda state: state.retry_at is not None)
        assert len(processes_of(machine)) == 1

    assert "the process cannot be started" in pending.reason
    assert (await ready(provider)).connected


async def test_a_start_that_waits_can_be_withdrawn(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    """It does not wait for its next try, which never comes here."""

    async def never(*_: object) -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr(WallClock, "sleep_until", never)
    provider = await machine.provider()
    revision = await machine.revision()
    with no_file_grows_beyond(10):
        await provider.apply(revision, frozenset({ONE}), HINTS)
        await until(provider, Pending, lambda state: state.retry_at is not None)

    await provider.apply(revision, NONE, HINTS)

    await forgotten(provider)


async def test_a_close_is_not_kept_by_a_start_that_fails_at_that_moment(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would be tried again and again by a provider that nobody has any more."""
    begun, on = threading.Event(), threading.Event()

    def fail(*_: object) -> NoReturn:
        begun.set()
        on.wait()
        raise OSError(errno.EAGAIN, "Resource temporarily unavailable")

    monkeypatch.setattr(supervised, "spawn", fail)
    provider = await machine.provider(ProcessOptions(cpus=8, warm=False))
    await provider.apply(await machine.revision(), frozenset({ONE}), HINTS)
    await asyncio.to_thread(begun.wait)
    closing = asyncio.ensure_future(provider.close())
    for _ in range(5):  # turns of the loop, in which it is cancelled
        await asyncio.sleep(0)
    on.set()

    await asyncio.wait([closing], timeout=30)

    assert closing.done()


async def test_cpus_that_are_not_there_are_waited_for(machine: Machine) -> None:
    """The machine has two; each replica wants more than one: the second starts when the first has gone."""
    provider = await machine.provider(ProcessOptions(cpus=2))
    revision = await machine.revision(template=Template(cpu=1.5))
    await provider.apply(revision, frozenset({ONE}), HINTS)
    await ready(provider)

    await provider.apply(revision, frozenset({ONE, TWO}), HINTS)
    pending = await until(provider, Pending, lambda state: "CPUs" in state.reason, TWO)
    assert pending.reason == "not enough CPUs: 1.5 needed, 0.5 of 2 free"
    await provider.apply(revision, frozenset({TWO}), HINTS)

    assert (await ready(provider, TWO)).connected


async def test_memory_that_is_not_there_is_waited_for(machine: Machine) -> None:
    """As CPUs are: the wait ends with the event that something was freed, not at a time."""
    provider = await machine.provider(ProcessOptions(memory=2**30))
    revision = await machine.revision(template=Template(memory="600Mi"))
    await provider.apply(revision, frozenset({ONE}), HINTS)
    await ready(provider)

    await provider.apply(revision, frozenset({ONE, TWO}), HINTS)
    pending = await until(provider, Pending, lambda state: "memory" in state.reason, TWO)
    assert pending == Pending("not enough memory: 600 MiB needed, 424 MiB of 1 GiB free", retry_at=None)
    await provider.apply(revision, frozenset({TWO}), HINTS)

    assert (await ready(provider, TWO)).connected


async def test_an_amount_of_memory_that_nobody_can_read_is_told_for_good(machine: Machine) -> None:
    """The declaration is named, and how to write it."""
    provider = await machine.provider()

    await provider.apply(await machine.revision(template=Template(memory="lots")), frozenset({ONE}), HINTS)
    told = await gone(provider)

    assert told.permanent
    assert told.reason == 'memory=\'lots\' is no amount of memory\n  next: write it as in "512Mi" or "4Gi"'


async def test_each_replica_sees_gpus_of_its_own(machine: Machine) -> None:
    """Two of three GPUs are given out, one to each; what is declared without a count is one."""
    provider = await machine.provider(ProcessOptions(gpus=3))
    code = "import os\nprint('gpus', os.environ['CUDA_VISIBLE_DEVICES'])\ndef f(): ..."
    revision = await machine.revision(code, Template(gpu="any"))
    await provider.apply(revision, frozenset({ONE, TWO}), HINTS)
    await ready(provider, ONE)
    await ready(provider, TWO)

    assert sorted(machine.log(name).split("gpus ")[1][0] for name in (ONE, TWO)) == ["0", "1"]


async def test_a_machine_without_gpus_says_so(machine: Machine) -> None:
    """The wish stays; the reason tells what is missing."""
    provider = await machine.provider(ProcessOptions(gpus=0))
    await provider.apply(await machine.revision(template=Template(gpu="H100", gpu_count=2)), frozenset({ONE}), HINTS)

    pending = await until(provider, Pending, lambda state: "GPUs" in state.reason)

    assert pending == Pending("not enough GPUs: 2 needed, 0 of 0 free")
    assert await state_of(provider) == pending
