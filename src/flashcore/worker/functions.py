"""The functions and classes behind one endpoint, and the choice of the one that a call means."""

from __future__ import annotations

import functools
import hashlib
import inspect
import json
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from traceback import walk_tb
from typing import Any, Protocol

from flashcore.model.errors import BuildError, NotFound, Refused, UsageError
from flashcore.model.light import light
from flashcore.model.manifest import FunctionEntry
from flashcore.wire import pickles
from flashcore.wire.envelope import Arguments, example_call

MAX_INSTANCES = 16
"""Instances of one class, by constructor arguments, that a replica keeps; each may hold a model on a GPU."""


class CallKind(Enum):
    """How a callable is run."""

    SYNC = "sync"
    ASYNC = "async"
    GENERATOR = "generator"
    ASYNC_GENERATOR = "async_generator"

    @property
    def on_loop(self) -> bool:
        """Whether it runs on the event loop; the other kinds block and want a thread."""
        return self in (CallKind.ASYNC, CallKind.ASYNC_GENERATOR)

    @property
    def streams(self) -> bool:
        """Whether it yields its result in pieces."""
        return self in (CallKind.GENERATOR, CallKind.ASYNC_GENERATOR)


def kind_of(target: Any) -> CallKind:
    """How `target` is run, seen through partial objects and `__call__`."""
    while isinstance(target, functools.partial):
        target = target.func
    if not (inspect.isfunction(target) or inspect.ismethod(target) or inspect.isbuiltin(target)):
        target = getattr(target, "__call__", target)  # noqa: B004 - the method itself is inspected, not its existence
    if inspect.isasyncgenfunction(target):
        return CallKind.ASYNC_GENERATOR
    if inspect.iscoroutinefunction(target):
        return CallKind.ASYNC
    return CallKind.GENERATOR if inspect.isgeneratorfunction(target) else CallKind.SYNC


class Given(Protocol):
    """Positional and keyword arguments; getting at them may run code."""

    @property
    def args(self) -> tuple[Any, ...]:
        """Positional ones."""
        ...

    @property
    def kwargs(self) -> Mapping[str, Any]:
        """Keyword ones."""
        ...


class Asked(Protocol):
    """A call, in whichever form it came."""

    @property
    def function(self) -> str | None:
        """None: the only one."""
        ...

    @property
    def method(self) -> str | None:
        """None: no method, or the only one."""
        ...

    @property
    def arguments(self) -> Given:
        """The call's own."""
        ...

    @property
    def constructor(self) -> Given | None:
        """The constructor's; None: its defaults."""
        ...

    @property
    def enveloped(self) -> bool:
        """Whether the value goes back in an envelope."""
        ...


@light
class Invocation:
    """A callable with its arguments. `label` is how messages name it; `enveloped` says how its value goes back."""

    label: str
    kind: CallKind
    target: Callable[..., Any]
    arguments: Given = field(default_factory=Arguments)
    enveloped: bool = True
    failure_in: Callable[[Any], str | None] | None = None
    """Reads the failure that a value of somebody else's handler means; None: values are values."""

    def begin(self) -> Any:
        """Call it: gives the value, the coroutine, or the generator.

        Raises what it raises; arguments that do not fit are a TypeError in Python's words with the signature below.
        """
        args, kwargs = self.arguments.args, self.arguments.kwargs
        try:
            return self.target(*args, **kwargs)
        except TypeError as error:
            signature = signature_of(self.target)
            if signature is None or _binds(signature, self.arguments):
                raise
            raise TypeError(f"{error}\n  signature: {self.label}{signature}") from None

    def unfit_by(self, error: BaseException) -> str | None:
        """What the target takes, where it raised because it cannot be called so; None where its own code has begun."""
        if not isinstance(error, TypeError):
            return None
        for target, arguments, label in self._calls():
            signature = signature_of(target)
            if signature is not None and not _binds(signature, arguments) and not _began(target, error):
                return f"{label}{signature}"
        return None

    def _calls(self) -> Iterator[tuple[Callable[..., Any], Given, str]]:
        """The calls that it is made of."""
        if isinstance(self.target, _MethodCall):
            yield self.target.owner.cls, self.target.constructor, self.target.owner.entry.name
        yield self.target, self.arguments, self.label


