"""Scenarios: TOML files that say what runs, what is asked of it, what happens and what is expected.

values     a scenario as a value              reading    from TOML, with errors that name the key
chance     numbers drawn per replica          curve      load over time
traffic    requests as a stream               playing    the course of events in a world
recording  what is written down of a run      outcome    what it came to
running    once, or many times                picture    the run, drawn
real       the same with real processes       app        the project that is written for that
consistent strategies that are asked twice
"""

from flashcore.testing.scenario.outcome import EndpointResult, RunResult
from flashcore.testing.scenario.reading import read_scenario, scenario_from
from flashcore.testing.scenario.running import filmed, run, run_many
from flashcore.testing.scenario.values import Scenario

__all__ = ["EndpointResult", "RunResult", "Scenario", "filmed", "read_scenario", "run", "run_many", "scenario_from"]
