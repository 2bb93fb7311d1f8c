"""When replicas are asked, and what becomes of late, wrong and missing answers."""

import asyncio
from collections import Counter
from typing import Any

import pytest

from flashcore.control.probing import FAST, SLOWEST_FACTOR
from flashcore.hookspecs.probes import Answer, Finding, ProbeTarget
from flashcore.model.declaration import ProbePolicy
from flashcore.model.deployment import DeploymentStatus
from flashcore.model.names import ReplicaId
from flashcore.model.parts import PartRef
from flashcore.testing.scenes import first, watched
from flashcore.testing.simulated_provider import NEVER, Life
from flashcore.testing.simulation import World, simulate


class Asked:
    """A probe that writes down when it is asked, and answers after a while, or not at all."""

    def __init__(self, world: World, takes: float = 0.0) -> None:
        self.world = world
        self.takes = takes
        self.at: list[tuple[ReplicaId, float]] = []
        self.running = 0
        self.most = 0
        self.finding = Finding(Answer.OK)
        self._asked = asyncio.Event()

    async def asked_again(self) -> None:
        """Return when the next question comes."""
        self._asked.clear()
        await self._asked.wait()

    async def probe(self, target: ProbeTarget, timeout: float) -> Finding:
        """Take the time that was set."""
        self.at.append((target.replica, self.world.clock.now()))
        self._asked.set()
        self.running += 1
        self.most = max(self.most, self.running)
        try:
            await asyncio.sleep(self.takes)
        finally:
            self.running -= 1
        return self.finding

    def gaps(self) -> list[float]:
        """Seconds between one question and the next to the same replica."""
        last: dict[ReplicaId, float] = {}
        found = []
        for replica, at in self.at:
            if replica in last:
                found.append(at - last[replica])
            last[replica] = at
        return found


def asked(world: World, takes: float = 0.0) -> Asked:
    """Let the world's endpoints be asked by such a probe."""
    probe = Asked(world, takes)
    world.parts.probes.made["asked"] = lambda: probe
    return probe


PROBE = PartRef("asked")


def test_a_steady_replica_is_asked_once_in_an_interval() -> None:
    """Give or take a tenth."""

    async def scenario(world: World) -> None:
        probe = asked(world)
        await first(world, 2, probe=PROBE, health=ProbePolicy(interval=10.0))
        await asyncio.sleep(600)
        assert all(9 <= gap <= 11 for gap in probe.gaps())
        assert 100 < len(probe.at) < 140

    watched(scenario)


def test_s51_replicas_that_are_made_together_are_not_asked_together() -> None:
    """S51: a hundred of them, over their interval."""

    async def scenario(world: World) -> None:
        probe = asked(world)
        await first(world, 100, probe=PROBE, health=ProbePolicy(interval=10.0))
        await asyncio.sleep(300)
        seconds = Counter(int(at) for _, at in probe.at)
        assert max(seconds.values()) < 30

    watched(scenario)


def test_a_replica_whose_answers_change_is_asked_more_often() -> None:
    """Until it is known what it is; a failed one ever more seldom."""

    async def scenario(world: World) -> None:
        probe = asked(world)
        await first(world, 1, probe=PROBE, health=ProbePolicy(interval=10.0, failed_terminal=False))
        await asyncio.sleep(30)
        probe.at.clear()
        probe.finding = Finding(Answer.FAILING, "status 500")
        await world.until("hello", lambda view: view.ready == 0, 60)
        assert min(probe.gaps()) < 3.0

    simulate(scenario)


def test_e61_there_is_never_more_than_one_question_to_a_replica() -> None:
    """E61: though answers take longer than the interval."""

    async def scenario(world: World) -> None:
        probe = asked(world, takes=4.0)
        await first(world, 1, probe=PROBE, health=ProbePolicy(interval=1.0, timeout=5.0))
        await asyncio.sleep(60)
        assert probe.most == 1

    watched(scenario)


def test_s7_an_answer_that_takes_too_long_is_a_failure() -> None:
    """S7: with its cause."""

    async def scenario(world: World) -> None:
        asked(world, takes=3600.0)
        await first(world, 1, probe=PROBE, health=ProbePolicy(interval=1.0, timeout=2.0))
        view = await world.until("hello", lambda view: view.ready == 0, 60)
        assert "no answer within 2 s" in view.reason

    simulate(scenario)