@dataclass(frozen=True, slots=True)
class LoadedFunction:
    """A function of the endpoint."""

    entry: FunctionEntry
    target: Callable[..., Any]
    kind: CallKind = field(init=False)

    def __post_init__(self) -> None:
        """Look at the function once, not at each call."""
        object.__setattr__(self, "kind", kind_of(self.target))

    @property
    def kinds(self) -> frozenset[CallKind]:
        """Kinds of what can be called here."""
        return frozenset({self.kind})

    @property
    def takes(self) -> Mapping[str, str]:
        """What it can be called with."""
        return {self.entry.name: f"{self.entry.name}{signature_of(self.target) or '(...)'}"}

    def invocation(self, call: Asked) -> Invocation:
        """What `call` means here. Raises UsageError if it asks for what only a class has."""
        if call.method is not None or call.constructor is not None:
            raise UsageError(
                f"{self.entry.name} is a function, not a class with methods",
                next_step="call it without method and constructor",
            )
        return Invocation(self.entry.name, self.kind, self.target, call.arguments, call.enveloped)


class LoadedClass:
    """A class of the endpoint with its instances: one by default arguments, made when the replica starts."""

    def __init__(self, entry: FunctionEntry, cls: type) -> None:
        self.entry = entry
        self.cls = cls
        self._kinds = {method.name: _kind_of_method(entry, cls, method.name) for method in entry.methods}
        self._instances: dict[bytes, Any] = {}
        self._lock = threading.Lock()

    @classmethod
    def construct(cls, entry: FunctionEntry, target: type) -> LoadedClass:
        """Make the default instance, unless the constructor cannot be called without arguments.

        Raises what the constructor raises, and BuildError for a method that is not there.
        """
        loaded = cls(entry, target)
        signature = signature_of(target)
        if signature is None or _binds(signature, Arguments()):
            loaded.instance(Arguments())
        return loaded

    @property
    def kinds(self) -> frozenset[CallKind]:
        """Kinds of what can be called here."""
        return frozenset(self._kinds.values())

    @property
    def takes(self) -> Mapping[str, str]:
        """What its methods, and its constructor, can be called with."""
        name = self.entry.name
        methods = {f"{name}.{method}": _MethodCall(self, method, Arguments()).__signature__ for method in self._kinds}
        signatures = {name: signature_of(self.cls), **methods}
        return {label: f"{label}{signature or '(...)'}" for label, signature in signatures.items()}

    def instance(self, constructor: Given) -> Any:
        """The instance made with these arguments; made now if it is the first time.

        Raises what the constructor raises, and Refused when the replica keeps MAX_INSTANCES others.
        """
        key = _key_of(constructor)
        with self._lock:
            if key not in self._instances:
                if len(self._instances) >= MAX_INSTANCES:
                    raise Refused(
                        f"{self.entry.name} has been constructed with {MAX_INSTANCES} different sets of arguments",
                        next_step="pass what varies to the method, not to the constructor",
                    )
                made = Invocation(self.entry.name, CallKind.SYNC, self.cls, constructor)
                self._instances[key] = made.begin()
            return self._instances[key]

    def invocation(self, call: Asked) -> Invocation:
        """What `call` means here. Raises NotFound or UsageError for a method that is not there or not named."""
        method = self._method(call.method)
        target = _MethodCall(self, method, call.constructor or Arguments())
        return Invocation(f"{self.entry.name}.{method}", self._kinds[method], target, call.arguments, call.enveloped)

    def _method(self, name: str | None) -> str:
        if name is None:
            if len(self._kinds) == 1:
                return next(iter(self._kinds))
            raise UsageError(
                f"class {self.entry.name} has the methods {_listed(self._kinds)}; the call names none of them",
                next_step="name one: flashcore call ENDPOINT CLASS.METHOD, or in an input, as in "
                + example_call(self.entry.name, next(iter(self._kinds), "METHOD")),
            )
        if name not in self._kinds:
            raise NotFound(
                f"class {self.entry.name} has no public method {name!r}", next_step=f"it has {_listed(self._kinds)}"
            )
        return name


