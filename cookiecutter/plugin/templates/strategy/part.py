"""How a rollout goes from the old revision to the target."""

from flashcore.hookspecs.strategies import Decision, Done, Progress, View
from flashcore.model.deployment import Budget

from {{ cookiecutter.__package }}.forms import {{ cookiecutter.__form }}


class {{ cookiecutter.__part }}:
    """Starts `step` replicas of the target, waits until they are ready, lets as many old ones go, and so on.

    It decides; flashcore starts and stops replicas, moves the traffic, and takes a rollout back that fails.
    """

    def __init__(self, options: {{ cookiecutter.__form }}) -> None:
        self._step = options.step

    def budget(self, goal: int) -> Budget:
        """All that are wanted stay ready; up to `step` more exist."""
        return Budget(min_ready=goal, max_existing=goal + self._step)

    def decide(self, view: View) -> Decision:
        """As many old ones as the ready new ones do not make up for, and new ones as there is room."""
        if view.target.ready >= view.goal:
            return Decision(old=0, target=view.goal, outcome=Done())
        old = min(view.old_live, view.goal - view.target.ready)
        return Decision(old=old, target=min(view.goal, view.goal + self._step - old), outcome=Progress())
