"""cloudpickle: any Python object. Decoding runs code, so it is done only to what carries a valid signature.

Large arrays are not copied into the pickle: their memory travels beside it (PEP 574).
"""

from __future__ import annotations

from typing import Any

from flashcore.hookspecs.serializers import DecodeError, EncodeError
from flashcore.model.errors import CannotUnpickle, Unserializable
from flashcore.wire import pickles


class CloudpickleSerializer:
    """Both ends have the same minor version of Python; whoever carries the bytes sees to that."""

    media_type = "application/vnd.flashcore.cloudpickle"

    def encode(self, value: Any) -> tuple[bytes, tuple[memoryview, ...]]:
        """The pickle, and the memory of arrays. Raises EncodeError with the path of what cannot be pickled."""
        try:
            data, buffers = pickles.dump(value)
        except Unserializable as error:
            raise EncodeError(error.message, next_step=error.next_step, path=error.path) from error
        return data, tuple(buffers)

    def decode(self, data: bytes, buffers: tuple[memoryview, ...]) -> Any:
        """The object. Raises DecodeError; give it nothing that was not signed."""
        try:
            return pickles.load(data, buffers)
        except CannotUnpickle as error:
            raise DecodeError(error.message, next_step=error.next_step) from error
