"""One writer for each deployment: what happens when several things are asked, or seen, at the same moment."""

from __future__ import annotations

import asyncio
import dataclasses
import typing
from collections.abc import Callable, Mapping
from datetime import date, time
from enum import Enum
from typing import Any, TypeVar

import pytest

from flashcore.client.settings import declare
from flashcore.control.consult import Calling, unwatched
from flashcore.control.kinds import KINDS
from flashcore.control.refusals import BeingDestroyed, Overtaken
from flashcore.hookspecs.gates import GateView, Hold, Verdict
from flashcore.hookspecs.strategies import Decision, Progress, View
from flashcore.model.codec import from_json
from flashcore.model.declaration import Declaration, Policy, ProbePolicy, problems
from flashcore.model.deployment import Budget, DeploymentStatus, RolloutState
from flashcore.model.errors import NotFound, UnknownPart
from flashcore.model.events import Event
from flashcore.model.manifest import Manifest
from flashcore.model.names import Digest
from flashcore.model.parts import PartRef
from flashcore.testing.scenes import first, live, started, update, watched
from flashcore.testing.simulated_provider import NEVER, Life
from flashcore.testing.simulation import World, entry, simulate

T = TypeVar("T")


class Slow:
    """Plugins that take their time: whoever asks them waits, and the world goes on meanwhile."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds

    async def call(self, key: str, work: Callable[[Calling], T]) -> T:
        """See Isolation."""
        answer = work(unwatched)
        await asyncio.sleep(self.seconds if key == "hello" else 0)
        return answer


def test_what_was_decided_for_an_older_goal_is_not_written_over_the_newer_one() -> None:
    """E38: a person asks for C while the strategy thinks about B; B's decision changes nothing of C."""

    async def scenario(world: World) -> None:
        await first(world, 4)
        world.isolation = Slow(5.0)
        await world.restart()
        second = await update(world, 2, 4)
        await asyncio.sleep(1)
        third = await update(world, 3, 4)
        view = await world.ready("hello")
        await asyncio.sleep(10)
        assert view.stable == third
        assert view.rollout is not None
        assert view.rollout.generation == 3
        assert live(world) == {3: 4}
        assert len(started(world, second)) <= 2

    watched(scenario)


def test_two_deploys_at_once_are_one_after_the_other() -> None:
    """E38, E40: neither is lost, neither is half done; the generations tell the order."""

    async def scenario(world: World) -> None:
        await first(world, 2)
        await asyncio.gather(*(world.deploy("hello", version, replicas=2) for version in (2, 3, 4)))
        view = await world.ready("hello")
        assert view.deployment.generation == 4
        assert [event.data["generation"] for event in world.events if event.kind == "rollout.started"] == [1, 2, 3, 4]

    watched(scenario)


class Gated:
    """An artifact store whose answer for the first question comes when a test says so."""

    def __init__(self, world: World) -> None:
        self.asked = asyncio.Event()
        self.answer = asyncio.Event()
        self._artifacts = world.controller._deployer.artifacts  # noqa: SLF001  # the one that it stands before

    def __getattr__(self, name: str) -> Any:
        """Everything else is as it was."""
        return getattr(self._artifacts, name)

    async def has(self, digest: Digest) -> bool:  # it has all
        """Wait, the first time."""
        if not self.asked.is_set():
            self.asked.set()
            await self.answer.wait()
        return True


async def overtaken(world: World) -> tuple[Gated, asyncio.Future[Any]]:
    """A deploy of version 2 that is still being checked."""
    gated = Gated(world)
    deployer = world.controller._deployer  # noqa: SLF001  # checks cannot be slowed down from outside
    world.controller._deployer = dataclasses.replace(deployer, artifacts=gated)  # noqa: SLF001  # as above
    older = asyncio.ensure_future(world.deploy("hello", 2))
    await gated.asked.wait()
    return gated, older


def test_a_deploy_that_a_newer_one_overtook_is_dropped() -> None:
    """S35: both were accepted at the same state; the newer one was quicker, and stands."""

    async def scenario(world: World) -> None:
        await first(world, 1)
        gated, older = await overtaken(world)
        newer = await update(world, 3, 1)
        gated.answer.set()
        with pytest.raises(Overtaken, match="deploy again"):
            await older
        view = await world.ready("hello")
        assert view.stable == newer

    watched(scenario)


def test_a_deploy_does_not_undo_the_taking_down_that_overtook_it() -> None:
    """S35: it was asked for before; what is gone stays gone."""

    async def scenario(world: World) -> None:
        await first(world, 1)
        gated, older = await overtaken(world)
        await world.controller.undeploy("hello")
        await world.controller.wait_gone("hello", 60)
        gated.answer.set()
        with pytest.raises(Overtaken):
            await older
        assert world.controller.endpoints() == ()
        await world.deploy("hello", 2)
        await world.ready("hello")

    watched(scenario)


