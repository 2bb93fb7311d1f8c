"""What a deploy would do is shown by the strategy itself, and nothing happens."""

from typing import Any

from flashcore.control.planning import Plan, Step
from flashcore.hookspecs.strategies import Decision, View, Wait
from flashcore.model.deployment import Budget
from flashcore.model.manifest import Manifest
from flashcore.model.parts import PartRef
from flashcore.testing.scenes import first, live, update, watched
from flashcore.testing.simulation import World, entry


async def plan(world: World, version: int, **settings: Any) -> Plan:
    """The plan of another deploy of `hello`."""
    manifest = Manifest("simulated", (entry("hello", version, **settings),), "0", "3.11")
    (made,) = await world.controller.plan(manifest)
    return made


def shapes(made: Plan) -> list[tuple[int, int, int | None]]:
    """Old, target and traffic of each step."""
    return [(step.old, step.target, step.percent) for step in made.steps]


def test_a_plan_is_what_happens_then() -> None:
    """Of a rolling update: the same counts in the same order, with the peak and the floor of its budget."""

    async def scenario(world: World) -> None:
        settings: dict[str, Any] = {
            "replicas": 3,
            "strategy": PartRef("rolling", options={"max_surge": 1, "max_unavailable": 0}),
        }
        await first(world, **settings)
        made = await plan(world, 2, **settings)
        assert (made.change, made.peak, made.floor, made.problem) == ("rolling out", 4, 3, "")
        assert [(step.old, step.target) for step in made.steps] == [(3, 1), (2, 2), (1, 3), (0, 3)]
        seen: list[tuple[int, int]] = []
        target = await update(world, 2, **settings)
        async for view in world.controller.follow("hello"):
            counts = {side.revision: side.live for side in view.sides}
            shape = (sum(counts.values()) - counts.get(target, 0), counts.get(target, 0))
            if shape not in seen:
                seen.append(shape)
            if view.settled:
                break
        assert seen == [(step.old, step.target) for step in made.steps]

    watched(scenario)


def test_a_plan_changes_nothing() -> None:
    """No event, no replica, and asked twice it is the same."""

    async def scenario(world: World) -> None:
        await first(world, 2)
        events = len(world.events)
        assert await plan(world, 2, replicas=2) == await plan(world, 2, replicas=2)
        assert (len(world.events), live(world), len(world.view("hello").revisions)) == (events, {1: 2}, 1)

    watched(scenario)


def test_a_plan_names_gates_and_what_is_kept_warm() -> None:
    """Of blue-green: nothing of the traffic moves before the promotion, then all of it."""

    async def scenario(world: World) -> None:
        strategy = PartRef("blue_green", options={"auto_promote": False, "keep_old": 30.0})
        await first(world, 2, strategy=strategy)
        made = await plan(world, 2, replicas=2, strategy=strategy)
        assert (made.peak, made.floor) == (4, 2)
        assert shapes(made)[0] == (2, 2, 0)
        assert shapes(made)[-1][1:] == (2, 100)
        assert "promotion: asks manual" in made.steps[-1].notes

    watched(scenario)


def test_a_plan_of_recreate_shows_the_gap() -> None:
    """The floor is nothing."""

    async def scenario(world: World) -> None:
        await first(world, 2, strategy=PartRef("recreate"))
        made = await plan(world, 2, replicas=2, strategy=PartRef("recreate"))
        assert (made.floor, made.peak) == (0, 2)
        assert (0, 0) in [(step.old, step.target) for step in made.steps]

    watched(scenario)


def test_what_is_new_unchanged_or_another_policy_is_said() -> None:
    """Only a rollout has steps."""

    async def scenario(world: World) -> None:
        made = await plan(world, 1, replicas=2)
        assert (made.change, shapes(made)) == ("new", [(0, 2, None), (0, 2, 100)])
        await first(world, 2)
        assert (await plan(world, 1, replicas=2)).change == "unchanged"
        policy = await plan(world, 1, replicas=2, termination_grace=7.0)
        assert (policy.change, policy.steps) == ("policy changed", ())

    watched(scenario)


class Waiting:
    """Two steps, an hour between them."""

    def budget(self, goal: int) -> Budget:
        """One more."""
        return Budget(goal, goal + 1)

    def decide(self, view: View) -> Decision:
        """Wait for an hour, or for ever."""
        if view.step == "":
            return Decision(view.goal, 1, Wait("begins"), step="slow")
        return Decision(view.goal, 1, Wait("an hour", until=view.step_since + 3600), step="slow")


def test_a_strategy_that_never_ends_is_found_out() -> None:
    """And the time of its waits is shown."""

    async def scenario(world: World) -> None:
        world.parts.strategies.made["waiting"] = Waiting
        await first(world, 1, strategy=PartRef("waiting"))
        made = await plan(world, 2, strategy=PartRef("waiting"))
        assert made.problem == "it goes no further: an hour"
        assert isinstance(made.steps[-1], Step)

    watched(scenario)
