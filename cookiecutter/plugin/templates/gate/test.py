"""When the gate passes, holds and fails."""

from dataclasses import replace

import pytest
from flashcore.hookspecs.gates import Fail, GateView, Hold, Pass, Verdict
from flashcore.model.table import SideSignals
from flashcore.testing.gate_kit import TARGET, gate_views

from {{ cookiecutter.__package }} import {{ cookiecutter.__form }}
from {{ cookiecutter.__package }}.gate import {{ cookiecutter.__part }}

GATE = {{ cookiecutter.__part }}({{ cookiecutter.__form }}(most=0.1, requests=10))


def seen(requests: int, failures: int) -> GateView:
    """A view in which gateways counted so many requests of the target."""
    signals = SideSignals(TARGET, requests=requests, failures=failures)
    return replace(next(gate_views()), target_signals=signals)


@pytest.mark.parametrize(
    ("requests", "failures", "verdict"),
    [
        (0, 0, Hold("0 of 10 requests were seen")),
        (9, 9, Hold("9 of 10 requests were seen")),
        (10, 1, Pass()),
        (10, 2, Fail("20.0% of 10 requests failed, 10.0% may")),
    ],
)
def test_verdicts(requests: int, failures: int, verdict: Verdict) -> None:
    """By what was counted."""
    assert GATE.verdict(seen(requests, failures)) == verdict
