"""What a mothership needs that is deployed somewhere, and not started by hand on a machine that stays."""

from __future__ import annotations

from flashcore.model.errors import ConfigurationError
from flashcore.model.names import Scope


def require_lasting(scope: Scope, *, shared: bool, instances: int) -> None:
    """Raise ConfigurationError unless its state is kept elsewhere (`shared`) and no more than one of it may run.

    With a state of its own it would begin with nothing after each restart: deploy everything again, and never know
    what it has to remove. Of two, both could provision before either knows of the other.
    """
    where = f"{scope.app}/{scope.environment}"
    if not shared:
        raise ConfigurationError(
            f"the mothership of {where} is deployed and keeps its state on a disk that goes with it",
            next_step='set state to a store elsewhere, as in "postgres://host/database"',
        )
    if instances != 1:
        raise ConfigurationError(
            f"the mothership of {where} may run {instances} times at once", next_step="set mothership.instances to 1"
        )