def test_a_probe_that_raises_is_a_failure_with_its_words() -> None:
    """Whatever it raises."""

    class Raising:
        async def probe(self, target: ProbeTarget, timeout: float) -> Finding:
            raise ConnectionRefusedError("connection refused")

    async def scenario(world: World) -> None:
        world.parts.probes.made["raising"] = Raising
        await first(world, 1, probe=PartRef("raising"), health=ProbePolicy(interval=1.0))
        view = await world.until("hello", lambda view: view.ready == 0, 60)
        assert "ConnectionRefusedError: connection refused" in view.reason

    simulate(scenario)


NO_ANSWER: Any = "ok"


@pytest.mark.parametrize("answer", [None, True, Answer.OK, Finding(NO_ANSWER)], ids=repr)
def test_a_probe_that_answers_nonsense_is_a_failure_that_says_so(answer: object) -> None:
    """Who forgets to return anything is told so, and is asked again."""

    class Forgetful:
        async def probe(self, target: ProbeTarget, timeout: float) -> Any:
            return answer

    async def scenario(world: World) -> None:
        world.parts.probes.made["forgetful"] = Forgetful
        await first(world, 1, probe=PartRef("forgetful"), health=ProbePolicy(interval=1.0))
        view = await world.until("hello", lambda view: view.ready == 0, 60)
        assert f"the probe must give a Finding with an Answer, not {answer!r}" in view.reason

    simulate(scenario)


def test_s32_an_answer_about_an_earlier_instance_is_thrown_away() -> None:
    """S32: the process was started again while the question was under way."""

    async def scenario(world: World) -> None:
        probe = asked(world, takes=1.0)
        await first(world, 1, probe=PROBE, health=ProbePolicy(interval=2.0, failure_threshold=1))
        probe.finding = Finding(Answer.FAILING, "of the old instance")
        await probe.asked_again()
        (replica,) = world.provider.states()
        world.provider.restart_in_place(replica)
        await asyncio.sleep(0.2)
        probe.finding = Finding(Answer.OK)
        await world.ready("hello", 5)
        await asyncio.sleep(60)
        assert "replica.unhealthy" not in world.kinds()

    watched(scenario)


def test_a_failed_replica_that_is_kept_is_asked_ever_more_seldom() -> None:
    """Up to eight intervals; it is kept because nobody knows how its neighbour's heir will do."""

    async def scenario(world: World) -> None:
        probe = asked(world)
        await first(world, 3, probe=PROBE, health=ProbePolicy(interval=1.0))
        world.provider.script = lambda _replica, _revision: Life(runs_after=NEVER)
        probe.finding = Finding(Answer.FAILING, "status 500")
        await asyncio.sleep(120)
        assert world.kinds("replica.failed") == ["replica.failed"] * 3
        probe.at.clear()
        await asyncio.sleep(120)
        assert all(SLOWEST_FACTOR * 0.9 <= gap <= SLOWEST_FACTOR * 1.1 for gap in probe.gaps())
        assert len(probe.gaps()) > 10

    simulate(scenario)


def test_while_it_warms_up_a_replica_is_asked_often_if_it_does_not_speak() -> None:
    """And not at all while it says that it is loading."""

    async def scenario(world: World) -> None:
        probe = asked(world)
        world.provider.script = lambda _replica, _revision: Life(ready_after=50)
        await world.deploy("hello", 1, probe=PROBE, health=ProbePolicy(interval=30.0))
        await asyncio.sleep(40)
        assert probe.at == []
        await world.ready("hello")
        assert FAST < 30.0

    simulate(scenario)


def test_a_probe_that_cannot_be_made_is_said() -> None:
    """The plugin is gone since the deploy: what runs goes on, and the status names it."""

    async def scenario(world: World) -> None:
        asked(world)
        await first(world, 1, probe=PROBE, health=ProbePolicy(interval=1.0))
        await asyncio.sleep(5)
        del world.parts.probes.made["asked"]
        await world.restart()
        view = await world.until("hello", lambda view: view.status is DeploymentStatus.DEGRADED, 60)
        assert "probe 'asked'" in view.reason
        assert view.ready == 1

    watched(scenario)
