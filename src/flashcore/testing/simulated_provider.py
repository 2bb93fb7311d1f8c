"""A provider whose replicas are only records: how long each takes to start, and how it fails, is scripted.

provider = SimulatedProvider(clock)
provider.script = lambda replica, revision: Life(ready_after=2.0)
provider.script = by_revision({crashing: Life(fails_after=0.5, reason="ImportError")})
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncGenerator, Callable, Coroutine, Mapping
from dataclasses import dataclass, field, replace
from itertools import count
from typing import Any

from flashcore.hookspecs.providers import Clock, Gone, Hints, Instance, InstanceState, Pending, Running, Stopping
from flashcore.model.errors import NotFound, Unavailable
from flashcore.model.names import InstanceId, ReplicaId, RevisionId
from flashcore.model.revision import Revision
from flashcore.testing.bell import Bell
from flashcore.wire.hello import Stage

NEVER = math.inf


@dataclass(frozen=True, slots=True)
class Life:
    """What becomes of a replica; times in seconds, each from the event before it."""

    runs_after: float = 0.1
    """From being wanted to its process running; NEVER for one that stays pending."""
    pending_reason: str = "waiting for a machine"
    ready_after: float = 0.5
    """From running to its word that it is ready; NEVER for one that keeps loading."""
    fails_after: float = NEVER
    """From running to its word that it cannot serve."""
    ends_after: float = NEVER
    """From running to its end, whatever it was doing."""
    reason: str = "exited with status 1"
    """What is said of a failure or an end."""
    log_tail: tuple[str, ...] = ()
    permanent: bool = False
    stops_after: float = 0.05
    """From being told to stop to its end, if that is sooner than its grace."""
    unwell_after: float = NEVER
    """From running to the moment when probes begin to find it unwell, though it goes on; for probes that look."""


Script = Callable[[ReplicaId, RevisionId], Life]


def by_revision(lives: Mapping[RevisionId, Life], otherwise: Life | None = None) -> Script:
    """A script by which all replicas of a revision live alike."""
    ordinary = otherwise or Life()
    return lambda _replica, revision: lives.get(revision, ordinary)


def _nobody_cares(_replica: ReplicaId) -> None:
    """For a provider that nobody watches."""


def _nothing_to_finish(_replica: ReplicaId, _grace: float) -> float:
    """For replicas that do nothing."""
    return 0.0


@dataclass(slots=True)
class Simulated:
    """One replica of the simulation."""

    instance: Instance
    life: Life
    grace: float = 30.0
    tasks: list[asyncio.Task[None]] = field(default_factory=list)


class SimulatedProvider:
    """A Provider on the running loop's time; with a VirtualLoop that time is virtual."""

    def __init__(
        self,
        clock: Clock,
        script: Script | None = None,
        capabilities: frozenset[str] = frozenset({"individual", "percent_traffic"}),
        places: int | None = None,
    ) -> None:
        self.script: Script = script or (lambda _replica, _revision: Life())
        self.mute = False
        """Whether it tells nobody of changes: they are seen at the next look only."""
        self.away = False
        """Whether it cannot be reached at present."""
        self.places = places
        """How many replicas may run at once; the others stay pending. None for any number."""
        self.started: list[ReplicaId] = []
        """Every replica that was ever wanted, in order."""
        self.told_to_stop: Callable[[ReplicaId], None] = _nobody_cares
        """Told of each running replica that is being stopped, before it is."""
        self.changing: Callable[[ReplicaId], None] = _nobody_cares
        """Told of each replica that is about to change, before it does."""
        self.ended: Callable[[ReplicaId], None] = _nobody_cares
        """Told of each running replica that ends though nobody told it to, before it does."""
        self.finishing: Callable[[ReplicaId, float], float] = _nothing_to_finish
        """Says how many seconds a replica needs for what it works on, when it is told to stop with that grace."""
        self.hints: dict[RevisionId, Hints] = {}
        """What came with the last wish for each revision."""
        self.revisions: dict[RevisionId, Revision] = {}
        """Every revision that was ever wanted; a script may look here what it is."""
        self._clock = clock
        self.capabilities = capabilities
        """See Provider."""
        self._replicas: dict[ReplicaId, Simulated] = {}
        self._printed: dict[ReplicaId, tuple[str, ...]] = {}
        self._numbers = count(1)
        self._bell = Bell()

    async def start(self) -> None:
        """See Provider. What runs goes on running between two lives of a controller."""

    def doubt(self, revision: Revision, count: int) -> str:  # noqa: ARG002  # every revision needs as much
        """See KnowsRoom."""
        if self.places is None or count <= self.places:
            return ""
        return f"{count} replicas need {count} places, and there are {self.places}"

    async def apply(self, revision: Revision, want: frozenset[ReplicaId], hints: Hints) -> None:
        """See Provider."""
        self._require_reachable()
        self.hints[revision.id] = hints
        self.revisions[revision.id] = revision
        mine = {replica for replica, one in self._replicas.items() if one.instance.revision == revision.id}
        for replica in sorted(want - mine):
            self._begin(replica, revision)
        for replica in mine - want:
            self._end(replica, hints.grace)
        self._ring()

    async def observe(self) -> tuple[Instance, ...]:
        """See Provider."""
        self._require_reachable()
        return tuple(one.instance for one in self._replicas.values())

    def changes(self) -> AsyncGenerator[None, None]:
        """See Provider."""
        return self._bell.heard()

    async def logs(self, replica: ReplicaId, *, tail: int, follow: bool) -> AsyncGenerator[str, None]:  # noqa: ARG002  # nothing comes after what is scripted
        """See Provider."""
        if replica not in self._printed:
            raise NotFound(f"there is no replica {replica!r}")
        for line in self._printed[replica][-tail:]:
            yield line

    async def execute(self, replica: ReplicaId, command: tuple[str, ...], timeout: float) -> tuple[int, str]:  # noqa: ARG002  # every command succeeds
        """See Provider."""
        return 0, ""

    async def close(self) -> None:
        """See Provider. Nothing ends."""

    # What a test does to it

    def kill(self, replica: ReplicaId, reason: str = "killed by signal 9") -> None:
        """Its process ends now; nothing happens to one that has none."""
        one = self._replicas[replica]
        if isinstance(one.instance.state, Stopping):
            self.vanish(replica)
        elif isinstance(one.instance.state, Running):
            self._stop_tasks(replica)
            self._set(replica, Gone(reason, exit_code=-9, log_tail=one.life.log_tail))

    def restart_in_place(self, replica: ReplicaId) -> None:
        """Its process ends, and another one, with a life by the present script, begins in its place."""
        one = self._replicas[replica]
        self.changing(replica)
        if isinstance(one.instance.state, Running):
            self.ended(replica)
        self._stop_tasks(replica)
        one.life = self.script(replica, one.instance.revision)
        self._spawn(replica, self._live(replica))

    def vanish(self, replica: ReplicaId) -> None:
        """It is gone without a word: a machine that was lost."""
        self.changing(replica)
        if isinstance(self._replicas[replica].instance.state, Running | Stopping):
            self.ended(replica)
        self._stop_tasks(replica)
        del self._replicas[replica]
        self._ring()

    def reach(self, *, away: bool) -> None:
        """Whether it can be reached from now on."""
        self.away = away
        self._ring()

    def life(self, replica: ReplicaId) -> Life | None:
        """How a replica lives; None for one that is not there."""
        one = self._replicas.get(replica)
        return one.life if one else None

    def state(self, replica: ReplicaId) -> InstanceState | None:
        """How a replica is; None for one that is not there."""
        one = self._replicas.get(replica)
        return one.instance.state if one else None

    def revision_of(self, replica: ReplicaId) -> RevisionId | None:
        """The revision of a replica; None for one that is not there."""
        one = self._replicas.get(replica)
        return one.instance.revision if one else None

    def states(self) -> dict[ReplicaId, InstanceState]:
        """Everything there is."""
        return {replica: one.instance.state for replica, one in self._replicas.items()}

    def running(self) -> frozenset[ReplicaId]:
        """Replicas whose process runs, stopping ones included."""
        return frozenset(replica for replica, state in self.states().items() if isinstance(state, Running | Stopping))

    def _begin(self, replica: ReplicaId, revision: Revision) -> None:
        life = self.script(replica, revision.id)
        instance = Instance(revision.content.endpoint, replica, revision.id, Pending(life.pending_reason))
        self._replicas[replica] = Simulated(instance, life)
        self._printed[replica] = life.log_tail
        self.started.append(replica)
        self._spawn(replica, self._live(replica))

    def _end(self, replica: ReplicaId, grace: float) -> None:
        state = self._replicas[replica].instance.state
        if isinstance(state, Stopping):
            return
        self._stop_tasks(replica)
        if isinstance(state, Running):
            self.told_to_stop(replica)
            needed = max(self.finishing(replica, grace), self._replicas[replica].life.stops_after)
            self._set(replica, Stopping(self._clock.now()))
            self._spawn(replica, self._finish(replica, min(grace, needed)))
        else:
            del self._replicas[replica]

    async def _live(self, replica: ReplicaId) -> None:
        life = self._replicas[replica].life
        if life.runs_after == NEVER:
            return
        await asyncio.sleep(life.runs_after)
        while self.places is not None and len(self.running()) >= self.places:  # noqa: ASYNC110  # as a scheduler that looks every second
            await asyncio.sleep(1.0)
        born = self._clock.now()
        running = Running(
            InstanceId(f"life-{next(self._numbers)}"), Stage.LOADING, born, address=f"unix:/run/{replica}"
        )
        self._set(replica, running)
        moments = sorted(
            ((life.ends_after, "end"), (life.fails_after, "fail"), (life.ready_after, "ready")),
            key=lambda pair: pair[0],
        )
        for after, what in moments:
            if after == NEVER:
                return
            await self._clock.sleep_until(born + after)
            if not self._meet(replica, running, what, life):
                return

    def _meet(self, replica: ReplicaId, running: Running, what: str, life: Life) -> bool:
        """One moment of a life; whether it goes on."""
        if what == "ready":
            self._set(replica, replace(running, stage=Stage.READY))
            return True
        if what == "fail":
            self._set(replica, replace(running, stage=Stage.FAILED, detail=life.reason))
            self._spawn(replica, self._finish(replica, 0.01))
            return False
        self._set(replica, Gone(life.reason, life.permanent, 1, life.log_tail))
        return False

    async def _finish(self, replica: ReplicaId, after: float) -> None:
        await asyncio.sleep(after)
        one = self._replicas.get(replica)
        if one is None:
            return
        if isinstance(one.instance.state, Stopping):
            del self._replicas[replica]
            self._ring()
        else:
            self._set(replica, Gone(one.life.reason, one.life.permanent, 1, one.life.log_tail))

    def _set(self, replica: ReplicaId, state: InstanceState) -> None:
        self.changing(replica)
        one = self._replicas[replica]
        if isinstance(state, Gone) and isinstance(one.instance.state, Running):
            self.ended(replica)
        one.instance = replace(one.instance, state=state)
        self._ring()

    def _spawn(self, replica: ReplicaId, work: Coroutine[Any, Any, None]) -> None:
        self._replicas[replica].tasks.append(asyncio.get_running_loop().create_task(work))

    def _stop_tasks(self, replica: ReplicaId) -> None:
        one = self._replicas[replica]
        for task in one.tasks:
            if task is not asyncio.current_task():
                task.cancel()
        one.tasks.clear()

    def _require_reachable(self) -> None:
        if self.away:
            raise Unavailable("the simulated provider is away")

    def _ring(self) -> None:
        if not self.mute:
            self._bell.ring()
