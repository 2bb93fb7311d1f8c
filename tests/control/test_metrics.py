"""What the control plane says at /metrics of deployments, replicas and what happened to them."""

from __future__ import annotations

import asyncio

from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families

from flashcore.control.transitions import Transitions
from flashcore.model.events import Event
from flashcore.model.replica import Cause
from flashcore.server.metrics import exposition
from flashcore.testing.scenes import first, update, watched
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


def test_transitions_of_replicas_have_their_reason() -> None:
    """From a closed set: why each of them went, not only that it did."""
    transitions = Transitions()

    async def scenario(world: World) -> None:
        old = await first(world, 3)
        killed, again, vanished = sorted(world.provider.states())
        world.provider.restart_in_place(again)
        world.provider.kill(killed)
        world.provider.vanish(vanished)
        await asyncio.sleep(300)
        await world.controller.cordon("hello", min(world.provider.running()))
        await world.controller.scale("hello", 2)
        await asyncio.sleep(300)
        await world.controller.restart("hello")
        await asyncio.sleep(300)
        await update(world, 2, replicas=2)
        await asyncio.sleep(300)
        assert world.view("hello").stable != old
        await world.controller.undeploy("hello")
        await world.controller.wait_gone("hello", 120)
        for event in world.events:
            transitions.note(event)

    watched(scenario)

    left = {"replica.draining", "replica.terminated", "replica.cordoned"}
    reasons = {(kind, reason): count for (_, kind, reason), count in transitions.counts.items() if kind in left}
    whys = {"surplus": 1, "restarted": 2, "replaced": 2, "taken_down": 2}
    assert reasons == {
        ("replica.cordoned", "by_person"): 1,
        **{("replica.draining", why): count for why, count in whys.items()},
        ("replica.terminated", "ended"): 1,
        **{("replica.terminated", why): count for why, count in whys.items()},
    }
    again = [transitions.counts["hello", "replica.warming_up", why] for why in ("started_again", "ended")]
    assert again == [1, 1]
    known = {cause.value for cause in Cause}
    assert {reason for _, kind, reason in transitions.counts if kind.startswith("replica.")} <= known
