"""Resource types: one without a fault, for applications of another framework, and one for each fault there can be."""

import itertools
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from flashcore.client.endpoints import Endpoint, LoadBalancedEndpoint
from flashcore.hookspecs.resources import Defaults, Ingress
from flashcore.model.declaration import Declaration, problems
from flashcore.model.manifest import FunctionEntry
from flashcore.model.parts import PartRef


class SiteEndpoint(LoadBalancedEndpoint):
    """What user code declares."""

    resource = "site"


class OfAnotherType(LoadBalancedEndpoint):
    """Its name was left as it is in the class above it."""


class WithSettings(SiteEndpoint):
    """Reading a declaration does not see them."""

    max_concurrency = 100


class WithAConstructor(Endpoint):
    """Reading a declaration does not run it."""

    resource = "site"

    def __init__(self, name: str, schedule: str, **settings: Any) -> None:
        """Another argument."""
        super().__init__(name, **settings)
        self.schedule = schedule


class Unrelated:
    """No endpoint at all."""

    resource = "site"


class Sound:
    """One application for each endpoint, with the built-in handler."""

    ingress = Ingress.HTTP
    unfit_scalers = frozenset({"queue_delay"})

    @property
    def defaults(self) -> Defaults:
        """Asked for by a path of its own."""
        return Defaults("load_balanced", PartRef("http", ("/healthy",)), PartRef("request_count"), PartRef("p2c"))

    def problems(self, declaration: Declaration, functions: tuple[FunctionEntry, ...]) -> Iterator[str]:
        """There is exactly one."""
        if len(functions) != 1:
            yield f"it has {len(functions)} functions, and an endpoint is one application: leave one"


class CannotDecide(Sound):
    """JOBS at one look and HTTP at the next."""

    def __init__(self) -> None:
        self._ways = itertools.cycle(Ingress)

    @property
    def ingress(self) -> Ingress:  # type: ignore[override]  # that is the fault
        """The other one."""
        return next(self._ways)


class SaysIngressInWords(Sound):
    """Text for an enumeration's member."""

    ingress = "http"  # type: ignore[assignment]  # that is the fault


class NamesNoHandler(Sound):
    """One that nobody offers."""

    @property
    def defaults(self) -> Defaults:
        """Unheard of."""
        return replace(super().defaults, handler="unheard_of")


class ProbesWithAnOptionThatIsNone(Sound):
    """The probe's form has no such field."""

    @property
    def defaults(self) -> Defaults:
        """Misspelt."""
        return replace(super().defaults, probe=PartRef("http", (), {"pathh": "/"}))


class KeepsAnObject(Sound):
    """What has no form in JSON is lost on the way to the store."""

    @property
    def defaults(self) -> Defaults:
        """A number that is no JSON."""
        return replace(super().defaults, routing=PartRef("p2c", (), {"weights": {1: object()}}))


class RefusesItsOwnScaler(Sound):
    """No endpoint of it could be built."""

    unfit_scalers = frozenset({"request_count"})


class ListsUnfitScalers(Sound):
    """A tuple for a set."""

    unfit_scalers = ("queue_delay",)  # type: ignore[assignment]  # that is the fault


class FindsFaultWithAll(Sound):
    """Also with what it is for."""

    def problems(self, declaration: Declaration, functions: tuple[FunctionEntry, ...]) -> Iterator[str]:
        """Always."""
        yield "it is not good enough"


class TakesAnything(Sound):
    """Also what serves nothing."""

    def problems(self, declaration: Declaration, functions: tuple[FunctionEntry, ...]) -> Iterator[str]:
        """Never."""
        return iter(())


class Raises(Sound):
    """Takes it for granted that there is a function."""

    def problems(self, declaration: Declaration, functions: tuple[FunctionEntry, ...]) -> Iterator[str]:
        """Its first one."""
        yield from () if functions[0].route else ("it has no route: put @NAME.get('/path') above the function",)


class NeverEnds(Sound):
    """The build would not, either."""

    def problems(self, declaration: Declaration, functions: tuple[FunctionEntry, ...]) -> Iterator[str]:
        """Again and again."""
        return itertools.repeat("it has no functions") if not functions else iter(())


class EndsSentences(Sound):
    """The build goes on behind them."""

    def problems(self, declaration: Declaration, functions: tuple[FunctionEntry, ...]) -> Iterator[str]:
        """With a full stop."""
        return (f"{problem}." for problem in super().problems(declaration, functions))


class SaysNothing(Sound):
    """A problem without a word."""

    def problems(self, declaration: Declaration, functions: tuple[FunctionEntry, ...]) -> Iterator[str]:
        """An empty one."""
        return ("" for _ in super().problems(declaration, functions))


class RemembersWhatItSaw(Sound):
    """Complains once about each number of functions."""

    def __init__(self) -> None:
        self._seen: set[int] = set()

    def problems(self, declaration: Declaration, functions: tuple[FunctionEntry, ...]) -> Iterator[str]:
        """The first time."""
        if len(functions) not in self._seen:
            self._seen.add(len(functions))
            yield from super().problems(declaration, functions)


class KnowsOnlyWhatThisObjectSaw(Sound):
    """Another object says another thing."""

    MADE = itertools.count()

    def __init__(self) -> None:
        self._number = next(self.MADE)

    def problems(self, declaration: Declaration, functions: tuple[FunctionEntry, ...]) -> Iterator[str]:
        """With the number of the object."""
        return (f"{problem} ({self._number})" for problem in super().problems(declaration, functions))


class RepeatsTheCore(Sound):
    """Checks what was checked."""

    def problems(self, declaration: Declaration, functions: tuple[FunctionEntry, ...]) -> Iterator[str]:
        """Once more."""
        yield from super().problems(declaration, functions)
        yield from problems(declaration)
