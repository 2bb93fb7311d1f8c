"""The table of what becomes of values in JSON says what the code does."""

import datetime as dt
import enum
import ipaddress
import json
import math
import re
import uuid
from collections import deque
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import BaseModel, Field

from flashcore.model.errors import Unserializable
from flashcore.worker.plain import encode


@dataclass
class Point:
    """A dataclass."""

    x: int


class Item(BaseModel):
    """A pydantic model."""

    price: float = Field(alias="cost")


class Color(enum.Enum):
    """An enum."""

    RED = "red"


ROWS: dict[str, list[tuple[Any, Any]]] = {
    "None": [(None, None), (True, True), ("ä", "ä"), (1, 1), (1.5, 1.5)],
    "dict": [({1: "a", None: "b", Color.RED: "c", uuid.UUID(int=1): "d"},
              {"1": "a", "null": "b", "red": "c", str(uuid.UUID(int=1)): "d"})],
    "list": [([1], [1]), ((1, (2,)), [1, [2]]), (deque([1]), [1]), (range(2), [0, 1])],
    "set": [({3, 1, 2}, [1, 2, 3]), (frozenset("ba"), ["a", "b"])],
    "dataclass": [(Point(1), {"x": 1})],
    "pydantic": [(Item(cost=1.5), {"cost": 1.5})],
    "numpy": [(np.array([[1, 2]]), [[1, 2]]), (np.float32(0.5), 0.5)],
    "Enum": [(Color.RED, "red")],
    "datetime": [(dt.datetime(2026, 1, 2, tzinfo=dt.UTC), "2026-01-02T00:00:00+00:00"),
                 (dt.date(2026, 1, 2), "2026-01-02"), (dt.time(1, 2), "01:02:00")],
    "timedelta": [(dt.timedelta(minutes=1), 60.0)],
    "bytes": [(kind(b"a"), {"$bytes": "YQ=="}) for kind in (bytes, bytearray, memoryview)],
    "Decimal": [(Decimal("1.10"), "1.10"), (uuid.UUID(int=1), str(uuid.UUID(int=1))), (Path("a/b"), "a/b"),
                (ipaddress.ip_address("::1"), "::1")],
    "nan": [],
}  # fmt: skip


@pytest.mark.parametrize("row", [row for row in ROWS if ROWS[row]])
def test_the_table_of_json_is_true(row: str) -> None:
    """B34: the mapping for outsiders, row by row."""
    for value, shown in ROWS[row]:
        assert json.loads(encode(value)) == shown


@pytest.mark.parametrize(
    "value", [math.nan, math.inf, object(), lambda: None], ids=["nan", "inf", "object", "function"]
)
def test_what_has_no_json_form_is_an_error(value: Any) -> None:
    """B34: total: a form, or an error that names the place."""
    with pytest.raises(Unserializable, match=r"result\.a\[1\] has no JSON form"):
        encode({"a": [0, value]})


def test_the_table_has_every_row(repository: Path) -> None:
    """A row that is added to the page is tried here."""
    page = (repository / "docs" / "calling.md").read_text(encoding="utf-8")
    table = page.partition("| Python | JSON |")[2].partition("\n\n")[0]
    rows = re.findall(r"^\| `?(\w+)[^|]*\|[^|]*\|$", table, re.MULTILINE)

    assert rows == list(ROWS)
