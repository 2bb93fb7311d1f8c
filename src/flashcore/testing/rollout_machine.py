"""Any strategy, any order of events: the invariants hold at every commit, and it comes to rest.

    from flashcore.testing.rollout_machine import check_any_order

    def test_it_survives_anything():
        check_any_order(PartRef("acme"), {"acme": lambda: AcmeStrategy(Acme())})

Needs hypothesis, which makes up the events: versions that start, start slowly, crash or cannot start; people who
do all that people can do to a rollout; replicas that die, vanish or look unwell; gateways that are slow; a provider
that is away, or tells of no change; a store that is away, loses an answer or says that somebody else wrote; a
controller that is killed. Then everything is well again, and within a bounded time nothing moves any
more.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from flashcore.hookspecs.providers import Stopping
from flashcore.hookspecs.state import StateBackend
from flashcore.hookspecs.strategies import Strategy
from flashcore.model.deployment import DeploymentStatus
from flashcore.model.errors import NotFound, Refused, StateError
from flashcore.model.names import ReplicaId
from flashcore.model.parts import PartRef
from flashcore.testing.conformance import require
from flashcore.testing.invariants import Invariants
from flashcore.testing.simulated_provider import NEVER, Life
from flashcore.testing.simulation import World, simulate
from flashcore.testing.unreliable_store import UnreliableStore

NAME = "hello"
REST = 4_000.0
"""Seconds within which it must come to rest: longer than any deadline and back-off."""
QUIET = 3_600.0
"""Seconds of rest in which nothing may be written."""

LIVES: Mapping[str, Life] = {
    "well": Life(),
    "slow": Life(ready_after=20.0, stops_after=10.0),
    "crashing": Life(ends_after=8.0, reason="segmentation fault"),
    "broken": Life(fails_after=0.3, ready_after=NEVER, reason="ImportError"),
    "loading": Life(ready_after=NEVER),
    "pending": Life(runs_after=NEVER),
}


@dataclass(frozen=True, slots=True)
class Happening:
    """Something that happens, with a number that says to which or how much."""

    what: str
    number: int


HAPPENINGS = (
    *("deploy", "deploy", "scale", "wait", "wait", "wait", "live"),
    *("kill", "vanish", "unwell", "well", "restart", "slow_gateway"),
    *("pause", "resume", "promote", "promote_fully", "abort", "retry", "undo", "renew", "away", "back"),
    *("cordon", "uncordon", "hold", "release"),
    *("mute", "store_away", "store_back", "lose_answer", "refuse_write"),
)
WAITS = (0.0, 0.05, 0.3, 0.7, 2.0, 15.0, 90.0)


def check_any_order(
    strategy: PartRef,
    made: Mapping[str, Callable[..., Strategy]] | None = None,
    *,
    examples: int = 100,
    policy: Mapping[str, Any] | None = None,
) -> None:
    """Raise Nonconformance with the shortest order of events that hypothesis can find in which an invariant breaks."""
    from hypothesis import HealthCheck, given, settings
    from hypothesis import strategies as st

    happening = st.builds(Happening, st.sampled_from(HAPPENINGS), st.integers(0, 5))

    @settings(max_examples=examples, deadline=None, suppress_health_check=list(HealthCheck), database=None)
    @given(st.lists(happening, max_size=25), st.integers(0, 4))
    def run(happenings: list[Happening], goal: int) -> None:
        live_through(happenings, goal, strategy, made or {}, policy or {})

    run()


def live_through(
    happenings: list[Happening],
    goal: int,
    strategy: PartRef,
    made: Mapping[str, Callable[..., Strategy]],
    policy: Mapping[str, Any],
) -> None:
    """One order of events, to its end."""
    stores: list[UnreliableStore] = []

    def store(backend: StateBackend) -> StateBackend:
        stores.append(UnreliableStore(backend))
        return stores[0]

    async def scenario(world: World) -> None:
        world.parts.strategies.made.update(made)
        play = _Play(world, stores[0], strategy, {"progress_deadline": 120.0, "initial_delay": 60.0, **policy})
        await play.deploy(1, goal)
        for happening in happenings:
            await play.happen(happening)
        await play.come_to_rest()
        play.invariants.require_kept()

    simulate(scenario, store=store)


class _Play:
    """One world and what happens in it."""

    def __init__(self, world: World, store: UnreliableStore, strategy: PartRef, policy: Mapping[str, Any]) -> None:
        self.world = world
        self.store = store
        self.invariants = Invariants(world)
        self._strategy = strategy
        self._policy = dict(policy)
        self._goal = 0

    async def deploy(self, version: int, goal: int) -> None:
        """Deploy a version; the number of replicas is part of its policy."""
        self._goal = goal
        await self.world.deploy(NAME, version, replicas=goal, strategy=self._strategy, **self._policy)

    async def happen(self, happening: Happening) -> None:
        """Let it happen, as far as it can."""
        with contextlib.suppress(Refused, NotFound, StateError):
            await getattr(self, f"_{happening.what}")(happening.number)

    async def come_to_rest(self) -> None:
        """Everything is well again: it must come to rest, whole, and stay there."""
        world = self.world
        self.store.behave()
        world.provider.mute = False
        world.provider.reach(away=False)
        world.provider.script = lambda _replica, _revision: LIVES["well"]
        world.probe.answers.clear()
        for replica, state in world.provider.states().items():
            if not isinstance(state, Stopping):
                world.provider.restart_in_place(replica)
        for replica in [one.id for side in world.view(NAME).sides for one in side.replicas if one.cordoned]:
            with contextlib.suppress(Refused, NotFound):
                await world.controller.uncordon(NAME, replica)
        for _ in range(8):
            for operation in (world.controller.resume, world.controller.promote):
                with contextlib.suppress(Refused, NotFound):
                    await operation(NAME)
            await asyncio.sleep(REST / 8)
        view = world.view(NAME)
        require(view.settled, "it comes to rest when all is well", (view.status, view.reason))
        written = len(world.events)
        await asyncio.sleep(QUIET)
        require(len(world.events) == written, "I6: at rest nothing is written", world.events[written : written + 5])
        self._require_whole()

    def _require_whole(self) -> None:
        view = self.world.view(NAME)
        failed = view.status is DeploymentStatus.FAILED and view.stable is None
        wanted = 0 if failed else view.goal
        live = {side.role: side.live for side in view.sides if side.live}
        require(sum(live.values()) == wanted, f"{wanted} replicas are left", (live, view.status, view.reason))
        require(len(self.world.provider.states()) == wanted, "nothing else runs", self.world.provider.states())
        require(view.ready == wanted, "all of them are ready", view.reason)

    async def _deploy(self, number: int) -> None:
        await self.deploy(1 + number % 4, self._goal)

    async def _scale(self, number: int) -> None:
        await self.world.controller.scale(NAME, number)

    async def _wait(self, number: int) -> None:
        await asyncio.sleep(WAITS[number % len(WAITS)])

    async def _live(self, number: int) -> None:
        life = LIVES[sorted(LIVES)[number % len(LIVES)]]
        self.world.provider.script = lambda _replica, _revision: life

    async def _kill(self, number: int) -> None:
        if (replica := self._pick(number)) is not None:
            self.world.provider.kill(replica)

    async def _vanish(self, number: int) -> None:
        if (replica := self._pick(number)) is not None:
            self.world.provider.vanish(replica)

    async def _unwell(self, number: int) -> None:
        if (replica := self._pick(number)) is not None:
            self.world.probe.fail(replica)

    async def _well(self, _number: int) -> None:
        self.world.probe.answers.clear()

    async def _mute(self, _number: int) -> None:
        self.world.provider.mute = True

    async def _store_away(self, _number: int) -> None:
        self.store.away = True

    async def _store_back(self, _number: int) -> None:
        self.store.away = False

    async def _lose_answer(self, _number: int) -> None:
        self.store.lose_answers(1)

    async def _refuse_write(self, number: int) -> None:
        self.store.refuse(number)

    async def _restart(self, _number: int) -> None:
        self.store.away = False
        await self.world.restart()
        self.invariants.forget()

    async def _slow_gateway(self, number: int) -> None:
        for gateway in self.world.dataplane.twins.values():
            gateway.delay = 0.01 + number

    async def _pause(self, _number: int) -> None:
        await self.world.controller.pause(NAME)

    async def _resume(self, _number: int) -> None:
        await self.world.controller.resume(NAME)

    async def _promote(self, _number: int) -> None:
        await self.world.controller.promote(NAME)

    async def _abort(self, _number: int) -> None:
        await self.world.controller.abort(NAME)

    async def _promote_fully(self, _number: int) -> None:
        await self.world.controller.promote_fully(NAME)

    async def _retry(self, _number: int) -> None:
        await self.world.controller.retry(NAME)

    async def _undo(self, _number: int) -> None:
        await self.world.controller.undo(NAME)

    async def _renew(self, number: int) -> None:
        await self.world.controller.restart(NAME, self.world.clock.now() + WAITS[number % len(WAITS)])

    async def _cordon(self, number: int) -> None:
        if (replica := self._pick(number)) is not None:
            await self.world.controller.cordon(NAME, replica)

    async def _uncordon(self, number: int) -> None:
        if (replica := self._pick(number)) is not None:
            await self.world.controller.uncordon(NAME, replica)

    async def _hold(self, _number: int) -> None:
        await self.world.controller.hold_traffic(NAME)

    async def _release(self, _number: int) -> None:
        await self.world.controller.release_traffic(NAME)

    async def _away(self, _number: int) -> None:
        self.world.provider.reach(away=True)

    async def _back(self, _number: int) -> None:
        self.world.provider.reach(away=False)

    def _pick(self, number: int) -> ReplicaId | None:
        replicas = sorted(self.world.provider.states())
        return replicas[number % len(replicas)] if replicas else None
