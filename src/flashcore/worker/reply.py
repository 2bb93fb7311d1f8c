"""What goes back to a caller, in the form in which the call came: JSON, or a sealed package. One reply per attempt."""

from __future__ import annotations

from typing import Any, Protocol

from flashcore.model.errors import Unserializable
from flashcore.model.job import Payload
from flashcore.wire import seal, sealed
from flashcore.wire.envelope import RemoteFailure
from flashcore.worker.call import encode_item, item_of, list_of, output_of
from flashcore.worker.plain import encode


class Reply(Protocol):
    """Encodes what user code gives. All methods raise Unserializable."""

    def value(self, value: Any) -> Payload:
        """The value that it returned."""
        ...

    def item(self, value: Any) -> Payload:
        """The next item that it yielded."""
        ...

    def items(self) -> Payload:
        """All items so far, as the value of the whole call."""
        ...

    def raised(self, error: BaseException, failure: RemoteFailure) -> Payload | None:
        """The exception itself, where there is a form for it beside the text that everybody gets."""
        ...


class JsonReply:
    """JSON: in the envelope, or bare for a caller who knows of none."""

    def __init__(self, *, enveloped: bool) -> None:
        self._enveloped = enveloped
        self._items: list[bytes] = []

    def value(self, value: Any) -> Payload:
        """See Reply."""
        return _json(output_of(encode(value), enveloped=self._enveloped), "result")

    def item(self, value: Any) -> Payload:
        """See Reply."""
        item = encode_item(value, len(self._items))
        self._items.append(item)
        return _json(item_of(item, len(self._items) - 1, enveloped=self._enveloped), f"item[{len(self._items) - 1}]")

    def items(self) -> Payload:
        """See Reply."""
        return _json(output_of(list_of(self._items), enveloped=self._enveloped), "result")

    def raised(self, error: BaseException, failure: RemoteFailure) -> Payload | None:  # noqa: ARG002 - as in Reply
        """JSON has no form for it."""
        return None


class SealedReply:
    """Python values as they are, signed as the answer to one call."""

    def __init__(self, call: sealed.SealedCall) -> None:
        self._call = call
        self._items: list[bytes] = []

    def value(self, value: Any) -> Payload:
        """See Reply."""
        return _sealed(sealed.seal_value(self._call, value), "result")

    def item(self, value: Any) -> Payload:
        """See Reply."""
        number = len(self._items)
        payload = _sealed(sealed.seal_item(self._call, number, value), f"item[{number}]")
        self._items.append(bytes(payload.data))
        return payload

    def items(self) -> Payload:
        """See Reply."""
        return _sealed(sealed.seal_items(self._call, self._items), "result")

    def raised(self, error: BaseException, failure: RemoteFailure) -> Payload | None:
        """See Reply."""
        told = failure.error_type, failure.error_message, failure.error_traceback
        try:
            return _sealed(sealed.seal_raised(self._call, error, told), "exception")
        except Unserializable:
            return None  # one that is too large is told as text


def _json(data: bytes, what: str) -> Payload:
    seal.check_size(len(data), seal.LARGEST_JOB, what)
    return Payload(data)


def _sealed(pieces: list[seal.Bytes], what: str) -> Payload:
    seal.check_size(seal.size_of(pieces), seal.LARGEST_JOB, what)
    return Payload(bytes(pieces[0]) if len(pieces) == 1 else b"".join(pieces), seal.MEDIA)
