"""`@remote(endpoint)`: the other way to say `@endpoint.function`."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any, ParamSpec, TypeVar, overload

from flashcore.client.endpoints import Endpoint, QueueEndpoint
from flashcore.client.functions import RemoteClass, RemoteFunction
from flashcore.model.errors import InvalidDeclaration

P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")


def remote(endpoint: Endpoint) -> RemoteDecorator:
    """Give the function or class below to a queue-based endpoint. Raises InvalidDeclaration for one of another kind."""
    if isinstance(endpoint, QueueEndpoint):
        return RemoteDecorator(endpoint)
    if isinstance(endpoint, Endpoint):
        raise InvalidDeclaration(
            f"{endpoint!r} serves routes: remote() does not say which",
            next_step="write @web.get('/path'), with `web` being the endpoint",
        )
    raise InvalidDeclaration(
        f"remote() needs an endpoint, not {endpoint!r}",
        next_step="write @remote(gpu), with gpu = QueueEndpoint('gpu')",
    )


class RemoteDecorator:
    """Gives what stands below it to an endpoint."""

    def __init__(self, endpoint: QueueEndpoint) -> None:
        self._endpoint = endpoint

    @overload
    def __call__(self, target: type[T]) -> RemoteClass[T]: ...  # type: ignore[overload-overlap]  # a class is callable too: first match

    @overload
    def __call__(self, target: Callable[P, Coroutine[Any, Any, R]]) -> RemoteFunction[P, R]: ...

    @overload
    def __call__(self, target: Callable[P, R]) -> RemoteFunction[P, R]: ...

    def __call__(self, target: Any) -> Any:
        """The function or class, callable elsewhere."""
        return self._endpoint.function(target)
