"""What the control plane says at /metrics of deployments, replicas and what happened to them."""

from __future__ import annotations

import asyncio

from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families

from flashcore.control.transitions import Transitions
from flashcore.model.events import Event
from flashcore.server.metrics import exposition
from flashcore.testing.scenes import first, watched
from flashcore.testing.simulation import World


def samples(family: Metric) -> dict[tuple[str, ...], float]:
    """Values by the values of their labels."""
    return {tuple(sample.labels.values()): sample.value for sample in family.samples}


def test_replicas_are_seen_by_state_and_for_how_long() -> None:
    """Of a rollout that is done: three replicas of the stable side, well for ten minutes; every transition counted."""
    transitions = Transitions()

    async def scenario(world: World) -> None:
        await first(world, 3)
        await asyncio.sleep(600)
        for event in world.events:
            transitions.note(event)
        text = exposition(tuple(world.controller.views()), transitions, world.controller.clock.now()).decode()
        families = {family.name: family for family in text_string_to_metric_families(text)}

        assert samples(families["flashcore_replicas"]) == {("hello", "stable", "running", "healthy"): 3}
        (age,) = samples(families["flashcore_replicas_oldest_in_state_seconds"]).values()
        assert 500 < age < 700
        status = samples(families["flashcore_deployment_status"])
        assert [key for key, value in status.items() if value] == [("hello", "ready")]
        assert samples(families["flashcore_deployment_replicas_ready"]) == {("hello",): 3}
        counted = samples(families["flashcore_transitions"])
        assert counted["hello", "replica.ready", ""] == 3
        assert counted["hello", "rollout.done", ""] == 1

    watched(scenario)


def test_what_is_counted_of_transitions_is_bounded() -> None:
    """Endpoints that come and go do not fill the memory."""
    transitions = Transitions()

    for number in range(20_000):
        transitions.note(Event("deployment.status", 0.0, f"e{number}"))  # type: ignore[arg-type]  # a text

    assert len(transitions.counts) == 10_000
