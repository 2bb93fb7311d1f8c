"""Scenarios: the same seed gives the same run, the examples come out as they say, what goes wrong is said."""

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from flashcore.hookspecs.strategies import Decision, Progress, View
from flashcore.model.deployment import Budget
from flashcore.testing.parts import PartTables
from flashcore.testing.scenario import RunResult, filmed, read_scenario, run, scenario_from
from flashcore.testing.scenario.picture import draw

DEPLOYS = [{"do": "deploy", "version": 1}, {"do": "deploy", "version": 2, "at": 10}]


def simulated(strategy: object = "rolling", seed: int = 1, **more: Any) -> RunResult:
    """One endpoint in two versions."""
    table = {
        "endpoints": {"web": {"replicas": 3, "strategy": strategy, **more.pop("web", {})}},
        "load": [{"rate": 100}],
        "actions": [*DEPLOYS, *more.pop("actions", [])],
        **more,
    }
    return run(scenario_from(table), seed)


def examples(repository: Path) -> list[Path]:
    """The scenarios that come along."""
    return sorted((repository / "examples" / "scenarios").glob("*.toml"))


def test_examples_come_out_as_they_say(repository: Path) -> None:
    """Each, with its own seed."""
    for path in examples(repository):
        result = run(read_scenario(path))

        assert result.good, (path.name, result.breaches, result.unmet, result.stuck)


def test_the_same_seed_gives_the_same_trace() -> None:
    """To the byte; another seed another one."""
    chances = {"versions": {"2": {"ready": {"exponential": 2.0}, "fails": 0.2}}}

    one, again, other = (simulated(seed=seed, web=chances) for seed in (1, 1, 2))

    assert one == again
    assert one.trace != other.trace


@pytest.mark.parametrize("strategy", ["rolling", "blue_green"])
def test_an_update_loses_no_request(strategy: str) -> None:
    """All that is offered is answered."""
    result = simulated(strategy)

    (web,) = result.endpoints
    assert (web.version, web.failed, web.min_ready) == (2, 0, 3)
    assert web.offered == web.answered > 1000
    assert result.good


def test_a_killed_replica_takes_its_own_requests_along_only() -> None:
    """A hundred a second of 50 ms are five in flight, on three replicas."""
    result = simulated(actions=[{"do": "kill_replica", "at": 30}])

    assert result.endpoints[0].failed == 2
    assert result.good


def test_requests_that_nobody_can_answer_fail() -> None:
    """Recreate leaves a gap; where the new version never comes, what waits for two minutes is given up."""
    gap = {"versions": {"2": {"ready": 300.0}}}

    result = simulated("recreate", web=gap)

    assert result.endpoints[0].failed > 1000


def test_errors_of_a_version_are_seen_by_gateways_and_counted_apart() -> None:
    """They are answers: the platform lost none."""
    result = simulated(web={"versions": {"2": {"errors": 0.5}}}, duration=60)

    (web,) = result.endpoints
    assert web.errors > 1000
    assert web.failed == 0


def test_a_version_that_cannot_start_is_taken_back() -> None:
    """And its reason is in the result."""
    broken = {"versions": {"2": {"fails": 1.0, "reason": "ImportError: no module named 'torch'"}}}

    result = simulated(
        web=broken, expect=[{"outcome": "failed", "version": 1, "failed_requests": 0, "reason": "torch"}]
    )

    assert result.good, result.unmet
    assert result.endpoints[0].failures >= 1


def test_what_is_not_as_expected_is_said() -> None:
    """Each expectation for itself."""
    expect = {
        "version": 1,
        "outcome": "aborted",
        "within": 0.01,
        "min_ready": 4,
        "max_existing": 3,
        "reason": "nothing",
    }

    result = simulated(expect=[expect])

    assert not result.good
    assert len(result.unmet) == 7


def test_a_strategy_that_says_two_things_of_equal_views_breaks_i11() -> None:
    """With the commit and the steps before it."""

    class Moody:
        asked = 0

        def budget(self, goal: int) -> Budget:
            return Budget(goal, goal + 1)

        def decide(self, view: View) -> Decision:
            self.asked += 1
            return Decision(view.goal, self.asked % 2, Progress())

    parts = PartTables()
    parts.strategies.made["moody"] = Moody
    table = {"endpoints": {"web": {"replicas": 2, "strategy": "moody"}}, "actions": DEPLOYS, "timeout": 60.0}

    result = run(scenario_from(table), parts=parts)

    breach = result.breaches[0]
    assert "I11: strategy 'moody' says two things of equal views" in breach.text
    assert breach.steps[-1].endswith("deploy v2")
    assert result.stuck


@pytest.mark.parametrize("what", ["prober", "gateway", "provider"])
def test_an_update_goes_through_a_partition(what: str) -> None:
    """Nothing that cannot be reached for a while does harm."""
    cut = {"do": "partition", "what": what, "seconds": 8, "at": 10.3}

    result = simulated(actions=[cut], gateways=2, expect=[{"version": 2, "failed_requests": 0}])

    assert result.good, (result.breaches, result.unmet, result.stuck)


@pytest.mark.parametrize("seconds", [-30, 30])
def test_an_update_goes_through_a_jump_of_the_clock(seconds: int) -> None:
    """Forward or back."""
    result = simulated(actions=[{"do": "clock_jump", "seconds": seconds, "at": 10.3}], expect=[{"version": 2}])

    assert result.good, (result.breaches, result.unmet, result.stuck)


def test_people_act_when_it_is_time() -> None:
    """A promotion that waits for the rollout to wait."""
    by_hand = {"name": "blue_green", "auto_promote": False}
    promotion = {"do": "promote", "when": "awaiting_promotion", "at": 10}

    result = simulated(by_hand, actions=[promotion], expect=[{"version": 2, "outcome": "done"}])

    assert result.good, (result.breaches, result.unmet, result.stuck)


def test_what_is_refused_is_shown_and_no_failure() -> None:
    """A promotion of nothing."""
    result = simulated(actions=[{"do": "promote", "at": 60}])

    assert result.good
    assert len(result.refused) == 1


def test_the_picture_shows_sides_load_and_what_happened(tmp_path: Path) -> None:
    """As XML that a browser reads."""
    import xml.etree.ElementTree as ET

    table = {"endpoints": {"web": {"replicas": 3}}, "load": [{"rate": 100}], "actions": DEPLOYS}
    _, film = filmed(dataclasses.replace(scenario_from(table), name="a < b"))

    drawn = draw(film)

    root = ET.fromstring(drawn)  # noqa: S314 - we have drawn it ourselves
    words = [element.text for element in root.iter() if element.text]
    assert {"a < b (seed 1)", "web", "deploy v2", "v1 ready", "v2 ready", "offered"} <= set(words)
