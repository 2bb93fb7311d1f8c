"""Serializers: arguments and results to bytes and back, by media type.

How unlike serializers satisfy it:

* json: no buffers; bytes of unknown origin may be decoded.
* cloudpickle: large arrays leave as buffers, which travel beside the message without a copy; decoding runs code, so it
  needs a valid signature.
* a columnar format: a small head, and each column as a buffer; decoding gives views into them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from flashcore.hookspecs.markers import hookspec
from flashcore.hookspecs.records import Part
from flashcore.model import errors

API = range(1, 2)
CAPABILITIES = frozenset({"untrusted"})
"""`untrusted`: decoding never runs code, so bytes of unknown origin may be given to it."""


class EncodeError(errors.FlashcoreError):
    """A value has no form in this media type; `data['path']` says which part of it, as in `result.items[3].handle`."""

    code = "encode"


class DecodeError(errors.FlashcoreError):
    """Bytes that are no value of this media type."""

    code = "decode"


class Serializer(Protocol):
    """One media type. Stateless; called from any thread."""

    @property
    def media_type(self) -> str:
        """As in `application/json`."""
        ...

    def encode(self, value: Any) -> tuple[bytes, tuple[memoryview, ...]]:
        """The bytes, and large buffers that travel beside them. Raises EncodeError."""
        ...

    def decode(self, data: bytes, buffers: tuple[memoryview, ...]) -> Any:
        """The value. Raises DecodeError; without the capability `untrusted`, only called after a valid signature."""
        ...


@hookspec
def flashcore_serializers() -> Mapping[str, Part]:  # type: ignore[empty-body]  # a hookspec has no body
    """Offer serializers by name."""
