"""The canary under simulated load: what its analysis does with a worse revision, and where it only watches."""

from typing import Any

from flashcore.testing.parts import PartTables
from flashcore.testing.scenario import RunResult, run, scenario_from
from flashcore_canary import Analysis, Canary
from flashcore_canary.analysis import AnalysisGate
from flashcore_canary.strategy import CanaryStrategy


def simulated(**options: Any) -> RunResult:
    """A second version of which every tenth call fails."""
    strategy = {"name": "canary", "weights": [20, 50], "pause": 120.0, **options}
    table = {
        "endpoints": {"web": {"replicas": 3, "strategy": strategy, "versions": {"2": {"errors": 0.1}}}},
        "load": [{"rate": 100}],
        "actions": [{"do": "deploy", "version": 1}, {"do": "deploy", "version": 2, "at": 10}],
    }
    parts = PartTables()
    parts.strategies.made["canary"] = lambda **given: CanaryStrategy(Canary(**given))
    parts.gates.made["analysis"] = lambda **given: AnalysisGate(Analysis(**given))
    return run(scenario_from(table), 1, parts)


def test_a_worse_revision_is_taken_back() -> None:
    """At the first step, by the gate's own words."""
    result = simulated()

    assert result.endpoints[0].version == 1
    assert any("the new revision is worse" in line for line in result.trace)


def test_a_worse_revision_goes_through_a_dry_run_with_a_note_at_each_step() -> None:
    """M45: the rollout continues, the failure is only recorded."""
    result = simulated(dry_run=True)

    noted = [line for line in result.trace if "rollout.noted" in line]
    assert result.endpoints[0].version == 2
    assert [
        f"step {step}: would have failed: the new revision is worse" in line for step, line in enumerate(noted, 1)
    ] == [
        True,
        True,
    ]
    assert result.good
