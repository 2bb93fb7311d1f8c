"""The canonical form is that of the standard, however it is made."""

import math
from typing import Any

import pytest
import rfc8785
from hypothesis import given
from hypothesis import strategies as st

from flashcore.canonical import canonical_bytes

values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53) + 1, 2**53 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(codec="utf-8"))
    | st.sampled_from(["\x02", "\x020\x02", "\\u00020\\u0002", "\U0001f600", "\x7f\u2028\x1f"]),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text(st.characters(codec="utf-8")) | st.sampled_from("ab\x02\ue000\U0001f600"), inner)
    ),
    max_leaves=12,
)


@given(values)
def test_it_is_the_standards_form(value: Any) -> None:
    """B20: as a library of the standard's writes it, byte by byte."""
    assert canonical_bytes(value) == rfc8785.dumps(value)


@pytest.mark.parametrize("value", [2**53, -(2**53), math.nan, [math.inf], {"a": "\ud800"}])
def test_what_has_no_form_is_refused(value: Any) -> None:
    """B20: other languages could not read it back as the same."""
    with pytest.raises((rfc8785.CanonicalizationError, UnicodeEncodeError)):
        canonical_bytes(value)
