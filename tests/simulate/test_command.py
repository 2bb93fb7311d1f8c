"""`flashcore simulate` as one types it."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from flashcore.cli.main import cli

UPDATE = """
name = "update"
[endpoints.web]
replicas = 2
strategy = "{strategy}"
[endpoints.web.versions.2]
ready = {{ uniform = [0.5, 2.0] }}
[[load]]
rate = 50
[[actions]]
do = "deploy"
version = 1
[[actions]]
at = 10
do = "deploy"
version = 2
[[expect]]
version = {expected}
failed_requests = 0
"""


def simulated(folder: Path, *options: str, strategy: str = "rolling", expected: int = 2) -> Result:
    """The scenario in a file, run."""
    file = folder / "update.toml"
    file.write_text(UPDATE.format(strategy=strategy, expected=expected))
    return CliRunner().invoke(cli, ["simulate", str(file), "--project", str(folder), *options])


def test_a_run_says_how_it_ended_and_prints_its_trace(tmp_path: Path) -> None:
    """Exit status 0."""
    ran = simulated(tmp_path, "--trace", "--seed", "4")

    assert ran.exit_code == 0
    assert "good: update, seed 4" in ran.output
    assert "rollout.started v2" in ran.output
    assert "0 failed" in ran.output


def test_the_same_seed_gives_the_same_document(tmp_path: Path) -> None:
    """Byte for byte."""
    one, again = (simulated(tmp_path, "--json", "--seed", "4") for _ in range(2))

    assert one.stdout == again.stdout
    assert json.loads(one.stdout)["good"] is True


def test_what_is_not_as_expected_is_exit_status_1(tmp_path: Path) -> None:
    """With the seed that shows it."""
    ran = simulated(tmp_path, "--seed", "4", expected=1)

    assert ran.exit_code == 1
    assert "not as expected with seed 4: web: version is 2, not 1" in ran.output


def test_many_runs_are_summed_up(tmp_path: Path) -> None:
    """Each with a seed of its own."""
    ran = simulated(tmp_path, "--runs", "5", "--json")

    summary = json.loads(ran.stdout)
    assert (summary["runs"], summary["different"], summary["bad"]) == (5, 5, [])
    (durations,) = summary["durations"]
    assert durations["count"] == 5
    assert durations["p50"] <= durations["p99"]


def test_many_runs_use_processes_of_their_own(tmp_path: Path) -> None:
    """And come to the same as one process would."""
    ran = simulated(tmp_path, "--runs", "30", "--json")

    assert ran.exit_code == 0, ran.output
    assert json.loads(ran.stdout)["different"] == 30


def test_a_picture_is_drawn(tmp_path: Path) -> None:
    """Into the file that is named."""
    simulated(tmp_path, "--picture", str(tmp_path / "update.svg"))

    assert (tmp_path / "update.svg").read_text().startswith("<svg")


def test_a_strategy_of_the_project_can_be_tried_out(tmp_path: Path) -> None:
    """Written in flashcore_plugins.py, never deployed."""
    (tmp_path / "flashcore.toml").write_text('app = "shop"\n')
    (tmp_path / "flashcore_plugins.py").write_text(
        """
from flashcore.hookspecs.strategies import Decision, Done, Progress
from flashcore.model.deployment import Budget
from flashcore.plugin import Part, hookimpl


class AllAtOnce:
    def budget(self, goal):
        return Budget(goal, 2 * goal)

    def decide(self, view):
        ready = view.target.ready >= view.goal
        return Decision(0 if ready else view.goal, view.goal, Done() if ready else Progress())


@hookimpl
def flashcore_strategies():
    return {"all_at_once": Part("flashcore_plugins:AllAtOnce", "all at once")}
"""
    )

    ran = simulated(tmp_path, strategy="all_at_once")

    assert ran.exit_code == 0, ran.output


@pytest.mark.parametrize("line", ["raise ValueError('no idea')", "return 7"])
def test_a_bad_strategy_of_the_project_is_named_and_users_stay_served(tmp_path: Path, line: str) -> None:
    """With its rule."""
    (tmp_path / "flashcore.toml").write_text('app = "shop"\n')
    (tmp_path / "flashcore_plugins.py").write_text(
        f"""
from flashcore.model.deployment import Budget
from flashcore.plugin import Part, hookimpl


class Bad:
    def budget(self, goal):
        return Budget(goal, 2 * goal)

    def decide(self, view):
        {line}


@hookimpl
def flashcore_strategies():
    return {{"bad": Part("flashcore_plugins:Bad", "bad")}}
"""
    )

    ran = simulated(tmp_path, "--trace", strategy="bad", expected=1)

    assert ran.exit_code == 0, ran.output
    assert "strategy 'bad'" in ran.output
    assert "v2 failed after" in ran.output
