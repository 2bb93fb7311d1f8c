"""Calls and replies as sealed packages: what a caller with the key sends, and what a replica with it gives back."""

from __future__ import annotations

import pickle
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from flashcore.model.errors import ProtocolError, RemoteError, SignatureRefused, Unserializable
from flashcore.wire import pickles, raised
from flashcore.wire.envelope import Arguments, Call
from flashcore.wire.seal import (
    JOB_LIFETIME,
    NO_NONCE,
    Bond,
    Bytes,
    Content,
    Direction,
    Package,
    SigningKey,
    Stamp,
    new_stamp,
    seal,
    unseal,
)

KEY_VARIABLE = "FLASHCORE_CALL_KEY"
"""The environment's key; without it, or with an empty one, calls are JSON."""


def key_in(environ: Mapping[str, str]) -> SigningKey | None:
    """The key that a process was given."""
    secret = environ.get(KEY_VARIABLE)
    return SigningKey(secret) if secret else None


class Given(NamedTuple):
    """Arguments as Python values."""

    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]


class Unpickled:
    """The arguments of one call, unpickled when somebody wants to see them: that runs code, and takes its time."""

    __slots__ = ("_given", "_package")

    def __init__(self, package: Package) -> None:
        self._package = package
        self._given: tuple[Given, Given | None] | None = None

    def given(self) -> tuple[Given, Given | None]:
        """Arguments, and the constructor's where there are any. Raises CannotUnpickle."""
        if self._given is None:
            args, kwargs, constructor = pickles.load(self._package.pickle, self._package.buffers)
            self._given = Given(args, kwargs), None if constructor is None else Given(*constructor)
        return self._given


class LazyArguments(NamedTuple):
    """The arguments of a sealed call."""

    of: Unpickled

    @property
    def args(self) -> tuple[Any, ...]:
        """Positional ones."""
        return self.of.given()[0].args

    @property
    def kwargs(self) -> Mapping[str, Any]:
        """Keyword ones."""
        return self.of.given()[0].kwargs


class LazyConstructor(NamedTuple):
    """The constructor's arguments of a sealed call that has some."""

    of: Unpickled

    @property
    def args(self) -> tuple[Any, ...]:
        """Positional ones."""
        return self._given.args

    @property
    def kwargs(self) -> Mapping[str, Any]:
        """Keyword ones."""
        return self._given.kwargs

    @property
    def _given(self) -> Given:
        given = self.of.given()[1]
        return given if given is not None else Given((), {})


class SealedCall(NamedTuple):
    """A call whose signature holds."""

    key: SigningKey
    package: Package
    function: str | None
    method: str | None
    arguments: LazyArguments
    constructor: LazyConstructor | None
    enveloped: bool = True

    @property
    def bond(self) -> Bond:
        """What its replies are bound to."""
        bond = self.package.bond
        return Bond(bond.endpoint, bond.function, Direction.REPLY, self.package.nonce)


def seal_call(key: SigningKey, endpoint: str, call: Call, stamp: Stamp, home: str | None = None) -> list[Bytes]:
    """The pieces of a call. Raises Unserializable with the path of what cannot be pickled.

    `home` is the module that the replica knows as what is `__main__` here.
    """
    constructor = None if call.constructor is None else (call.constructor.args, dict(call.constructor.kwargs))
    try:
        content = pickles.dump((call.arguments.args, dict(call.arguments.kwargs), constructor), home=home)
    except Unserializable:
        pickles.dump(call, dict(_pieces(call)))  # raises the same, and says in which of them
        raise
    kind = Content.VALUE if constructor is None else Content.CONSTRUCTED
    function = (call.function or "") if call.method is None else f"{call.function}.{call.method}"
    return seal(key, Bond(endpoint, function, Direction.CALL), kind, content, stamp)


