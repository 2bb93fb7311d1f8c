"""The resource type `load_balanced`: calls are HTTP requests, each answered by a replica at once."""

from __future__ import annotations

from collections.abc import Iterator

from flashcore.hookspecs.resources import Defaults, Ingress
from flashcore.model.declaration import Declaration
from flashcore.model.manifest import FunctionEntry
from flashcore.model.parts import PartRef


class LoadBalancedResource:
    """Endpoints whose calls are HTTP requests."""

    @property
    def ingress(self) -> Ingress:
        """As HTTP requests."""
        return Ingress.HTTP

    @property
    def defaults(self) -> Defaults:
        """`/ping` says whether a replica is well; requests in flight say how many are needed."""
        return Defaults("load_balanced", PartRef("http"), PartRef("request_count"), PartRef("p2c"))

    @property
    def unfit_scalers(self) -> frozenset[str]:
        """There is no queue to look at."""
        return frozenset({"queue_delay"})

    def problems(
        self,
        declaration: Declaration,
        functions: tuple[FunctionEntry, ...],
    ) -> Iterator[str]:
        """No route at all."""
        if declaration.template.script is not None:
            yield "a script is run by a ScriptEndpoint: this one answers HTTP"
        if not functions:
            yield "it has no routes: put @NAME.get('/path') above a function, with NAME being the endpoint's variable"
