"""`flashcore simulate`."""

from __future__ import annotations

import contextlib
import os
import sys
from functools import partial
from pathlib import Path

import click

from flashcore.cli import output
from flashcore.cli.common import Invocation, command
from flashcore.cli.simulated import show_run, show_runs, summary_of
from flashcore.model.errors import UsageError
from flashcore.model.layout import find_project
from flashcore.registry.index import setting_of_process
from flashcore.registry.opening import open_registry
from flashcore.testing.scenario.values import Scenario


@click.command()
@click.argument("scenario", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--seed", type=int, metavar="N", help="Whose chances to take; default: the scenario's.")
@click.option("--runs", type=click.IntRange(min=1), default=1, metavar="N", help="Run it with so many seeds in a row.")
@click.option("--real", is_flag=True, help="With real processes on this machine, in a project made for it.")
@click.option("--trace", is_flag=True, help="Print every step of the run.")
@click.option(
    "--picture", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE.svg", help="Draw the run into a file."
)
@command
def simulate(  # noqa: PLR0913, PLR0917 - click passes each option by name
    invocation: Invocation,
    scenario: Path,
    seed: int | None,
    runs: int,
    real: bool,  # noqa: FBT001 - click passes it by name
    trace: bool,  # noqa: FBT001 - click passes it by name
    picture: Path | None,
) -> None:
    """Run a SCENARIO (TOML) on a virtual clock: the real controller and strategies, simulated replicas.

    Invariants are checked at every commit. The same seed gives the same run. Exit status 1 when an invariant or an
    expectation of the scenario does not hold.
    """
    from flashcore.testing.scenario.picture import draw
    from flashcore.testing.scenario.reading import read_scenario, require_parts
    from flashcore.testing.scenario.running import filmed, run_many

    wanted = read_scenario(scenario)
    if real:
        _run_real(invocation, wanted, trace=trace, picture=picture, runs=runs)
        return
    first = wanted.seed if seed is None else seed
    setting = setting_of_process(sys.argv[1:], os.environ, find_project(invocation.directory))
    with contextlib.closing(open_registry(setting)) as registry:
        require_parts(wanted, registry, scenario)
        result, film = filmed(wanted, first, registry)
    if picture is not None:
        picture.write_text(draw(film), encoding="utf-8")
    if runs == 1:
        show_run(result, as_json=invocation.as_json, trace=trace)
        good = result.good
    else:
        results = run_many(wanted, range(first, first + runs), partial(open_registry, setting), os.cpu_count())
        summary = summary_of(results)
        show_runs(summary, as_json=invocation.as_json)
        good = summary.good
    if not good:
        raise SystemExit(output.REFUSED)


def _run_real(invocation: Invocation, wanted: Scenario, *, trace: bool, picture: Path | None, runs: int) -> None:
    from flashcore.testing.scenario.real import run_real

    if picture is not None or runs > 1:
        raise UsageError("--real runs once and draws nothing", next_step="leave out --picture and --runs")
    result = run_real(wanted)
    show_run(result, as_json=invocation.as_json, trace=trace)
    if not result.good:
        raise SystemExit(output.REFUSED)
