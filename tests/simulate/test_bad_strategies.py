"""A bad strategy in a simulation: its users stay served, it is named with its rule, and others notice nothing."""

import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from flashcore.hookspecs.strategies import Decision, Done, Progress, Strategy, View
from flashcore.model.deployment import Budget, Traffic
from flashcore.model.errors import ConfigurationError
from flashcore.testing.parts import PartTables
from flashcore.testing.scenario import RunResult, read_scenario, run, scenario_from
from flashcore.testing.scenario.reading import require_parts


class Sound:
    """A sound budget, and decisions that a test makes up."""

    def budget(self, goal: int) -> Budget:
        """One more may exist, none may be missing."""
        return Budget(goal, goal + 1)


class Greedy(Sound):
    """Wants everything of the new and nothing of the old at once."""

    def decide(self, view: View) -> Decision:
        """See Strategy."""
        return Decision(0, 5 * view.goal, Done(), Traffic(100))


class Flapping(Sound):
    """There and back, for ever."""

    def decide(self, view: View) -> Decision:
        """See Strategy."""
        there = view.target.exists == 0
        return Decision(view.goal, int(there), Progress(), step="there" if there else "back")


class Raising(Sound):
    """Has a bug."""

    def decide(self, view: View) -> Decision:
        """See Strategy."""
        raise KeyError(view.goal)


class Nonsense(Sound):
    """Answers what is no answer."""

    def decide(self, view: View) -> Decision:
        """See Strategy."""
        return Decision(-1, view.goal, Progress())


class Ending(Sound):
    """Ends the program."""

    def decide(self, view: View) -> Decision:
        """See Strategy."""
        raise SystemExit(3)


class Hanging(Sound):
    """Takes so long that it is interrupted, without the time that it would take."""

    def decide(self, view: View) -> Decision:
        """See Strategy."""
        signal.raise_signal(signal.SIGALRM)
        return Decision(0, view.goal, Done())


BAD: dict[str, Callable[[], Strategy]] = {
    "greedy": Greedy,
    "flapping": Flapping,
    "raising": Raising,
    "nonsense": Nonsense,
    "ending": Ending,
    "hanging": Hanging,
}


def beside_a_good_one(name: str) -> RunResult:
    """Two endpoints under load; one is updated by a bad strategy, the other one as usual."""
    parts = PartTables()
    parts.strategies.made.update(BAD)
    table = {
        "endpoints": {
            "bad": {"replicas": 3, "strategy": name, "progress_deadline": 60.0},
            "good": {"replicas": 3},
        },
        "load": [{"endpoint": name, "rate": 50} for name in ("bad", "good")],
        "actions": [
            {"do": "deploy", "endpoint": endpoint, "version": version, "at": at}
            for version, at in ((1, 0), (2, 10))
            for endpoint in ("bad", "good")
        ],
        "expect": [
            {"endpoint": "bad", "failed_requests": 0, "min_ready": 3},
            {"endpoint": "good", "failed_requests": 0, "version": 2, "within": 10},
        ],
    }
    return run(scenario_from(table), parts=parts)


@pytest.mark.parametrize("name", BAD)
def test_users_of_a_bad_strategy_stay_served_and_others_notice_nothing(name: str) -> None:
    """No request fails, on either side, and every invariant holds."""
    result = beside_a_good_one(name)

    assert result.good, (result.breaches, result.unmet, result.stuck)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("raising", "KeyError"),
        ("nonsense", "strategy 'nonsense'"),
        ("ending", "SystemExit"),
        ("hanging", "did not answer"),
    ],
)
def test_what_is_wrong_is_said_with_the_part_and_the_rule(name: str, said: str) -> None:
    """In the deployment's status while it lasts, and in the trace."""
    trace = "\n".join(beside_a_good_one(name).trace)

    assert f"strategy '{name}'" in trace
    assert said in trace


def test_none_more_and_none_missing_still_goes_on() -> None:
    """E01: 0 and 0 would never replace anybody; one may be missing then."""
    strategy = {"name": "rolling", "max_surge": 0, "max_unavailable": "10%"}
    deploys = [{"do": "deploy", "version": 1}, {"do": "deploy", "version": 2, "at": 10}]
    expect = {"version": 2, "outcome": "done", "min_ready": 2, "max_existing": 3}

    result = run(
        scenario_from(
            {"endpoints": {"web": {"replicas": 3, "strategy": strategy}}, "actions": deploys, "expect": [expect]}
        )
    )

    assert result.good, (result.unmet, result.stuck)


def test_options_that_make_no_sense_are_refused_before_anything_runs(tmp_path: Path) -> None:
    """With the file and the key."""
    file = tmp_path / "update.toml"
    file.write_text(
        '[endpoints.web]\nstrategy = { name = "rolling", max_surge = -1 }\n[[actions]]\ndo = "deploy"\nversion = 1\n'
    )

    with pytest.raises(ConfigurationError, match=r"endpoints\.web\.strategy"):
        require_parts(read_scenario(file), PartTables(), file)
