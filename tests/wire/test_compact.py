"""Texts for each job are the same JSON as the standard library's."""

from __future__ import annotations

import json
import json.encoder
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flashcore.wire.compact import compact_encoder

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
)


@given(values)
def test_it_writes_what_the_standard_library_writes(value: object) -> None:
    """Without blanks, and with all characters as they are."""
    assert compact_encoder()(value) == json.dumps(value, separators=(",", ":"), ensure_ascii=False)


@pytest.mark.parametrize("value", [math.nan, math.inf, {"a": [-math.inf]}, {1, 2}, b"bytes"])
def test_what_is_no_json_is_refused(value: object) -> None:
    """A head that another language could not read is not sent."""
    with pytest.raises((ValueError, TypeError)):
        compact_encoder()(value)


def test_it_needs_nothing_that_a_python_may_not_have(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where there is no encoder in C, the standard library's own way is taken."""
    monkeypatch.setattr(json.encoder, "c_make_encoder", None)

    assert compact_encoder()({"a": [1, "ä"]}) == '{"a":[1,"ä"]}'
