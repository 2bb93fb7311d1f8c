"""Q36: a queue to zero and back, with jobs that come at every moment."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from hypothesis import example, given, settings
from hypothesis import strategies as st

from flashcore.hookspecs.providers import Running
from flashcore.model.declaration import Bounds, Policy
from flashcore.model.names import EndpointName, ReplicaId, RevisionId
from flashcore.model.parts import PartRef
from flashcore.model.table import EndpointSignals, SideSignals
from flashcore.testing.scenes import watched
from flashcore.testing.simulated_provider import Life
from flashcore.testing.simulation import World, entry_of
from flashcore.wire.hello import Stage

HELLO = EndpointName("hello")
IDLE = 10.0
"""Seconds with nothing to do after which the endpoint sleeps."""
START = Life(runs_after=0.5, ready_after=1.5)
SLACK = 0.5
"""Seconds that news may take: between gateway and controller, and until the table is in use. Looks are STEP apart."""
STEP = 0.1
WORK = 0.3


@dataclass
class Job:
    """One job, with the moments of its life."""

    arrived: float
    low: bool = False
    begun: float | None = None
    replica: ReplicaId | None = None


@dataclass
class Queue:
    """A gateway's side: hands jobs to replicas that its table lists, and tells what it sees."""

    world: World
    jobs: list[Job] = field(default_factory=list)
    last: EndpointSignals | None = None

    def submit(self, *, low: bool = False) -> None:
        """A job comes."""
        self.jobs.append(Job(self.world.elapsed(), low))
        self.look()

    def look(self) -> None:
        """Hand out what can be handed out, then tell."""
        now = self.world.elapsed()
        (gateway,) = self.world.dataplane.twins.values()
        route = next((route for route in gateway.table.endpoints if route.name == HELLO), None)
        if route is not None and not route.held:
            listed = [one.replica for side in route.sides if not side.preview for one in side.replicas]
            able = [replica for replica in listed if self.is_there(replica)]
            for job in self.jobs:
                if job.begun is None and able:
                    job.begun, job.replica = now, able[0]
        self.tell(now)

    def is_there(self, replica: ReplicaId) -> bool:
        """Whether a worker of that name holds a connection."""
        state = self.world.provider.state(replica)
        return isinstance(state, Running) and state.stage is Stage.READY

    def tell(self, now: float) -> None:
        """As a gateway does: when something has changed, ages by the second."""
        waiting = [job for job in self.jobs if job.begun is None and not job.low]
        working = sum(job.begun is not None and now < job.begun + WORK for job in self.jobs)
        said = EndpointSignals(
            (SideSignals(RevisionId(""), in_flight=working),),
            queued=len(waiting),
            oldest_queued=float(int(now - waiting[0].arrived)) if waiting else 0.0,
        )
        if said != self.last:
            self.last = said
            self.world.dataplane.report({HELLO: (said,)})

    def finishing(self, replica: ReplicaId, grace: float) -> float:
        """Seconds that a replica which is told to stop needs for what it works on."""
        now = self.world.elapsed()
        mine = [job.begun + WORK - now for job in self.jobs if job.replica == replica and job.begun is not None]
        needed = max((left for left in mine if left > 0), default=0.0)
        assert needed <= grace
        return needed

    async def run(self) -> None:
        """Look again and again."""
        while True:
            await asyncio.sleep(STEP)
            self.look()


async def sleeping_endpoint(world: World) -> Queue:
    """An endpoint that is ready, and sleeps when it has nothing to do."""
    world.provider.script = lambda _replica, _revision: START
    queue = Queue(world)
    world.provider.finishing = queue.finishing
    policy = Policy(
        replicas=Bounds(0, 3),
        scaler=PartRef("queue_delay", options={"seconds": 4.0}),
        probe=PartRef("scripted"),
        idle_timeout=IDLE,
    )
    await world.deploy_entry(entry_of("hello", 1, policy, max_concurrency=50))
    await world.ready("hello")
    return queue


gaps = st.one_of(st.floats(0.0, 2.5 * IDLE), st.floats(IDLE - 0.5, IDLE + 2.0))


@given(gaps=st.lists(gaps, min_size=1, max_size=12))
@example(gaps=[n / 20 for n in range(196, 236, 4)])
@settings(max_examples=40, deadline=None)
def test_no_job_waits_for_longer_than_a_start(gaps: list[float]) -> None:
    """Q36: whether it comes while a replica works, idles, is told to stop, is gone, or starts for another one."""

    async def scenario(world: World) -> None:
        queue = await sleeping_endpoint(world)
        looking = asyncio.create_task(queue.run())
        for gap in gaps:
            await asyncio.sleep(gap)
            queue.submit()
        await asyncio.sleep(START.runs_after + START.ready_after + 2 * SLACK)
        waits = [(job.begun or world.elapsed()) - job.arrived for job in queue.jobs]
        assert max(waits) <= START.runs_after + START.ready_after + SLACK, waits
        await asyncio.sleep(2 * IDLE)
        assert world.provider.states() == {}, "it sleeps again"
        looking.cancel()

    watched(scenario)


def test_jobs_of_low_priority_wake_nobody_and_are_done_when_somebody_is_there() -> None:
    """Q04: alone they wait for as long as it takes; then they run beside the others."""

    async def scenario(world: World) -> None:
        queue = await sleeping_endpoint(world)
        looking = asyncio.create_task(queue.run())
        await asyncio.sleep(3 * IDLE)
        assert world.provider.states() == {}
        for _ in range(5):
            queue.submit(low=True)
        await asyncio.sleep(10 * IDLE)
        assert world.provider.states() == {}
        queue.submit()
        await asyncio.sleep(START.runs_after + START.ready_after + SLACK)
        assert all(job.begun is not None for job in queue.jobs)
        looking.cancel()

    watched(scenario)
