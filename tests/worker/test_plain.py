"""Values of user code as JSON: what has a form, what has none, and where in a value that is."""

import dataclasses
import enum
import json
import math
import sys
from array import array
from collections import OrderedDict, deque, namedtuple
from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from ipaddress import ip_address
from pathlib import Path, PurePosixPath
from types import MappingProxyType, ModuleType
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, Field

from flashcore.model.errors import Unserializable
from flashcore.worker.plain import MAX_DEPTH, encode, to_plain

Point = namedtuple("Point", "x y")  # noqa: PYI024 - the untyped kind is what is tested


class Colour(enum.Enum):
    """A plain enum."""

    RED = "red"


class Level(enum.IntEnum):
    """One that is a number."""

    HIGH = 3


class Word(str, enum.Enum):  # noqa: UP042 - the older form is still what people write
    """One that is text."""

    YES = "yes"


@dataclasses.dataclass
class Box:
    """A dataclass."""

    name: str
    items: list[Any]


class Item(BaseModel):
    """A pydantic model with an alias."""

    price: Decimal = Field(alias="Price")


class Array:
    """As much of an array of numpy's or torch's as matters here."""

    def __init__(self, *items: Any) -> None:
        self._items = items

    def tolist(self) -> list[Any]:
        """Its items."""
        return list(self._items)


VALUES: list[tuple[Any, Any]] = [
    (None, None),
    (0, 0),
    ("", ""),
    ([], []),
    ({}, {}),
    (False, False),
    ({"error": 1}, {"error": 1}),
    ({"status": "FAILED"}, {"status": "FAILED"}),
    (2**80, 2**80),
    ((1, (2,)), [1, [2]]),
    (Point(1, 2), [1, 2]),
    (OrderedDict(b=1, a=2), {"b": 1, "a": 2}),
    (MappingProxyType({"a": 1}), {"a": 1}),
    (deque([1, 2]), [1, 2]),
    (range(3), [0, 1, 2]),
    ({3, 1, 2}, [1, 2, 3]),
    (frozenset({"b", "a"}), ["a", "b"]),
    (b"\x00\xff", {"$bytes": "AP8="}),
    (bytearray(b"a"), {"$bytes": "YQ=="}),
    (memoryview(b"a"), {"$bytes": "YQ=="}),
    (Box("b", [Box("c", [])]), {"name": "b", "items": [{"name": "c", "items": []}]}),
    (Item(Price=Decimal("1.10")), {"Price": "1.10"}),
    (Colour.RED, "red"),
    (Level.HIGH, 3),
    (Word.YES, "yes"),
    ({Colour.RED: Word.YES}, {"red": "yes"}),
    (datetime(2026, 1, 2, 3, tzinfo=UTC), "2026-01-02T03:00:00+00:00"),
    (date(2026, 1, 2), "2026-01-02"),
    (time(3, 4), "03:04:00"),
    (timedelta(minutes=1), 60.0),
    (Decimal("0.10"), "0.10"),
    (UUID(int=1), "00000000-0000-0000-0000-000000000001"),
    (PurePosixPath("a/b"), "a/b"),
    (ip_address("127.0.0.1"), "127.0.0.1"),
    (Array(1.5, Array(2)), [1.5, [2]]),
    (array("i", [1, 2]), [1, 2]),
    ({1: "a", None: "b", False: "c", 1.5: "d"}, {"1": "a", "null": "b", "false": "c", "1.5": "d"}),
    ({UUID(int=1): 1, date(2026, 1, 2): 2, Path("p"): 3}, {str(UUID(int=1)): 1, "2026-01-02": 2, "p": 3}),
    ("ä€😀", "ä€😀"),
]


@pytest.mark.parametrize(("value", "shown"), VALUES)
def test_a_value_has_its_form(value: Any, shown: Any) -> None:
    """B33: falsy values, keys named `error` and every type of the table arrive as the table says."""
    assert json.loads(encode(value)) == shown
    assert to_plain(value) == shown


MISFITS: list[tuple[Any, str, str]] = [
    (math.nan, "result", "nan"),
    ({"a": [1, {"b": math.inf}]}, "result.a[1].b", "inf"),
    (Box("b", [open]), "result.items[0]", "builtin_function_or_method"),
    ([{"handle": sys.stdout}], "result[0].handle", "among the types"),
    ({"a-b": object()}, "result['a-b']", "object"),
    (object, "result", "type"),
    (Array(1, 2j), "result[1]", "complex"),
    ({(1, 2): 3}, "result", "tuple"),
    ("\ud800", "result", "surrogate"),
    ({"\ud800": 1}, "result", "surrogate"),
    (iter([]), "result", "list_iterator"),
]


@pytest.mark.parametrize(("value", "path", "said"), MISFITS)
def test_what_has_no_form_is_named_with_its_place(value: Any, path: str, said: str) -> None:
    """B33: the error says where in the value the thing stands, and what it is."""
    with pytest.raises(Unserializable, match=said) as refused:
        encode(value)

    assert refused.value.path == path
    assert str(refused.value).startswith(path)


def test_a_value_that_contains_itself_is_refused() -> None:
    """A cycle ends in an error, not in a crash."""
    loop: list[Any] = []
    loop.append({"again": loop})

    with pytest.raises(Unserializable, match="contains itself"):
        encode(loop)


def test_what_a_conversion_raises_is_told_with_the_place() -> None:
    """A model whose own dump fails does not fail without a word."""

    class Broken:
        def tolist(self) -> list[int]:
            raise RuntimeError("no memory")

    with pytest.raises(Unserializable, match=r"result\.a has no JSON form.*RuntimeError: no memory"):
        encode({"a": Broken()})


def test_a_number_that_converts_to_itself_is_refused() -> None:
    """numpy.longdouble gives itself back; that is no reason to go on for ever."""

    class Longdouble:
        def tolist(self) -> object:
            return self

    with pytest.raises(Unserializable, match="no equal"):
        encode(Longdouble())


def test_numpy_is_not_imported_for_values_that_are_none_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Types are known by what they can do, so nothing heavy is imported to tell them apart."""
    monkeypatch.setitem(sys.modules, "numpy", ModuleType("numpy"))  # would raise AttributeError if it was looked into

    assert encode([Decimal(1), Array()]) == b'["1",[]]'


keys = st.text(st.characters(exclude_categories=["Cs"]), max_size=5) | st.integers() | st.booleans() | st.none()
scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.binary(max_size=5)
values = st.recursive(
    scalars | st.decimals() | st.dates() | st.uuids() | st.sampled_from([Colour.RED, Level.HIGH, object()]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(keys, inner, max_size=4) | st.tuples(inner, inner),
    max_leaves=20,
)


@given(values)
def test_the_quick_way_and_the_careful_way_agree(value: Any) -> None:
    """Which of the two was taken cannot be told from the outcome."""
    assert _outcome(lambda: json.loads(encode(value))) == _outcome(lambda: json.loads(json.dumps(to_plain(value))))


def _outcome(act: Callable[[], Any]) -> Any:
    """The value, or the place where there is none."""
    try:
        return act()
    except Unserializable as error:
        return ("refused", error.path)


def test_depth_has_a_limit_for_what_needs_the_careful_way() -> None:
    """A tower of lists with something odd at its top is an error with a readable path."""
    tower: Any = {(): 1}
    for _ in range(MAX_DEPTH + 5):
        tower = [tower]

    with pytest.raises(Unserializable) as refused:
        encode(tower)

    assert len(refused.value.path) <= 200