def test_what_another_endpoint_was_asked_is_nobody_elses_business() -> None:
    """S35: requests overtake each other only where they are about the same endpoint."""

    async def scenario(world: World) -> None:
        await first(world, 1)
        gated, older = await overtaken(world)
        await world.deploy("other", 1)
        gated.answer.set()
        await older
        await world.ready("hello")

    watched(scenario)


def test_all_or_nothing_also_where_a_name_is_taken() -> None:
    """S64: one of three cannot be had: nothing of the three happens, and what runs is not touched."""

    async def scenario(world: World) -> None:
        await first(world, 1)
        before = len(world.events)
        bad = entry("hello", 2, strategy=PartRef("teleport"))
        with pytest.raises(UnknownPart):
            await world.controller.deploy(Manifest("simulated", (entry("one"), entry("two"), bad), "0", "3.11"))
        await asyncio.sleep(5)
        assert world.controller.endpoints() == ("hello",)
        assert len(world.events) == before

    watched(scenario)


def test_a_revision_of_another_endpoint_cannot_be_activated() -> None:
    """E37: nor one of an endpoint that is being taken down, nor one that never was."""

    async def scenario(world: World) -> None:
        mine = await first(world, 1)
        world.provider.script = lambda _replica, _revision: Life(stops_after=20)
        await world.deploy("other", 7)
        theirs = (await world.ready("other")).stable
        assert theirs is not None
        with pytest.raises(NotFound, match="kept: "):
            await world.controller.undo("hello", theirs)
        assert world.view("hello").stable == mine
        await world.controller.undeploy("other")
        with pytest.raises(BeingDestroyed):
            await world.controller.undo("other", theirs)
        await world.controller.wait_gone("other", 60)
        with pytest.raises(NotFound):
            await world.controller.undo("other", theirs)

    watched(scenario)


def _types_within(hint: Any, seen: set[Any]) -> set[Any]:
    """Every type that a value of this type may hold."""
    for part in typing.get_args(hint) or ():
        _types_within(part, seen)
    plain = getattr(hint, "__supertype__", typing.get_origin(hint) or hint)
    if plain not in seen:
        seen.add(plain)
        if dataclasses.is_dataclass(plain):
            for inner in typing.get_type_hints(plain).values():
                _types_within(inner, seen)
    return seen


def test_no_record_holds_a_date_that_could_lack_a_zone() -> None:
    """E29: times are seconds since 1970, which are of one kind: nothing naive can be compared with something aware."""
    for kind in (*(kind.cls for kind in KINDS), Event):
        held = _types_within(kind, set())
        assert float in held
        assert not [one for one in held if isinstance(one, type) and issubclass(one, date | time)]


def test_strategies_see_counts_and_no_states() -> None:
    """E31: phases and health can be split or renamed without a strategy noticing: it has never heard of one."""
    held = _types_within(View, set()) | _types_within(Decision, set()) | _types_within(Budget, set())

    assert not [one for one in held if isinstance(one, type) and issubclass(one, Enum)]


def test_a_strategy_that_uses_what_is_not_there_any_more_is_no_riddle() -> None:
    """E31: the attribute is named, users stay served, and the deadline takes the rollout back."""

    class Outdated:
        def budget(self, goal: int) -> Budget:
            return Budget(goal, goal + 1)

        def decide(self, view: View) -> Decision:
            return Decision(view.old_live, 1 if view.target_healthy else 0, Progress())  # type: ignore[attr-defined]  # that is the point

    async def scenario(world: World) -> None:
        world.parts.strategies.made["outdated"] = Outdated
        settings: Mapping[str, Any] = {"strategy": PartRef("outdated"), "progress_deadline": 60.0}
        await first(world, 2, **settings)
        await update(world, 2, 2, **settings)
        view = await world.until("hello", lambda view: view.status is DeploymentStatus.DEGRADED)
        assert "strategy 'outdated'" in view.reason
        assert "target_healthy" in view.reason
        view = await world.settled("hello", 120)
        assert view.ready == 2

    watched(scenario)


def test_waiting_at_a_checkpoint_has_no_hidden_limit() -> None:
    """E65: only one number is declared; hundreds of looks at what is held are no attempts that run out."""
    asked: list[float] = []

    class Never:
        def verdict(self, view: GateView) -> Verdict:
            asked.append(view.now)
            return Hold("not today", until=view.now + 1.0)

    async def scenario(world: World) -> None:
        world.parts.gates.made["never"] = Never
        settings: Mapping[str, Any] = {
            "strategy": PartRef("blue_green"),
            "gates": {"promotion": (PartRef("never"),)},
            "progress_deadline": 30.0,
        }
        await first(world, 1, **settings)
        await update(world, 2, 1, **settings)
        await asyncio.sleep(2_000)
        view = world.view("hello")
        assert view.status is DeploymentStatus.AWAITING_PROMOTION
        assert view.rollout is not None
        assert view.rollout.failures == 0

    watched(scenario)

    assert len(asked) > 500


