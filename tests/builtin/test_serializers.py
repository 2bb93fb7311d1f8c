"""The built-in serializers."""

import contextlib
import datetime as dt
import math
import pickle
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flashcore.builtin.cloudpickle_serializer import CloudpickleSerializer
from flashcore.builtin.json_serializer import JsonSerializer
from flashcore.hookspecs.serializers import DecodeError, EncodeError, Serializer
from flashcore.testing.serializer_kit import PLAIN, SerializerKit


class TestJson(SerializerKit):
    """The serializer `json`."""

    untrusted = True

    def serializer(self) -> Serializer:
        """Nothing to configure."""
        return JsonSerializer()


class TestCloudpickle(SerializerKit):
    """The serializer `cloudpickle`, whose bytes are signed."""

    def serializer(self) -> Serializer:
        """Nothing to configure."""
        return CloudpickleSerializer()

    def values(self) -> Sequence[Any]:
        """Arrays, too, whose memory travels beside the rest."""
        return (*PLAIN, b"bytes", (1, 2), {3, 4}, np.arange(200_000.0), dt.date(2026, 1, 2))


SERIALIZERS: list[Serializer] = [JsonSerializer(), CloudpickleSerializer()]

plain_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(
        st.characters(exclude_categories=["Cs"])
    ) | st.binary(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), inner),
    max_leaves=20,
)  # fmt: skip


@dataclass
class Order:
    """Something of a user's."""

    name: str
    parts: list[Any]


@pytest.mark.parametrize("serializer", SERIALIZERS)
@given(value=plain_values)
def test_plain_values_come_back_as_they_were(serializer: Serializer, value: Any) -> None:
    """Bytes too, at any depth."""
    data, buffers = serializer.encode(value)

    assert serializer.decode(data, buffers) == value


@given(st.binary(max_size=200))
def test_json_takes_any_bytes_without_harm(data: bytes) -> None:
    """They are a value or a DecodeError, and no code runs."""
    with contextlib.suppress(DecodeError):
        JsonSerializer().decode(data, ())


@pytest.mark.parametrize(
    "data", [b"", b"{", b"NaN", b"[Infinity]", b"\xff", b"[" * 100_000, b"1" * 10_000, pickle.dumps(1)]
)
def test_json_refuses_what_is_no_json(data: bytes) -> None:
    """Deep nesting and numbers without end among it."""
    with pytest.raises(DecodeError, match="are no application/json"):
        JsonSerializer().decode(data, ())


def test_json_knows_no_buffers() -> None:
    """They would be lost without a word."""
    with pytest.raises(DecodeError, match="no buffers"):
        JsonSerializer().decode(b"1", (memoryview(b"x"),))


def test_an_object_that_only_looks_like_bytes_stays_an_object() -> None:
    """A user may have such a key."""
    for text in (b'{"$bytes": "not base64!"}', b'{"$bytes": 3}', b'{"$bytes": "AA==", "more": 1}'):
        assert isinstance(JsonSerializer().decode(text, ()), dict)


@pytest.mark.parametrize(
    ("serializer", "value", "path"),
    [
        (JsonSerializer(), {"items": [1, {"at": object()}]}, "value.items[1].at"),
        (JsonSerializer(), [math.nan], "value[0]"),
        (CloudpickleSerializer(), {"items": [1, Order("x", [threading.Lock()])]}, "value['items'][1].parts[0]"),
        (CloudpickleSerializer(), threading.Lock(), "value"),
    ],
)
def test_what_has_no_form_is_named_by_its_path(serializer: Serializer, value: Any, path: str) -> None:
    """A user looks for one lock in a hundred fields otherwise."""
    with pytest.raises(EncodeError) as caught:
        serializer.encode(value)

    assert caught.value.data["path"] == path
    assert path in caught.value.message
    assert caught.value.next_step


def test_json_writes_dates_and_dataclasses_one_way() -> None:
    """The forms that the worker gives results in."""
    data, buffers = JsonSerializer().encode({"when": dt.date(2026, 1, 2), "order": Order("x", [1])})

    assert data == b'{"when":"2026-01-02","order":{"name":"x","parts":[1]}}'
    assert buffers == ()


def test_cloudpickle_carries_functions_and_classes() -> None:
    """Those of __main__ and of closures by value."""
    factor = 3
    data, buffers = CloudpickleSerializer().encode(lambda number: number * factor)

    assert CloudpickleSerializer().decode(data, buffers)(5) == 15


class Block:
    """Something with memory of its own, as arrays have."""

    def __init__(self, memory: Any) -> None:
        self.memory = memory

    def __reduce_ex__(self, protocol: Any) -> Any:
        """PEP 574."""
        return Block, (pickle.PickleBuffer(self.memory),)


def test_large_memory_travels_beside_the_pickle() -> None:
    """It is not copied into it."""
    memory = bytearray(b"x" * 1_000_000)

    data, buffers = CloudpickleSerializer().encode(Block(memory))
    decoded = CloudpickleSerializer().decode(data, buffers)

    assert len(data) < 1_000
    assert [buffer.nbytes for buffer in buffers] == [1_000_000]
    assert bytes(decoded.memory) == memory


@pytest.mark.parametrize("data", [b"", b"nonsense", pickle.dumps(Order("x", []))[:-3], b"cnowhere\nAbsent\n."])
def test_bytes_that_cannot_be_unpickled_are_an_error_of_ours(data: bytes) -> None:
    """With what to do about it."""
    with pytest.raises(DecodeError) as caught:
        CloudpickleSerializer().decode(data, ())

    assert caught.value.next_step


def test_media_types_differ() -> None:
    """By them the other side knows what came."""
    assert len({serializer.media_type for serializer in SERIALIZERS}) == len(SERIALIZERS)
