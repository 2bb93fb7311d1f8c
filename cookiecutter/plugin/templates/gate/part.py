"""Whether a rollout may go on, by how often its requests fail."""

from flashcore.hookspecs.gates import Fail, GateView, Hold, Pass, Verdict

from {{ cookiecutter.__package }}.forms import {{ cookiecutter.__form }}


class {{ cookiecutter.__part }}:
    """Looks at what gateways counted of the target since the checkpoint was reached."""

    def __init__(self, options: {{ cookiecutter.__form }}) -> None:
        self._options = options

    def verdict(self, view: GateView) -> Verdict:
        """Hold until enough was seen, then pass or fail."""
        signals = view.target_signals
        seen = signals.requests if signals is not None else 0
        if signals is None or seen < self._options.requests:
            return Hold(f"{seen} of {self._options.requests} requests were seen")
        share = signals.failures / seen
        if share > self._options.most:
            return Fail(f"{share:.1%} of {seen} requests failed, {self._options.most:.1%} may")
        return Pass()
