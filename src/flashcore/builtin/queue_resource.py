"""The resource type `queue`: calls are jobs, taken by replicas as they are free."""

from __future__ import annotations

from collections.abc import Iterator

from flashcore.hookspecs.resources import Defaults, Ingress
from flashcore.model.declaration import Declaration
from flashcore.model.manifest import FunctionEntry
from flashcore.model.parts import PartRef


class QueueResource:
    """Endpoints whose calls are jobs."""

    @property
    def ingress(self) -> Ingress:
        """Through the job API."""
        return Ingress.JOBS

    @property
    def defaults(self) -> Defaults:
        """A replica's own connection says that it lives; the oldest job's wait says how many are needed."""
        return Defaults("queue", PartRef("heartbeat"), PartRef("queue_delay"), PartRef("p2c"))

    @property
    def unfit_scalers(self) -> frozenset[str]:
        """Requests are not jobs."""
        return frozenset({"request_count"})

    def problems(self, declaration: Declaration, functions: tuple[FunctionEntry, ...]) -> Iterator[str]:
        """No function at all, and settings that mean nothing for jobs."""
        if declaration.template.script is not None:
            yield "a script is run by a ScriptEndpoint: this one serves functions"
        if not functions:
            yield "it has no functions: put @NAME.function above one, with NAME being the endpoint's variable"
        if declaration.policy.routing is not None:
            yield "it has a routing policy, but replicas of a queue take jobs as they are free"
        if declaration.policy.ttl < declaration.policy.execution_timeout:
            yield (
                f"its ttl ({declaration.policy.ttl:g} s), which covers waiting and running, is shorter than "
                f"its execution_timeout ({declaration.policy.execution_timeout:g} s)"
            )
