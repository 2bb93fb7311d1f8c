"""The steps of a rollout."""

from flashcore.testing.rollout_model import RolloutModel

from {{ cookiecutter.__package }} import {{ cookiecutter.__form }}
from {{ cookiecutter.__package }}.strategy import {{ cookiecutter.__part }}


def test_a_rollout_goes_in_steps() -> None:
    """Two at a time, from four old ones to four new ones."""
    strategy = {{ cookiecutter.__part }}({{ cookiecutter.__form }}(step=2))
    model = RolloutModel(goal=4, budget=strategy.budget(4), starts=2)
    steps = []

    while model.done is None:
        decision = strategy.decide(model.view())
        steps.append((decision.old, decision.target))
        model.apply(decision)

    assert steps == [(4, 2), (2, 4), (0, 4)]