def open_call(key: SigningKey, endpoint: str, data: Bytes) -> SealedCall:
    """The call, with nothing of it unpickled yet. Raises what `unseal` does."""
    package = unseal(key, data, endpoint=endpoint, direction=Direction.CALL)
    function, _, method = package.bond.function.partition(".")
    lazy = Unpickled(package)
    constructor = LazyConstructor(lazy) if package.kind is Content.CONSTRUCTED else None
    return SealedCall(key, package, function or None, method or None, LazyArguments(lazy), constructor)


def seal_value(call: SealedCall, value: Any) -> list[Bytes]:
    """The pieces of the reply with this value. Raises Unserializable."""
    return _reply(call, Content.VALUE, pickles.dump(value, {"result": value}))


def seal_items(call: SealedCall, items: Sequence[bytes]) -> list[Bytes]:
    """The pieces of the reply with all items of a stream, which `seal_item` has made."""
    return _reply(call, Content.ITEMS, (pickle.dumps(list(items), pickles.PROTOCOL), ()))


def seal_item(call: SealedCall, number: int, value: Any) -> list[Bytes]:
    """The pieces of one item of a stream. Raises Unserializable."""
    content = pickles.dump((number, value), {f"item[{number}]": value})
    bond = Bond(call.bond.endpoint, call.bond.function, Direction.ITEM, call.bond.answers)
    return seal(call.key, bond, Content.VALUE, content, new_stamp(JOB_LIFETIME))


def seal_raised(call: SealedCall, error: BaseException, told: tuple[str, str, str]) -> list[Bytes]:
    """The pieces of the reply with an exception; `told` is its type's name, its message and its traceback."""
    return _reply(call, Content.RAISED, (raised.take_apart(error, *told), ()))


def open_reply(key: SigningKey, endpoint: str, data: Bytes, answers: bytes | None, shown: str) -> Any:
    """The value of a reply. Raises the exception that it holds, or RemoteError where that is not known here.

    `answers` is the nonce of the call, None where nobody knows it any more; `shown` names the call.
    Raises what `unseal` and `load` do for what is no such reply.
    """
    package = unseal(key, data, endpoint=endpoint, direction=Direction.REPLY)
    _check_answers(package, answers)
    if package.kind is Content.RAISED:
        raise _exception(pickles.load(package.pickle), shown)
    value = pickles.load(package.pickle, package.buffers)
    if package.kind is Content.ITEMS:
        return [open_item(key, endpoint, item, answers)[1] for item in value]
    return value


def open_item(key: SigningKey, endpoint: str, data: Bytes, answers: bytes | None) -> tuple[int, Any]:
    """The number and the value of one item of a stream. Raises what `unseal` and `load` do."""
    package = unseal(key, data, endpoint=endpoint, direction=Direction.ITEM)
    _check_answers(package, answers)
    number, value = pickles.load(package.pickle, package.buffers)
    return number, value


def _reply(call: SealedCall, kind: Content, content: tuple[bytes, Sequence[memoryview]]) -> list[Bytes]:
    return seal(call.key, call.bond, kind, content, new_stamp(JOB_LIFETIME))


def _pieces(call: Call) -> Iterator[tuple[str, Any]]:
    """The arguments as messages name them."""
    for what, given in (("", call.arguments), ("constructor ", call.constructor or Arguments())):
        yield from ((f"{what}args[{at}]", value) for at, value in enumerate(given.args))
        yield from ((f"{what}{name}", value) for name, value in given.kwargs.items())


def _check_answers(package: Package, answers: bytes | None) -> None:
    if answers not in (None, NO_NONCE, package.bond.answers):
        raise SignatureRefused("this is the reply to another call", reason="bond")


def _exception(told: Any, shown: str) -> BaseException:
    if not isinstance(told, raised.Raised):
        raise ProtocolError(f"{shown}: the reply holds no exception")
    error = raised.put_together(told)
    if error is not None:
        return error
    return RemoteError(told.message, type_name=told.type_name, remote_traceback=told.traceback, call=shown)
