"""cloudpickle: any Python object. Decoding runs code, so it is done only to what carries a valid signature.

Large arrays are not copied into the pickle: their memory travels beside it (PEP 574).
"""

from __future__ import annotations

import pickle
from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass
from typing import Any

import cloudpickle

from flashcore.hookspecs.serializers import DecodeError, EncodeError

_DEPTH = 20


class CloudpickleSerializer:
    """Both ends have the same minor version of Python; whoever carries the bytes sees to that."""

    media_type = "application/vnd.flashcore.cloudpickle"

    def encode(self, value: Any) -> tuple[bytes, tuple[memoryview, ...]]:
        """The pickle, and the memory of arrays. Raises EncodeError with the path of what cannot be pickled."""
        buffers: list[pickle.PickleBuffer] = []
        try:
            data: bytes = cloudpickle.dumps(value, protocol=5, buffer_callback=buffers.append)
            return data, tuple(buffer.raw() for buffer in buffers)
        except Exception as error:  # an object's own __reduce__ may raise anything
            path = next(_culprits(value, "value", 0), "value")
            raise EncodeError(
                f"{path} cannot be pickled: {type(error).__name__}: {error}",
                next_step="pass what it is made from, or open it in the function that needs it",
                path=path,
            ) from error

    def decode(self, data: bytes, buffers: tuple[memoryview, ...]) -> Any:
        """The object. Raises DecodeError; give it nothing that was not signed."""
        try:
            return pickle.loads(data, buffers=buffers)  # noqa: S301 - only called after a valid signature, see above
        except Exception as error:  # unpickling imports modules and calls constructors, which may raise anything
            raise DecodeError(
                f"these {len(data)} bytes cannot be unpickled here: {type(error).__name__}: {error}",
                next_step="install here what the sender has, in the same versions",
            ) from error


def _culprits(value: Any, path: str, depth: int) -> Iterator[str]:
    """Paths of the innermost parts that cannot be pickled by themselves."""
    if depth > _DEPTH or _can_be_pickled(value):
        return
    inner = [found for name, part in _parts(value) for found in _culprits(part, f"{path}{name}", depth + 1)]
    yield from inner or [path]


def _parts(value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping):
        yield from ((f"[{key!r:.80}]", part) for key, part in value.items())
    elif isinstance(value, list | tuple | set | frozenset):
        yield from ((f"[{position}]", part) for position, part in enumerate(value))
    elif is_dataclass(value) and not isinstance(value, type):
        yield from ((f".{field.name}", getattr(value, field.name, None)) for field in fields(value))


def _can_be_pickled(value: Any) -> bool:
    try:
        cloudpickle.dumps(value, protocol=5, buffer_callback=lambda _: None)
    except Exception:  # noqa: BLE001 - that is the question
        return False
    return True
