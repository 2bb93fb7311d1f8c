"""The kit for serializers sees each fault that it is there for."""

from __future__ import annotations

import json
import pickle
import threading
from collections.abc import Callable
from typing import Any

import pytest

from flashcore.builtin.json_serializer import JsonSerializer
from flashcore.hookspecs.serializers import Serializer
from flashcore.testing import serializer_kit as kit
from flashcore.testing.conformance import Nonconformance

Encoded = tuple[bytes, tuple[memoryview, ...]]


class NoMedia(JsonSerializer):
    """Its name in place of a media type."""

    media_type = "JSON"


class Rounds(JsonSerializer):
    """Numbers lose what is behind the point."""

    def encode(self, value: Any) -> Encoded:
        """A whole number."""
        return super().encode(int(value) if isinstance(value, float) else value)


class Views(JsonSerializer):
    """Gives a list of bytes beside the text."""

    def encode(self, value: Any) -> Encoded:
        """With an empty list."""
        return super().encode(value)[0], []  # type: ignore[return-value]  # that is the fault


class Counts(JsonSerializer):
    """Says how many it has encoded so far."""

    def __init__(self) -> None:
        self._count = 0

    def encode(self, value: Any) -> Encoded:
        """Behind blanks."""
        self._count += 1
        return super().encode(value)[0] + b" " * self._count, ()


class OfOneThread(JsonSerializer):
    """Belongs to the thread that made it."""

    def __init__(self) -> None:
        self._thread = threading.get_ident()

    def encode(self, value: Any) -> Encoded:
        """Raises in any other."""
        if threading.get_ident() != self._thread:
            raise RuntimeError("made in another thread")
        return super().encode(value)


class Plain:
    """The standard library's errors."""

    media_type = "application/json"

    def encode(self, value: Any) -> Encoded:
        """TypeError for what has no form."""
        return json.dumps(value).encode(), ()

    def decode(self, data: bytes, buffers: tuple[memoryview, ...]) -> Any:
        """JSONDecodeError for what is none."""
        return json.loads(data)


class Trusting(JsonSerializer):
    """Takes pickles, too."""

    def decode(self, data: bytes, buffers: tuple[memoryview, ...]) -> Any:
        """Whatever they do."""
        try:
            return pickle.loads(data)  # noqa: S301 - that is the fault
        except Exception:  # noqa: BLE001 - whatever is no pickle is JSON
            return super().decode(data, buffers)


FAULTS: list[tuple[Callable[[], Serializer], Callable[[kit.Subject], None]]] = [
    (NoMedia, kit.check_media_type),
    (Rounds, kit.check_round_trip),
    (Views, kit.check_round_trip),
    (Counts, kit.check_the_same_bytes_again),
    (OfOneThread, kit.check_any_thread),
    (Plain, kit.check_what_has_no_form_is_said),
    (Plain, kit.check_a_cut_message_is_a_decode_error),
    (Trusting, kit.check_strangers_bytes_do_no_harm),
]


@pytest.mark.parametrize(("broken", "check"), FAULTS, ids=lambda one: one.__name__)
def test_a_fault_is_seen(broken: Callable[[], Serializer], check: Callable[[kit.Subject], None]) -> None:
    """Each by the check that is there for it."""
    made = broken()
    with pytest.raises(Nonconformance):
        check(kit.Subject(lambda: made, untrusted=True))


def test_every_check_has_a_fault_that_it_sees() -> None:
    """A check that sees nothing checks nothing."""
    assert {check for _, check in FAULTS} == set(kit.SerializerKit.checks.values())
