"""The same scenario with real processes."""

from pathlib import Path

import pytest

from flashcore.model.errors import Refused
from flashcore.testing.scenario import read_scenario, scenario_from
from flashcore.testing.scenario.app import app_of
from flashcore.testing.scenario.real import require_real, run_real

NOT_REAL = {
    "gateways": 2,
    "provider": {"places": 3},
    "endpoints": {"web": {"strategy": "acme", "versions": {"1": {"unwell": 5.0}}}},
    "load": [{"points": [[0, 1], [5, 2]], "preview": 1.0}],
    "actions": [
        {"do": "deploy", "version": 1},
        {"do": "clock_jump", "seconds": 3},
        {"do": "partition", "what": "prober", "seconds": 3},
    ],
}


def test_what_cannot_be_done_for_real_is_refused_by_name() -> None:
    """All of it at once, before anything is started."""
    with pytest.raises(Refused) as refused:
        require_real(scenario_from(NOT_REAL))

    said = refused.value.message
    for what in (
        "clock_jump",
        "partition",
        "gateways",
        "provider",
        "unwell",
        "'acme'",
        "a rate that changes",
        "preview",
    ):
        assert what in said


def test_the_app_of_a_scenario_is_python_with_its_settings() -> None:
    """Strategies, gates and bounds as one would write them."""
    strategy = {"name": "blue_green", "keep_old": 5.0}
    gates = {"promotion": ["manual", {"name": "delay", "seconds": 3.0}]}
    web = {"replicas": [1, 3], "strategy": strategy, "gates": gates, "termination_grace": 7.0}
    deploy = {"do": "deploy", "endpoint": "web", "version": 1}
    scenario = scenario_from({"endpoints": {"web": web, "mail": {"resource": "queue"}}, "actions": [deploy]})

    source = app_of(scenario, {"web": 1, "mail": 2})

    compile(source, "app.py", "exec")
    assert (
        'LoadBalancedEndpoint("web", termination_grace=7.0, replicas=(1, 3), strategy=BlueGreen(keep_old=5.0)' in source
    )
    assert "gates={'promotion': (Manual(), Delay(seconds=3.0),)}" in source
    assert 'QueueEndpoint("mail"' in source


@pytest.mark.slow
@pytest.mark.timeout(180)
def test_a_scenario_runs_with_real_processes(repository: Path) -> None:
    """And comes out as it says, as it does in the simulation."""
    result = run_real(read_scenario(repository / "examples" / "scenarios" / "real.toml"))

    assert result.good, (result.unmet, result.stuck, result.trace)
    (web,) = result.endpoints
    assert web.offered == web.answered > 0
