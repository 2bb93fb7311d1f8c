"""The provider `process`: replicas are processes of this machine, and outlive the control plane that started them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from itertools import islice
from pathlib import Path

from flashcore.builtin.process.again import find_again, remove
from flashcore.builtin.process.command import run_beside
from flashcore.builtin.process.footprint import LEAST_MEMORY, memory_of
from flashcore.builtin.process.ledger import Share, need_of
from flashcore.builtin.process.options import ProcessOptions
from flashcore.builtin.process.places import log_of, logs_folder, older
from flashcore.builtin.process.supervised import SupervisedReplica
from flashcore.builtin.process.tail import follow as followed
from flashcore.builtin.process.tail import last_lines
from flashcore.builtin.process.workshop import Workshop
from flashcore.hookspecs.providers import Hints, Instance, ProviderContext
from flashcore.model.errors import NotFound
from flashcore.model.layout import Layout
from flashcore.model.names import ReplicaId, RevisionId
from flashcore.model.revision import Revision
from flashcore.worker.control import require_own_directory

ADOPT_WITHIN = 10.0
"""Seconds in which a process that was found running has to say who it is: it has done so before."""


class ProcessProvider:
    """Belongs to one event loop."""

    capabilities = frozenset({"individual", "percent_traffic", "exec_probe"})

    def __init__(self, context: ProviderContext, options: ProcessOptions) -> None:
        self._layout = context.layout
        self._options = options
        self._workshop = Workshop(context, options, self._changed)
        self._replicas: dict[ReplicaId, SupervisedReplica] = {}
        self._unwanted: set[ReplicaId] = set()
        self._over: set[ReplicaId] = set()
        """Of which nothing is left but what is known of them."""
        self._standby: set[RevisionId] = set()
        """Of which there may be a replica any moment: their warm parents stay."""
        self._forgetting: set[asyncio.Task[None]] = set()
        self._listeners: set[asyncio.Event] = set()

    async def start(self) -> None:
        """Find again what an earlier life left running, and clear away what is left of the rest."""
        await asyncio.to_thread(require_own_directory, self._layout.run)
        found = await find_again(self._layout)
        for one in found:
            launch = one.launch
            replica = SupervisedReplica(launch.endpoint, launch.replica, launch.revision, self._workshop)
            self._workshop.ledger.note(launch.replica, Share(launch.cpus, launch.gpus, launch.memory))
            self._replicas[launch.replica] = replica
            replica.adopt(launch, one.process, min(ADOPT_WITHIN, self._options.hello_within))
        await asyncio.gather(*(replica.heard() for replica in self._replicas.values()))
        await self._workshop.families.sweep(one.launch.revision for one in found)
        await self._workshop.code.tidy(one.launch.artifact for one in found)
        await self._workshop.environments.tidy(self._options.unused_environments)

    async def apply(self, revision: Revision, want: frozenset[ReplicaId], hints: Hints) -> None:
        """Start what is missing, let end what is too much."""
        (self._standby.add if hints.standby else self._standby.discard)(revision.id)
        present = {name for name, replica in self._replicas.items() if replica.revision == revision.id}
        for name in present - want - self._unwanted:
            self._let_end(self._replicas[name], hints.grace)
        for name in sorted(want - self._replicas.keys()):
            replica = SupervisedReplica(revision.content.endpoint, name, revision.id, self._workshop)
            self._replicas[name] = replica
            replica.start(revision, hints)
        if not want and not present:
            await self._leave(revision.id)
        self._changed()

    async def observe(self) -> tuple[Instance, ...]:
        """Every replica, wanted or not."""
        return tuple(replica.instance for replica in self._replicas.values())

    async def changes(self) -> AsyncIterator[None]:
        """Yields at once, and after each change of any replica; changes that come together are one."""
        changed = asyncio.Event()
        changed.set()  # whoever looked before it listened may have missed something
        self._listeners.add(changed)
        try:
            while True:
                await changed.wait()
                changed.clear()
                yield
        finally:
            self._listeners.discard(changed)

    def doubt(self, revision: Revision, count: int) -> str:
        """See KnowsRoom. Where no memory is declared, what replicas of the revision take now is what one takes."""
        used = sorted(memory_of(pid) for pid in self._some_processes(revision.id))
        each = used[len(used) // 2] if used else LEAST_MEMORY
        return self._workshop.ledger.doubt(need_of(revision.content.template), count, max(each, LEAST_MEMORY))

    async def logs(self, replica: ReplicaId, *, tail: int, follow: bool) -> AsyncIterator[str]:
        """Lines of output. Raises NotFound for a replica that has left none."""
        log = log_of(self._layout, replica)
        if not log.is_file():
            raise NotFound(f"there is no log of replica {replica}", next_step="see `flashcore status`")
        if not follow:
            for line in await asyncio.to_thread(last_lines, log, tail):
                yield line
            return
        async for line in followed(log, tail, lambda: replica not in self._replicas or self._replicas[replica].over):
            yield line

    async def execute(self, replica: ReplicaId, command: tuple[str, ...], timeout: float) -> tuple[int, str]:
        """Run a command beside a replica; its exit status and output. Raises NotFound, DeadlineExceeded, OSError."""
        known = self._replicas.get(replica)
        if known is None or known.pid is None:
            raise NotFound(f"replica {replica} does not run here")
        return await run_beside(known.places, known.pid, command, timeout)

    async def close(self) -> None:
        """Let go of everything; the processes go on."""
        for task in tuple(self._forgetting):
            task.cancel()
        await asyncio.gather(*(replica.let_go() for replica in self._replicas.values()))
        self._replicas.clear()
        await asyncio.gather(*self._forgetting, return_exceptions=True)
        await self._workshop.families.close()

    def _some_processes(self, revision: RevisionId) -> list[int]:
        """Of replicas of the revision: looking at one takes a millisecond, and a few tell."""
        pids = (replica.pid for replica in self._replicas.values() if replica.revision == revision)
        return list(islice((pid for pid in pids if pid is not None), 5))

    def _changed(self) -> None:
        for listener in self._listeners:
            listener.set()

    def _let_end(self, replica: SupervisedReplica, grace: float) -> None:
        self._unwanted.add(replica.id)
        replica.stop(grace)
        task = asyncio.get_running_loop().create_task(self._forget(replica))
        self._forgetting.add(task)
        task.add_done_callback(self._forgetting.discard)

    async def _leave(self, revision: RevisionId) -> None:
        """There is no replica of the revision any more: what it was forked from goes, unless the next one may come."""
        if revision not in self._standby:
            await self._workshop.families.leave(revision)

    async def _forget(self, replica: SupervisedReplica) -> None:
        await replica.wait()
        await asyncio.to_thread(remove, replica.places)
        self._over.add(replica.id)
        if self._over >= {other.id for other in self._replicas.values() if other.revision == replica.revision}:
            # Before it is said that nothing is left.
            await self._leave(replica.revision)
        del self._replicas[replica.id]
        self._unwanted.discard(replica.id)
        self._over.discard(replica.id)
        await asyncio.to_thread(_drop_old_logs, self._layout, self._options.kept_logs, frozenset(self._replicas))
        self._changed()


def _drop_old_logs(layout: Layout, kept: int, running: Iterable[ReplicaId]) -> None:
    """Keep the newest logs of replicas that are gone. Blocks for milliseconds."""
    alive = {f"{replica}.log" for replica in running}
    dead = [path for path in logs_folder(layout).glob("*.log") if path.name not in alive]
    for path in sorted(dead, key=_age)[kept:]:
        path.unlink(missing_ok=True)
        older(path).unlink(missing_ok=True)


def _age(path: Path) -> float:
    try:
        return -path.stat().st_mtime
    except OSError:
        return 0.0
