"""Objects as pickles, with the memory of large arrays beside them (PEP 574), and which part of one cannot be pickled.

Plain pickle writes what everybody can import, ten times as fast; cloudpickle takes what it refuses, and what stands
in `__main__`, which is another module over there. Unpickling runs code: only for what carries a valid signature.
"""

from __future__ import annotations

import pickle
from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass
from typing import Any

from flashcore.model.errors import CannotUnpickle, Unserializable
from flashcore.wire.home import dump_at_home, load_at_home, own_home

PROTOCOL = 5
BESIDE = 64 * 1024
"""Memory of fewer bytes goes into the pickle: a buffer of its own would cost more than the copy."""

_DEPTH = 20
_SEARCHED = 1 << 16
_INSTALL_IT = 'install it; in an endpoint: dependencies=["cloudpickle"]'
_BY_VALUE = b"__main__"
"""What a pickle holds that names something there."""


def dump(
    value: Any, pieces: Mapping[str, Any] | None = None, home: str | None = None
) -> tuple[bytes, list[memoryview]]:
    """The pickle and the memory beside it. `pieces` are the value's parts as messages name them.

    What stands in `__main__` travels as a name of the module `home` where there is one, else as a whole.

    Raises Unserializable with the path of what cannot be pickled.
    """
    buffers: list[memoryview] = []

    def is_small(buffer: pickle.PickleBuffer) -> bool:
        memory = buffer.raw()
        if memory.nbytes < BESIDE:
            return True
        buffers.append(memory)
        return False

    try:
        data = pickle.dumps(value, PROTOCOL, buffer_callback=is_small)
        if _BY_VALUE not in data:
            return data, buffers
    except Exception:  # noqa: BLE001, S110 - whatever it cannot do is tried, or explained, below
        pass
    buffers.clear()
    try:
        data = dump_at_home(value, home, is_small, PROTOCOL) if home else _cloudpickled(value, is_small)
        return data, buffers
    except Exception as error:  # an object's own __reduce__ may raise anything
        raise _refusal(pieces or {"value": value}, error) from error


def load(data: bytes | memoryview, buffers: tuple[memoryview, ...] = ()) -> Any:
    """The object. Raises CannotUnpickle; give it nothing that was not signed."""
    home = own_home()
    try:
        if home is not None and (len(data) > _SEARCHED or home.encode() in bytes(data)):
            return load_at_home(data, home, buffers)
        return pickle.loads(data, buffers=buffers)  # noqa: S301 - only called after a valid signature, see above
    except Exception as error:  # unpickling imports modules and calls constructors, which may raise anything
        missing = "install here what the sender has, in the same versions"
        raise CannotUnpickle(
            f"a message of {len(data)} bytes cannot be unpickled here: {type(error).__name__}: {error}",
            next_step=_INSTALL_IT if _is_without_cloudpickle(error) else missing,
        ) from error


def type_name(cls: type) -> str:
    """As messages name a type: `list`, `acme.errors.Broken`."""
    return cls.__qualname__ if cls.__module__ == "builtins" else f"{cls.__module__}.{cls.__qualname__}"


def _cloudpickled(value: Any, is_small: Any) -> bytes:
    import cloudpickle  # takes 100 ms to import, and most values never need it

    data: bytes = cloudpickle.dumps(value, protocol=PROTOCOL, buffer_callback=is_small)
    return data


def _is_without_cloudpickle(error: Exception) -> bool:
    """Replicas may run in an interpreter that was found on the machine, with nothing installed."""
    return isinstance(error, ModuleNotFoundError) and (error.name or "").partition(".")[0] == "cloudpickle"


def _refusal(pieces: Mapping[str, Any], error: Exception) -> Unserializable:
    if _is_without_cloudpickle(error):
        path = ", ".join(pieces)
        return Unserializable(
            f"{path}: pickling this takes cloudpickle, which is not installed here", next_step=_INSTALL_IT, path=path
        )
    found = (culprit for name, piece in pieces.items() for culprit in _culprits(piece, name, 0))
    path, culprit = next(found, (", ".join(pieces), None))
    what = f"{path}: {type_name(type(culprit))}" if culprit is not None else path
    return Unserializable(
        f"{what} cannot be pickled: {type(error).__name__}: {error}",
        next_step="pass what it is made from, or open it in the function that needs it",
        path=path,
    )


def _culprits(value: Any, path: str, depth: int) -> Iterator[tuple[str, Any]]:
    """The innermost parts that cannot be pickled by themselves, with their paths."""
    if depth > _DEPTH or can_be_pickled(value):
        return
    inner = [found for name, part in _parts(value) for found in _culprits(part, f"{path}{name}", depth + 1)]
    yield from inner or [(path, value)]


def _parts(value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping):
        yield from ((f"[{key!r:.80}]", part) for key, part in value.items())
    elif isinstance(value, list | tuple | set | frozenset):
        yield from ((f"[{position}]", part) for position, part in enumerate(value))
    elif is_dataclass(value) and not isinstance(value, type):
        yield from ((f".{field.name}", getattr(value, field.name, None)) for field in fields(value))
    elif not isinstance(value, type) and isinstance(state := getattr(value, "__dict__", None), dict):
        yield from ((f".{name}", part) for name, part in state.items())


def can_be_pickled(value: Any) -> bool:
    """Whether it can, by itself."""
    try:
        _cloudpickled(value, lambda _: False)
    except Exception:  # noqa: BLE001 - that is the question
        return False
    return True
