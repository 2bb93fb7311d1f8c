"""Calls and values cannot be mistaken for data, whatever the data looks like."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flashcore.model.errors import IncompatiblePeer, ProtocolError, SignatureRefused
from flashcore.wire import seal
from flashcore.wire.envelope import KEY, Arguments, Call, unwrap_call, unwrap_item, unwrap_value, wrap_call, wrap_value

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text() | st.just(KEY), inner, max_size=3),
    max_leaves=8,
)
arguments = st.builds(
    Arguments, st.lists(values, max_size=3).map(tuple), st.dictionaries(st.text(), values, max_size=3)
)


@given(st.builds(Call, st.none() | st.text(), st.none() | st.text(), arguments, st.none() | arguments))
def test_a_call_survives_its_envelope(call: Call) -> None:
    """Function, method, arguments and constructor come back as they were."""
    assert unwrap_call(wrap_call(call)) == call


@given(values)
def test_b33_any_value_survives_its_envelope(value: Any) -> None:
    """B33: falsy values, values named `error`, and values that look like envelopes come back as they were."""
    assert unwrap_value(wrap_value(value)) == value


def test_a_plain_object_is_keyword_arguments() -> None:
    """Whoever calls with curl writes the arguments as they are, and gets a plain answer."""
    call = unwrap_call({"name": "world"})

    assert call.arguments == Arguments(kwargs={"name": "world"})
    assert not call.enveloped


@pytest.mark.parametrize("value", [[], "x", None, 3])
def test_an_input_that_is_no_object_is_refused(value: Any) -> None:
    """Only objects can hold keyword arguments."""
    with pytest.raises(ProtocolError, match="must be an object"):
        unwrap_call(value)


def test_an_envelope_of_another_version_is_refused() -> None:
    """The older side is to be upgraded, nothing is guessed."""
    with pytest.raises(IncompatiblePeer, match="version 2"):
        unwrap_call({KEY: {"version": 2}})


@pytest.mark.parametrize("value", [{KEY: {}, "a": 1}, {KEY: 3}, {KEY: {"version": 1, "arguments": 3}}])
def test_a_broken_envelope_is_refused(value: Any) -> None:
    """Half an envelope is no call."""
    with pytest.raises(ProtocolError):
        unwrap_call(value)


@pytest.mark.parametrize("output", [None, {"value": 1}, {KEY: 1}, {KEY: {"version": 1}}])
def test_an_answer_without_an_envelope_is_refused(output: Any) -> None:
    """A value that is not ours is not handed out as if it were."""
    with pytest.raises(ProtocolError):
        unwrap_value(output)


@pytest.mark.parametrize("unwrap", [unwrap_value, unwrap_item])
def test_a_pickled_answer_is_told_as_such_to_who_has_no_key(unwrap: Callable[[Any], Any]) -> None:
    """The endpoint is flashcore's; what is missing is the key."""
    with pytest.raises(SignatureRefused, match="set FLASHCORE_CALL_KEY"):
        unwrap({"media": seal.MEDIA, "base64": ""})


@pytest.mark.parametrize(
    ("function", "shown"),
    [("greet", "greet"), ("x" * 201, "NAME"), ("", "NAME"), (["x"] * 1000, "NAME"), (None, "NAME")],
)
def test_an_error_shows_a_call_to_copy_of_what_can_be_a_name(function: object, shown: str) -> None:
    """An error is not as long as what a caller sends."""
    with pytest.raises(ProtocolError) as refused:
        unwrap_call({KEY: {"version": 1, "function": function, "arguments": {"x": 1}}})

    step = refused.value.next_step or ""
    assert f'"function": "{shown}"' in step
    assert len(step) < 500