@dataclass(frozen=True, slots=True)
class _MethodCall:
    """A method of an instance that may have to be made first."""

    owner: LoadedClass
    method: str
    constructor: Given

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return getattr(self.owner.instance(self.constructor), self.method)(*args, **kwargs)

    @property
    def __signature__(self) -> inspect.Signature | None:
        """What `inspect` shows, without self."""
        signature = signature_of(getattr(self.owner.cls, self.method))
        if signature is None or not inspect.isfunction(inspect.getattr_static(self.owner.cls, self.method)):
            return signature
        return signature.replace(parameters=list(signature.parameters.values())[1:])


class FunctionTable:
    """Everything that one endpoint serves, by name."""

    def __init__(self, functions: Sequence[LoadedFunction | LoadedClass]) -> None:
        self._functions: Mapping[str, LoadedFunction | LoadedClass] = {f.entry.name: f for f in functions}

    def __iter__(self) -> Iterator[LoadedFunction | LoadedClass]:
        return iter(self._functions.values())

    @property
    def kinds(self) -> frozenset[CallKind]:
        """Kinds of all that can be called."""
        return frozenset(kind for function in self for kind in function.kinds)

    @functools.cached_property
    def takes(self) -> Mapping[str, str]:
        """What can be called, and with what, as in `greet(name, loud)`; looked up once, before any fork."""
        return {label: text for function in self for label, text in function.takes.items()}

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the functions and classes."""
        return tuple(self._functions)

    def invocation(self, call: Asked) -> Invocation:
        """What a call means. Raises NotFound for an unknown name, UsageError where a name is needed and missing."""
        if call.function is None:
            return self._only().invocation(call)
        found = self._functions.get(call.function)
        if found is None:
            raise NotFound(
                f"this endpoint has no function {call.function!r}", next_step=f"it has {_listed(self.names)}"
            )
        return found.invocation(call)

    def _only(self) -> LoadedFunction | LoadedClass:
        if len(self._functions) == 1:
            return next(iter(self))
        raise UsageError(
            f"this endpoint serves {_listed(self.names)}; the call names none of them",
            next_step="name one: flashcore call ENDPOINT FUNCTION, or in an input, as in "
            + example_call(next(iter(self.names), "FUNCTION")),
        )


def signature_of(target: Callable[..., Any]) -> inspect.Signature | None:
    """The signature as a caller sees it, None for builtins that have none."""
    try:
        return inspect.signature(target)
    except (TypeError, ValueError):
        return None


def _kind_of_method(entry: FunctionEntry, cls: type, name: str) -> CallKind:
    if not callable(getattr(cls, name, None)):
        raise BuildError(
            f"{entry.module}:{entry.line}: class {entry.qualified_name} has no method {name!r}",
            next_step="define it whatever the environment",
        )
    return kind_of(getattr(cls, name))


def _key_of(constructor: Given) -> bytes:
    """Equal for equal arguments: by their JSON where they have one, else by what they are pickled to."""
    plain = [list(constructor.args), dict(constructor.kwargs)]
    try:
        return json.dumps(plain, sort_keys=True).encode()
    except (TypeError, ValueError, RecursionError):
        data, buffers = pickles.dump(plain)
        digest = hashlib.sha256(data)
        for buffer in buffers:
            digest.update(buffer)
        return digest.digest()


def _binds(signature: inspect.Signature, arguments: Given) -> bool:
    try:
        signature.bind(*arguments.args, **arguments.kwargs)
    except TypeError:
        return False
    return True


def _began(target: Callable[..., Any], error: BaseException) -> bool:
    """Whether the target's own code has run; a decorator's around it does not count."""
    if isinstance(target, _MethodCall):
        target = getattr(target.owner.cls, target.method)
    own = inspect.unwrap(target.__init__ if isinstance(target, type) else target)  # type: ignore[misc]  # it is called
    code = getattr(getattr(own, "__func__", own), "__code__", None)
    # `begin` raises what it caught anew: where it went before is with that one.
    raised = (error, error.__context__)
    return any(frame.f_code is code for one in raised if one is not None for frame, _ in walk_tb(one.__traceback__))


def _listed(names: Iterable[str]) -> str:
    return ", ".join(names) or "nothing"
