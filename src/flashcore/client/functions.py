"""What stands in user code in place of a function or class that was given to an endpoint."""

from __future__ import annotations

import copy
import functools
from abc import ABC, abstractmethod
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Generic, ParamSpec, Self, TypeVar

from flashcore.client.carry import Carrier
from flashcore.client.exchange import Conversation
from flashcore.client.handle import JobHandle
from flashcore.client.in_process import is_here, run_here, run_here_blocking
from flashcore.client.job_calls import JobCall, home_of, run_within, submit
from flashcore.client.many import MapOptions, map_awaited, map_blocking, zip_awaited
from flashcore.client.route_calls import TIMEOUT, CalledRoute, call_route
from flashcore.client.whereabouts import Whereabouts
from flashcore.model.errors import UsageError
from flashcore.model.manifest import WEBSOCKET, Route
from flashcore.model.names import EndpointName
from flashcore.wire.envelope import Arguments, Call
from flashcore.wire.seal import JOB_LIFETIME, new_stamp

P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")


_OF_JOBS = frozenset({"spawn", "spawn_async", "job"})
"""What functions of a queue have, and routes have not."""

LOCAL_ATTRIBUTE = "__flashcore_local__"
"""Under this name the worker finds the function or class as its author wrote it."""


def _own_carrier() -> Carrier:
    """To the gateway that this process is to call."""
    whereabouts = Whereabouts()
    return Carrier(whereabouts.url, whereabouts.key, whereabouts.authorization)


@dataclass(frozen=True, slots=True)
class Link:
    """The endpoint that functions belong to, and how to reach it."""

    endpoint: EndpointName
    carrier: Carrier = field(default_factory=_own_carrier, compare=False)


