"""Playing a scenario once: a world is built for it, its actions happen at their times, it comes to rest."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
from collections.abc import Coroutine, Mapping
from random import Random
from typing import Any

from flashcore.control.readmodel import DeploymentView
from flashcore.hookspecs.probes import Answer, Finding, ProbeTarget
from flashcore.hookspecs.providers import Running
from flashcore.model.deployment import DeploymentStatus
from flashcore.model.errors import DeadlineExceeded, FlashcoreError, NotFound, Refused
from flashcore.model.names import EndpointName, ReplicaId, RevisionId
from flashcore.model.parts import PartRef
from flashcore.testing.dataplane import TwinGateway
from flashcore.testing.in_time import InTime
from flashcore.testing.invariants import Invariants
from flashcore.testing.scenario.consistent import consistent
from flashcore.testing.scenario.reading import SETTLED, policy_from
from flashcore.testing.scenario.recording import Recording
from flashcore.testing.scenario.traffic import Traffic
from flashcore.testing.scenario.values import WORLDLY, Action, Endpoint, Scenario, Version, What
from flashcore.testing.simulated_provider import NEVER, Life
from flashcore.testing.simulation import ScriptedProbe, World, entry_of

TICK = 1.0
"""Seconds between two reports of the gateways."""
PATIENCE = 600.0
"""Seconds in which nothing was written after which nothing more is waited for."""
_PROBE = PartRef("scripted")


class WorldProbe(ScriptedProbe):
    """Finds replicas as their lives have it, and nobody while it is cut off."""

    def __init__(self, world: World) -> None:
        super().__init__()
        self.cut_off = False
        self._world = world

    def suspects(self, replica: ReplicaId) -> bool:
        """Whether it says anything but ok of a replica."""
        return self.cut_off or replica in self.answers or self._is_unwell(replica)

    async def probe(self, target: ProbeTarget, timeout: float) -> Finding:
        """See Probe."""
        if self.cut_off:
            return Finding(Answer.FAILING, f"no answer within {timeout:g} s: the prober is cut off")
        if self._is_unwell(target.replica):
            return Finding(Answer.FAILING, "status 500")
        return self.answers.get(target.replica, Finding(Answer.OK))

    def _is_unwell(self, replica: ReplicaId) -> bool:
        life, state = self._world.provider.life(replica), self._world.provider.state(replica)
        if life is None or life.unwell_after == NEVER or not isinstance(state, Running):
            return False
        return self._world.clock.now() >= state.since + life.unwell_after


class Play:
    """One run of a scenario in a world."""

    def __init__(self, scenario: Scenario, seed: int, world: World) -> None:
        self.scenario = scenario
        self.seed = seed
        self.world = world
        self.invariants = Invariants(world)
        self.recording = Recording(world, self.invariants)
        self.stuck: list[str] = []
        """Endpoints that did not come to rest, each with what it was doing."""
        self.refused: list[str] = []
        """Actions that were refused, each with why."""
        self._endpoints: Mapping[str, Endpoint] = {one.name: one for one in scenario.endpoints}
        self._up = asyncio.Event()
        self._up.set()
        self._background: set[asyncio.Task[None]] = set()
        self._probe = WorldProbe(world)
        self.traffic = Traffic(
            {EndpointName(load.endpoint): load for load in scenario.loads},
            world.elapsed,
            world.provider,
            world.dataplane,
            self._version_of,
        )
        self._furnish()

    def _furnish(self) -> None:
        world = self.world
        world.probe = self._probe
        world.isolation = InTime()
        world.provider.script = self._life
        world.provider.places = self.scenario.places
        if self.scenario.hard_quota:
            world.provider.capabilities = frozenset({"individual", "quota"})
        world.dataplane.twins.clear()
        for number in range(1, self.scenario.gateways + 1):
            world.dataplane.twins[f"gateway-{number}"] = TwinGateway(f"gateway-{number}")
        world.parts.strategies.around = lambda ref, made: consistent(made, ref.name, self.invariants.breach)

    def last_view(self, endpoint: str) -> DeploymentView | None:
        """An endpoint as it is; None when nothing is left of it."""
        known = self.world.controller.endpoints()
        return self.world.view(endpoint) if endpoint in known else None

    # How replicas behave

    def _life(self, replica: ReplicaId, revision: RevisionId) -> Life:
        version, dice = self._version_of(revision)[0], Random(f"{self.seed} {replica}")  # noqa: S311  # to be repeated
        fails = dice.random() < version.fails
        runs, ready, stops = version.runs.draw(dice), version.ready.draw(dice), version.stops.draw(dice)
        if fails:
            return Life(runs, ready_after=NEVER, fails_after=ready, reason=version.reason, permanent=version.permanent)
        return Life(
            runs,
            ready_after=ready,
            ends_after=ready + version.crashes.draw(dice),
            unwell_after=ready + version.unwell.draw(dice),
            stops_after=stops,
            reason=version.reason,
        )

    def _version_of(self, revision: RevisionId) -> tuple[Version, int]:
        content = self.world.provider.revisions[revision].content
        endpoint = self._endpoints[content.endpoint]
        number = int(content.template.env["VERSION"])
        return endpoint.versions.get(number, Version()), endpoint.max_concurrency

    # The course of events

    async def run(self) -> None:
        """All of it."""
        ticking = asyncio.get_running_loop().create_task(self._tick()) if self.scenario.loads else None
        try:
            async with asyncio.timeout(self.scenario.timeout):
                for action in self.scenario.actions:
                    await self._await_turn(action)
                    await self._act(action)
                await self._until(self.scenario.duration)
                await asyncio.gather(*self._background)
                await self._come_to_rest()
        except TimeoutError:
            self._say_stuck(f"after {self.scenario.timeout:g} s")
        self.traffic.advance()
        self.recording.note_load(self.traffic)
        if ticking is not None:
            ticking.cancel()

    async def _await_turn(self, action: Action) -> None:
        await self._until(action.at)
        await self._up.wait()
        if action.when:
            await self._await_status(action)
        await self._up.wait()

    async def _await_status(self, action: Action) -> None:
        def wanted(view: DeploymentView) -> bool:
            return view.settled if action.when == SETTLED else view.status.value == action.when

        while not wanted(self.world.view(action.endpoint)):
            if not await self._something_happens():
                return

    async def _something_happens(self) -> bool:
        """Wait for the next commit, or until there has been none for long."""
        before = self.invariants.commits
        for _ in range(int(PATIENCE / TICK)):
            await asyncio.sleep(TICK)
            if self.invariants.commits != before:
                return True
        return False

    async def _until(self, at: float) -> None:
        if (left := at - self.world.elapsed()) > 0:
            await asyncio.sleep(left)

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(TICK)
            self.traffic.advance()
            self.recording.note_load(self.traffic)
            self.world.dataplane.report(self.traffic.signals())

    async def _act(self, action: Action) -> None:
        self.recording.happen(_in_words(action), action.endpoint if action.do not in WORLDLY else "")
        try:
            await self._doings(action)
        except (Refused, NotFound, DeadlineExceeded) as refusal:
            self._note_refusal(action, refusal)

    def _note_refusal(self, action: Action, refusal: FlashcoreError) -> None:
        self.refused.append(f"{_in_words(action)}: {refusal.message}")
        self.recording.happen(f"refused: {refusal.message}", action.endpoint)

    async def _doings(self, action: Action) -> None:
        controller, endpoint = self.world.controller, action.endpoint
        match action.do:
            case What.DEPLOY:
                await self._deploy(action)
            case What.SCALE:
                await controller.scale(endpoint, action.replicas)
            case What.ABORT:
                await controller.abort(endpoint)
                await self._abort_again(endpoint)
            case What.KILL_REPLICA | What.LOSE_REPLICA | What.UNWELL_REPLICA:
                self._harm(action)
            case What.KILL_CONTROLLER:
                self._behind(self._kill_controller(action.seconds))
                await asyncio.sleep(0)
            case What.CLOCK_JUMP:
                self.world.clock.jump(action.seconds)
            case What.PARTITION:
                self._behind(self._cut_off(action))
            case What.PLACES:
                self.world.provider.places = action.places
            case _:
                await getattr(controller, action.do.value)(endpoint)

    async def _deploy(self, action: Action) -> None:
        endpoint = self._endpoints[action.endpoint]
        changed = policy_from(action.policy, "policy")
        policy = dataclasses.replace(
            endpoint.policy, probe=_PROBE, **{key: getattr(changed, key) for key in action.policy}
        )
        await self.world.deploy_entry(
            entry_of(
                endpoint.name,
                action.version,
                policy,
                resource=endpoint.resource,
                max_concurrency=endpoint.max_concurrency,
            )
        )

    async def _abort_again(self, endpoint: str) -> None:
        """I8: who aborts twice has aborted once."""
        before = self.world.view(endpoint).rollout
        with contextlib.suppress(Refused):
            await self.world.controller.abort(endpoint)
        after = self.world.view(endpoint).rollout
        if before is not None and after is not None and before.generation != after.generation:
            self.invariants.breach(f"I8: aborting {endpoint} twice began another rollout")

    def _harm(self, action: Action) -> None:
        replicas = self._running(action.endpoint)
        if not replicas:
            return
        replica = replicas[action.replica % len(replicas)]
        if action.do is What.KILL_REPLICA:
            self.world.provider.kill(replica)
        elif action.do is What.LOSE_REPLICA:
            self.world.provider.vanish(replica)
        else:
            self._probe.fail(replica)
            if action.seconds:
                self._behind(self._recover(replica, action.seconds))

    def _running(self, endpoint: str) -> list[ReplicaId]:
        mine = [
            replica
            for replica, state in self.world.provider.states().items()
            if isinstance(state, Running) and replica.rsplit("-", 2)[0] == endpoint
        ]
        return sorted(mine, key=lambda replica: replica.rsplit("-", 1)[1])

    async def _recover(self, replica: ReplicaId, after: float) -> None:
        await asyncio.sleep(after)
        self._probe.answers.pop(replica, None)

    async def _kill_controller(self, seconds: float) -> None:
        self._up.clear()
        await self.world.controller.close()
        await asyncio.sleep(seconds)
        await self.world.start()
        self.invariants.forget()
        self._up.set()
        self.recording.happen("the controller is back")

    async def _cut_off(self, action: Action) -> None:
        if action.what == "prober":
            self._probe.cut_off = True
        elif action.what == "provider":
            self.world.provider.reach(away=True)
        else:
            self.world.dataplane.hang("gateway-1")
        await asyncio.sleep(action.seconds)
        if action.what == "prober":
            self._probe.cut_off = False
        elif action.what == "provider":
            self.world.provider.reach(away=False)
        else:
            self.world.dataplane.heal("gateway-1")
        self.recording.happen(f"the {action.what} is back")

    def _behind(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._background.add(task)

    # The end

    async def _come_to_rest(self) -> None:
        while not all(self._is_over(endpoint) for endpoint in self.world.controller.endpoints()):
            if not await self._something_happens():
                break
        if not await self._is_quiet():
            self._say_not_quiet()
        self._check_sides()

    def _is_over(self, endpoint: str) -> bool:
        view = self.world.view(endpoint)
        return view.settled and not view.deployment.retiring

    async def _is_quiet(self) -> bool:
        """I6: with nothing new a pass writes nothing. What was written just now may have consequences for a while."""
        for _ in range(20):
            before = len(self.world.events)
            await asyncio.sleep(self.scenario.rest)
            if len(self.world.events) == before:
                return True
        return False

    def _say_not_quiet(self) -> None:
        restless = any(
            version.crashes.first != NEVER or version.unwell.first != NEVER or version.fails
            for endpoint in self.scenario.endpoints
            for version in endpoint.versions.values()
        )
        if not restless:
            self.invariants.breach("I6: it does not come to rest, though nothing happens any more")

    def _check_sides(self) -> None:
        for endpoint in self.world.controller.endpoints():
            view = self.world.view(endpoint)
            if not view.settled:
                continue
            kept = {entry.revision for entry in view.deployment.retiring}
            left = [side for side in view.sides if side.live and side.revision not in {view.stable, *kept}]
            if view.stable is not None and left:
                self.invariants.breach(f"I7: a side of {endpoint} that nothing needs has replicas left: {left[0].role}")

    def _say_stuck(self, when: str) -> None:
        for endpoint in self.world.controller.endpoints():
            view = self.world.view(endpoint)
            if not view.settled and view.status is not DeploymentStatus.PAUSED:
                self.stuck.append(f"{endpoint} is {view.status.value} {when}: {view.reason or 'no reason'}")


def _in_words(action: Action) -> str:
    """As a person would say it."""
    name = action.do.value.replace("_", " ")
    match action.do:
        case What.DEPLOY:
            return f"{name} v{action.version}"
        case What.SCALE:
            return f"{name} to {action.replicas}"
        case What.CLOCK_JUMP:
            return f"{name} {action.seconds:+g} s"
        case What.PARTITION:
            return f"{action.what} cut off for {action.seconds:g} s"
        case What.KILL_CONTROLLER:
            return f"{name}, {action.seconds:g} s"
        case What.PLACES:
            return f"places: {action.places}"
        case _:
            return name


async def play(scenario: Scenario, seed: int, world: World) -> Play:
    """Play it in a world that was not started yet."""
    played = Play(scenario, seed, world)
    await world.start()
    try:
        await played.run()
    finally:
        await world.controller.close()
    return played
