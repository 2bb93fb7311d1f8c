"""How many replicas are wanted."""

from flashcore.testing.scaler_kit import scale_view

from {{ cookiecutter.__package }} import {{ cookiecutter.__form }}
from {{ cookiecutter.__package }}.scaler import {{ cookiecutter.__part }}

SCALER = {{ cookiecutter.__part }}({{ cookiecutter.__form }}(per_replica=10))


def test_a_replica_for_every_ten_calls() -> None:
    """Waiting or worked on, rounded up."""
    assert SCALER.desired(scale_view(goal=1, queued=25, in_flight=6)) == 4


def test_replicas_stay_while_there_is_work() -> None:
    """They go when nothing came for the idle timeout."""
    assert SCALER.desired(scale_view(goal=4, in_flight=1)) == 4
    assert SCALER.desired(scale_view(goal=4)) == 0
