"""Endpoints as users declare them. An endpoint object is a declaration, and what gives functions to it."""

from __future__ import annotations

import os
from collections.abc import Callable, Coroutine
from typing import Any, ClassVar, ParamSpec, TypeVar, overload

from flashcore.client.functions import Link, RemoteClass, RemoteFunction, RouteFunction
from flashcore.client.settings import declare, setting_names
from flashcore.model.declaration import Declaration
from flashcore.model.errors import InvalidDeclaration
from flashcore.model.manifest import WEBSOCKET, Route
from flashcore.model.names import EndpointName

P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")


class Endpoint:
    """What all kinds of endpoint have in common.

    Settings are the fields of `Template` and `Policy`; a subclass may set defaults for them as class attributes:

        class OnGpu(QueueEndpoint):
            gpu = "any"
            replicas = (0, 3)
    """

    resource: ClassVar[str]
    """Name of the resource type."""

    def __init__(self, name: str, **settings: Any) -> None:
        """Declare the endpoint. Raises InvalidName, or InvalidDeclaration with all that is wrong."""
        self._declaration = declare(name, self.resource, {**_class_settings(type(self)), **settings})
        # In a test of a manifest all names have a prefix: its endpoints call each other, and never the real ones.
        self._link = Link(EndpointName(os.environ.get("FLASHCORE_NAME_PREFIX", "") + name))

    @property
    def name(self) -> str:
        """The name by which it is deployed and called."""
        return self._declaration.name

    @property
    def declaration(self) -> Declaration:
        """Its settings as values."""
        return self._declaration

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.name!r})"


class QueueEndpoint(Endpoint):
    """An endpoint whose calls are jobs: accepted at once, kept until they are done, taken by replicas as they are free.

    QueueEndpoint("embed", replicas=(0, 3), gpu="any", dependencies=["numpy"])
    """

    resource = "queue"

    @overload
    def function(self, target: type[T]) -> RemoteClass[T]: ...  # type: ignore[overload-overlap]  # a class is callable too: first match

    @overload
    def function(self, target: Callable[P, Coroutine[Any, Any, R]]) -> RemoteFunction[P, R]: ...

    @overload
    def function(self, target: Callable[P, R]) -> RemoteFunction[P, R]: ...

    def function(self, target: Any) -> Any:
        """Give a function or class to the endpoint; used as a decorator."""
        if isinstance(target, type):
            return RemoteClass(self._link, target)
        return RemoteFunction(self._link, _plain_function(target, f"{self!r}.function"))


class ScriptEndpoint(Endpoint):
    """A queue endpoint whose replicas run a script that was written for RunPod's package, as it is.

    ScriptEndpoint("embed", script="worker.py", replicas=(0, 3), dependencies=["runpod"])
    """

    resource = "worker_script"


class LoadBalancedEndpoint(Endpoint):
    """An endpoint whose calls are HTTP requests, each answered by a replica at once.

    LoadBalancedEndpoint("web", replicas=(2, 6), strategy=BlueGreen(auto_promote=False))
    """

    resource = "load_balanced"

    def route(self, method: str, path: str) -> RouteDecorator:
        """Serve `method` on `path`, as in `/items/{item_id}`; used as a decorator."""
        if not path.startswith("/"):
            raise InvalidDeclaration(
                f"endpoint {self.name!r}: the path {path!r} does not start with a slash", next_step=f"write '/{path}'"
            )
        return RouteDecorator(self._link, Route(method.upper(), path), f"{self!r}.{method.lower()}")

    def get(self, path: str) -> RouteDecorator:
        """Serve GET on `path`."""
        return self.route("GET", path)

    def post(self, path: str) -> RouteDecorator:
        """Serve POST on `path`."""
        return self.route("POST", path)

    def put(self, path: str) -> RouteDecorator:
        """Serve PUT on `path`."""
        return self.route("PUT", path)

    def patch(self, path: str) -> RouteDecorator:
        """Serve PATCH on `path`."""
        return self.route("PATCH", path)

    def delete(self, path: str) -> RouteDecorator:
        """Serve DELETE on `path`."""
        return self.route("DELETE", path)

    def websocket(self, path: str) -> RouteDecorator:
        """Serve WebSockets on `path`, by an async function that takes FastAPI's `WebSocket`."""
        return self.route(WEBSOCKET, path)


class RouteDecorator:
    """Gives the function below it to a route."""

    def __init__(self, link: Link, route: Route, shown: str) -> None:
        self._link = link
        self._route = route
        self._shown = shown

    @overload
    def __call__(self, target: Callable[P, Coroutine[Any, Any, R]]) -> RouteFunction[P, R]: ...

    @overload
    def __call__(self, target: Callable[P, R]) -> RouteFunction[P, R]: ...

    def __call__(self, target: Any) -> Any:
        """The function, callable over HTTP."""
        return RouteFunction(self._link, self._route, _plain_function(target, self._shown))


def _plain_function(target: Any, decorator: str) -> Callable[..., Any]:
    if callable(target) and hasattr(target, "__name__") and not isinstance(target, RemoteFunction | RouteFunction):
        function: Callable[..., Any] = target
        return function
    raise InvalidDeclaration(
        f"@{decorator} stands above {target!r}, which is no function",
        next_step="put it directly above `def`; a function belongs to one endpoint, and has one route",
    )


def _class_settings(kind: type[Endpoint]) -> dict[str, Any]:
    """Settings that subclasses set as class attributes; the nearest one counts."""
    names = setting_names()
    return {name: value for cls in reversed(kind.__mro__) for name, value in vars(cls).items() if name in names}