class Remote(ABC, Generic[P, R]):
    """What can be called elsewhere: awaited, blocking, many at a time; or here, with `local`."""

    _timeout: float | None = None

    def __init__(self, link: Link, target: Callable[..., Any]) -> None:
        self._link = link
        self._target = target

    def within(self, seconds: float) -> Self:
        """The same, whose calls raise DeadlineExceeded when their values are not there after so many seconds."""
        limited = copy.copy(self)
        limited._timeout = seconds  # noqa: SLF001 - of the same class
        return limited

    async def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Call it and await the value. In a replica of the same endpoint it runs in the process."""
        if is_here(self._link.endpoint):
            here: R = await run_here(self._here(), args, kwargs)
            return here
        return await self._link.carrier.carry_async(self._begin(args, kwargs))

    def remote(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Call it and wait for the value."""
        if is_here(self._link.endpoint):
            here: R = run_here_blocking(self._here(), args, kwargs)
            return here
        return self._link.carrier.carry(self._begin(args, kwargs))

    def local(self, *args: P.args, **kwargs: P.kwargs) -> Any:
        """Call the function itself, here, as if it belonged to no endpoint."""
        return self._here()(*args, **kwargs)

    def map(
        self, *arguments: Iterable[Any], concurrency: int = 16, ordered: bool = True, return_errors: bool = False
    ) -> Iterator[R]:
        """Call it for each item (for each tuple of items of several iterables), as the built-in `map` does.

        At most `concurrency` calls are under way, and items are taken when there is room for another one. Results come
        in the order of the items, or, not `ordered`, as they are there. The first error is raised where it is due and
        ends it; with `return_errors` errors stand among the results.
        """
        options = MapOptions(concurrency, ordered, return_errors)
        return map_blocking(self.remote, zip(*arguments, strict=False), options)

    def map_async(
        self,
        *arguments: Iterable[Any] | AsyncIterable[Any],
        concurrency: int = 16,
        ordered: bool = True,
        return_errors: bool = False,
    ) -> AsyncIterator[R]:
        """The same, for `async for`; items may come from asynchronous generators, too."""
        options = MapOptions(concurrency, ordered, return_errors)
        return map_awaited(self.__call__, zip_awaited(arguments), options)

    def _here(self) -> Callable[..., Any]:
        return self._target

    @abstractmethod
    def _begin(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Conversation[R]: ...


class QueueCallable(Remote[P, R]):
    """What is called as a job."""

    def spawn(self, *args: P.args, **kwargs: P.kwargs) -> JobHandle[R]:
        """Submit a job and return at once."""
        call = self._call(args, kwargs)
        return JobHandle(self._link.carrier.carry(submit(call)), call, self._link.carrier)

    async def spawn_async(self, *args: P.args, **kwargs: P.kwargs) -> JobHandle[R]:
        """Submit a job and return as soon as it is accepted."""
        call = self._call(args, kwargs)
        return JobHandle(await self._link.carrier.carry_async(submit(call)), call, self._link.carrier)

    def _begin(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Conversation[R]:
        return run_within(self._call(args, kwargs), self._timeout)

    def job(self, id: str) -> JobHandle[R]:  # noqa: A002 - what everybody calls it
        """The handle of a job of this function that was spawned before, here or elsewhere."""
        key = self._link.carrier.key()
        return JobHandle(id, JobCall(self._link.endpoint, self._meant(), self._shown, key), self._link.carrier)

    def _call(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> JobCall:
        meant = self._meant()
        call = Call(meant.function, meant.method, Arguments(args, kwargs), meant.constructor)
        key = self._link.carrier.key()
        stamp = None if key is None else new_stamp(JOB_LIFETIME)
        return JobCall(self._link.endpoint, call, self._shown, key, stamp, home_of(self._target))

    def _meant(self) -> Call:
        """What is called, with no arguments yet."""
        return Call(function=self._target.__name__)

    @property
    def _shown(self) -> str:
        """As errors name it."""
        return f"{self._link.endpoint}.{self._target.__name__}"


class RemoteFunction(QueueCallable[P, R]):
    """A function of a queue-based endpoint. `__wrapped__` is the function itself."""

    __name__: str
    __wrapped__: Callable[P, Any]

    def __init__(self, link: Link, target: Callable[..., Any]) -> None:
        super().__init__(link, target)
        functools.update_wrapper(self, target)
        setattr(self, LOCAL_ATTRIBUTE, target)

    def __repr__(self) -> str:
        return f"<remote function {self._target.__qualname__} of endpoint {self._link.endpoint}>"


class RouteFunction(Remote[P, R]):
    """A route of a load-balanced endpoint. `__wrapped__` is the function itself."""

    __name__: str
    __wrapped__: Callable[P, Any]

    def __init__(self, link: Link, route: Route, target: Callable[..., Any]) -> None:
        super().__init__(link, target)
        functools.update_wrapper(self, target)
        setattr(self, LOCAL_ATTRIBUTE, target)
        self.route = route

    def __repr__(self) -> str:
        return f"<{self.route.method} {self.route.path} of endpoint {self._link.endpoint}>"

    if not TYPE_CHECKING:  # a type checker knows without this that there is nothing of these names

        def __getattr__(self, name: str) -> Any:
            if name not in _OF_JOBS:
                raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
            raise AttributeError(
                f"{self.route.method} {self.route.path} of endpoint {self._link.endpoint} is called over HTTP and has "
                f"no {name}: its answer belongs to the request, and nobody keeps it for later. Call it and wait "
                f"(await {self.__name__}(...), or {self.__name__}.remote(...)), or give the work to a QueueEndpoint, "
                "whose functions are jobs"
            )

    def _begin(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Conversation[R]:
        if self.route.method == WEBSOCKET:
            raise UsageError(
                f"{self!r} is no call with one answer",
                next_step=f"open it with a WebSocket client, at /{self._link.endpoint}{self.route.path} of the gateway",
            )
        called = CalledRoute(self._link.endpoint, self.route, self._target, self._timeout or TIMEOUT)
        return call_route(called, args, kwargs, self._link.carrier.key())


class RemoteClass(Generic[T]):
    """A class of a queue-based endpoint. `__wrapped__` is the class itself.

    Calling it makes nothing yet: the replica makes an instance for each set of constructor arguments that it meets.
    In everything else it stands for the class, whose own code knows it by the same name.
    """

    _link: Link
    __wrapped__: type[T]

    def __init__(self, link: Link, target: type[T]) -> None:
        own: dict[str, Any] = {
            name: getattr(target, name) for name in functools.WRAPPER_ASSIGNMENTS if hasattr(target, name)
        }
        vars(self).update(own, _link=link, __wrapped__=target, **{LOCAL_ATTRIBUTE: target})

    def __getattr__(self, name: str) -> Any:
        if name == "__wrapped__":  # a copy that is being made has nothing yet
            raise AttributeError(name)
        return getattr(self.__wrapped__, name)

    def __setattr__(self, name: str, value: Any) -> None:
        setattr(self.__wrapped__, name, value)

    def __instancecheck__(self, instance: object) -> bool:
        """Whether it is an instance of the class itself."""
        return isinstance(instance, self.__wrapped__)

    def __call__(self, *args: Any, **kwargs: Any) -> RemoteInstance[T]:
        """An instance that lives in the endpoint's replicas. No argument means the constructor's defaults."""
        return RemoteInstance(self._link, self.__wrapped__, Arguments(args, kwargs))

    def local(self, *args: Any, **kwargs: Any) -> T:
        """An instance of the class itself, here."""
        made: T = self.__wrapped__(*args, **kwargs)
        return made

    def __mro_entries__(self, bases: tuple[object, ...]) -> tuple[type, ...]:
        """Whoever inherits from it inherits from the class itself."""
        return (self.__wrapped__,)

    def __repr__(self) -> str:
        return f"<remote class {self.__wrapped__.__qualname__} of endpoint {self._link.endpoint}>"


class RemoteInstance(Generic[T]):
    """An instance that lives in replicas; its methods are called there."""

    def __init__(self, link: Link, cls: type[T], constructor: Arguments) -> None:
        self._link = link
        self._cls = cls
        self._constructor = constructor
        self._made: T | None = None

    def __getattr__(self, name: str) -> RemoteMethod[..., Any]:
        if name.startswith("_") or not callable(getattr(self._cls, name, None)):
            raise AttributeError(f"{self!r} has no public method {name!r}; attributes stay in the replica")
        given = self._constructor if self._constructor.args or self._constructor.kwargs else None
        return RemoteMethod(self._link, self._cls, Call(self._cls.__name__, name, constructor=given), self._local)

    def __repr__(self) -> str:
        return f"<instance of remote class {self._cls.__qualname__} of endpoint {self._link.endpoint}>"

    def _local(self) -> T:
        if self._made is None:
            self._made = self._cls(*self._constructor.args, **self._constructor.kwargs)
        return self._made


class RemoteMethod(QueueCallable[P, R]):
    """A method of an instance that lives in replicas."""

    def __init__(self, link: Link, cls: type, call: Call, make: Callable[[], Any]) -> None:
        super().__init__(link, getattr(cls, call.method or ""))
        self._template = call
        self._make = make

    def __repr__(self) -> str:
        return f"<remote method {self._target.__qualname__} of endpoint {self._link.endpoint}>"

    def _here(self) -> Callable[..., Any]:
        bound: Callable[..., Any] = getattr(self._make(), self._target.__name__)
        return bound

    def _meant(self) -> Call:
        return self._template

    @property
    def _shown(self) -> str:
        return f"{self._link.endpoint}.{self._template.function}.{self._template.method}"