@pytest.mark.parametrize("setting", ["progress_deadline", "initial_delay", "idle_timeout", "max_attempts"])
def test_one_setting_changes_no_other(setting: str) -> None:
    """E65: what is not said is what is documented, whatever else is said: in a declaration, and in a manifest."""
    said = declare("hello", "queue", {setting: 77}).policy

    changed = [field.name for field in dataclasses.fields(Policy) if getattr(said, field.name) != default(field.name)]
    assert (changed, getattr(said, setting)) == ([setting], 77)
    assert from_json(Policy, {setting: 77}) == said


def default(setting: str) -> object:
    """What a policy that says nothing has."""
    return getattr(Policy(), setting)


def test_scaling_before_anything_is_stable_sticks_nowhere() -> None:
    """E73: in the middle of the first deployment it comes up at the new number; of a failed one nothing hangs."""

    async def scenario(world: World) -> None:
        world.provider.script = lambda _replica, _revision: Life(ready_after=30)
        await world.deploy("hello", 1, replicas=2)
        await asyncio.sleep(5)
        await world.controller.scale("hello", 4)
        view = await world.ready("hello", 120)
        assert view.ready == 4

        world.provider.script = lambda _replica, _revision: Life(fails_after=0.1, ready_after=NEVER)
        await world.deploy("broken", 1, replicas=2)
        await world.settled("broken")
        await world.controller.scale("broken", 5)
        await asyncio.sleep(60)
        view = world.view("broken")
        assert (view.status, view.settled) == (DeploymentStatus.FAILED, True)

    watched(scenario)


def test_what_was_never_deployed_cannot_be_scaled() -> None:
    """E73: it is said, and nothing is remembered of it."""

    async def scenario(world: World) -> None:
        with pytest.raises(NotFound):
            await world.controller.scale("hello", 3)
        assert world.controller.endpoints() == ()
        await first(world, 1)
        assert world.view("hello").goal == 1

    watched(scenario)


@pytest.mark.parametrize(
    "name", ["interval", "timeout", "success_threshold", "failure_threshold", "liveness_factor", "pending_factor"]
)
@pytest.mark.parametrize("value", [0, -1, float("nan"), float("inf"), -0.5])
def test_numbers_of_probes_that_cannot_be_meant_are_refused(name: str, value: float) -> None:
    """S52: by the name of the setting, before anything runs."""
    changed: dict[str, Any] = {name: value}
    policy = Policy(health=dataclasses.replace(ProbePolicy(), **changed))

    found = list(problems(Declaration("hello", "queue", policy=policy)))

    assert len(found) == 1
    assert f"health.{name}" in found[0]


@pytest.mark.parametrize("name", ["success_threshold", "failure_threshold", "liveness_factor", "pending_factor"])
def test_thresholds_are_counts(name: str) -> None:
    """S52: two and a half failures in a row are none."""
    changed: dict[str, Any] = {name: 2.5}
    policy = Policy(health=dataclasses.replace(ProbePolicy(), **changed))

    assert f"health.{name}" in next(iter(problems(Declaration("hello", "queue", policy=policy))))


def test_probes_that_make_sense_are_not_refused() -> None:
    """S52: the defaults, the smallest and fractions of seconds."""
    smallest = ProbePolicy(0.05, 0.05, 1, 1, 1, 1)

    for health in (ProbePolicy(), smallest):
        assert list(problems(Declaration("hello", "queue", policy=Policy(health=health)))) == []


def test_thresholds_are_an_endpoints_own() -> None:
    """S10, S3: one endpoint takes a failure for what it is at once, the other after five."""

    async def scenario(world: World) -> None:
        strict, patient = ProbePolicy(interval=1.0, failure_threshold=1), ProbePolicy(interval=1.0, failure_threshold=5)
        for name, health in (("strict", strict), ("patient", patient)):
            await world.deploy(name, 1, health=health)
            await world.ready(name)
        await asyncio.sleep(5)
        for replica in world.provider.states():
            world.probe.fail(replica)
        unwell = await world.until("strict", lambda view: view.ready == 0, 5)
        assert unwell.rollout is not None
        assert unwell.rollout.state is RolloutState.DONE
        assert world.view("patient").ready == 1
        await world.until("patient", lambda view: view.ready == 0, 10)

    simulate(scenario)
