"""json: values as JSON, the same forms that the worker gives results in; bytes come back as bytes."""

from __future__ import annotations

import binascii
import json
from base64 import b64decode
from typing import Any, NoReturn

from flashcore.hookspecs.serializers import DecodeError, EncodeError
from flashcore.model.errors import Unserializable
from flashcore.worker import plain


class JsonSerializer:
    """Decoding runs no code, so bytes of unknown origin may be given to it."""

    media_type = "application/json"

    def encode(self, value: Any) -> tuple[bytes, tuple[memoryview, ...]]:
        """JSON text in UTF-8, and no buffers. Raises EncodeError with the path of what has no form."""
        try:
            return plain.encode(value, "value"), ()
        except Unserializable as error:
            raise EncodeError(error.message, next_step=error.next_step, path=error.path) from error

    def decode(self, data: bytes, buffers: tuple[memoryview, ...]) -> Any:
        """The value. Raises DecodeError for what is no JSON, JSON's inventions (NaN) and stray buffers."""
        if buffers:
            raise DecodeError(f"{self.media_type} has no buffers beside it, {len(buffers)} came")
        try:
            return json.loads(data.decode(), object_hook=_bytes_back, parse_constant=_refuse_constant)
        except (ValueError, RecursionError) as error:
            raise DecodeError(f"these {len(data)} bytes are no {self.media_type}: {error}") from error


def _bytes_back(value: dict[str, Any]) -> Any:
    if value.keys() != {plain.BYTES} or not isinstance(value[plain.BYTES], str):
        return value
    try:
        return b64decode(value[plain.BYTES], validate=True)
    except binascii.Error:
        return value


def _refuse_constant(text: str) -> NoReturn:
    raise ValueError(f"JSON has no {text}")
