"""The text of a field is found in whatever is there of a body."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flashcore.testing.measure import Instructions
from flashcore_routing.json_field import field_text

NAMES = st.text("abcdefg_é", min_size=1, max_size=4)
JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(NAMES, inner, max_size=4),
    max_leaves=20,
)
Place = tuple[list[str], Any]


def places(value: Any, path: tuple[str, ...] = ()) -> list[Place]:
    """Every path into a document, with what is there."""
    found: list[Place] = [(list(path), value)]
    inner = enumerate(value) if isinstance(value, list) else value.items() if isinstance(value, dict) else ()
    for name, child in inner:
        found += places(child, (*path, str(name)))
    return found


def written(value: Any) -> str:
    """A value as its document has it, a string without its quotes."""
    text = json.dumps(value, ensure_ascii=False)
    return text[1:-1] if isinstance(value, str) else text


@given(JSON, st.data())
def test_any_field_of_a_whole_document_is_found(document: Any, data: st.DataObject) -> None:
    """As it is written there."""
    path, value = data.draw(st.sampled_from(places(document)))
    body = json.dumps(document, ensure_ascii=False).encode()

    assert field_text(body, path) == written(value)


@given(JSON, st.data())
def test_a_cut_document_gives_the_beginning_or_nothing(document: Any, data: st.DataObject) -> None:
    """Never the text of another field."""
    path, value = data.draw(st.sampled_from(places(document)))
    body = json.dumps(document, ensure_ascii=False).encode()

    found = field_text(body[: data.draw(st.integers(0, len(body)))], path)

    assert found is None or written(value).startswith(found)


@given(st.binary(max_size=200), st.lists(NAMES, max_size=3))
def test_no_body_makes_it_raise(body: bytes, path: list[str]) -> None:
    """Callers send what they like."""
    field_text(body, path)


@pytest.mark.parametrize(
    ("body", "path", "text"),
    [
        ('{"prompt": "tell me"}', "prompt", "tell me"),
        ('{"other": {"prompt": "no"}, "prompt": "yes"}', "prompt", "yes"),
        ('{"input": {"prompt": "deep"}}', "input.prompt", "deep"),
        ('{"messages": [{"content": "one"}, {"content": "two"}]}', "messages.1.content", "two"),
        ('{"messages": [{"content": "one"}, {"cont', "messages", '[{"content": "one"}, {"cont'),
        ('{"prompt": "say \\"hi\\""}', "prompt", 'say \\"hi\\"'),
        ('{"prompt": "ends in a backslash \\\\"}', "prompt", "ends in a backslash \\\\"),
        ('{"prompt": ""}', "prompt", ""),
        ('{"prompt": null}', "prompt", "null"),
        ('{"prompt": [1', "prompt", "[1"),
        ('{"prompt":', "prompt", None),
        ('{"prompt": }', "prompt", None),
        ('{"other": 1}', "prompt", None),
        ("[1, 2]", "prompt", None),
        ("[1, 2]", "2", None),
        ('"prompt"', "prompt", None),
        ("", "prompt", None),
    ],
)
def test_examples(body: str, path: str, text: str | None) -> None:
    """Inner fields, positions, escapes, bodies that are cut off."""
    assert field_text(body.encode(), path.split(".")) == text


def test_no_more_characters_than_asked_for() -> None:
    """The rest of a long prompt is nobody's key."""
    assert field_text(b'{"prompt": "abcdef"}', ["prompt"], 3) == "abc"


def test_a_deeply_nested_body_is_read_once() -> None:
    """No recursion that a caller could exhaust, no reading again from every bracket."""
    body = b'{"a": ' + b"[" * 10_000

    with Instructions() as instructions:
        assert field_text(body, ["b"]) is None

    assert instructions.count < 60 * len(body)
