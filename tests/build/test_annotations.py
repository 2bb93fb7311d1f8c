"""The JSON Schema that annotations mean."""

import ast
from collections.abc import Callable
from types import NoneType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter
from tests.build.conftest import Project

from flashcore.build.annotations import schema_of

ProjectWriter = Callable[..., Project]

ANNOTATIONS: dict[str, Any] = {
    "int": {"type": "integer"},
    "'float'": {"type": "number"},
    "None": {"type": "null"},
    "list[str]": {"type": "array", "items": {"type": "string"}},
    "typing.List[typing.List[int]]": {"type": "array", "items": {"type": "array", "items": {"type": "integer"}}},
    "dict[str, bool]": {"type": "object", "additionalProperties": {"type": "boolean"}},
    "dict[str, Any]": {"type": "object"},
    "int | None": {"anyOf": [{"type": "integer"}, {"type": "null"}]},
    "Optional[Union[int, str]]": {"anyOf": [{"type": "integer"}, {"type": "string"}, {"type": "null"}]},
    "Literal['a', 1]": {"enum": ["a", 1]},
    "tuple[int, ...]": {"type": "array", "items": {"type": "integer"}},
    "Annotated[int, Path()]": {"type": "integer"},
    "AsyncIterator[str]": {"type": "string"},
    "bytes": {"type": "string", "contentEncoding": "base64"},
    "numpy.ndarray": None,
    "list[torch.Tensor]": {"type": "array"},
    "int | Thing": None,
    "Literal[Colour.RED]": None,
    "f(x)": None,
    "'not python ('": None,
}


@pytest.mark.parametrize("text", ANNOTATIONS)
def test_annotations_that_json_has_words_for_have_a_schema(text: str) -> None:
    """B24: builtin and typing names, however they are imported; nothing is guessed of other classes."""
    assert schema_of(ast.parse(text, mode="eval").body) == ANNOTATIONS[text]


plain = st.sampled_from(["int", "str", "bool", "float", "None"])
annotations = st.recursive(
    plain,
    lambda inner: st.one_of(
        inner.map("list[{}]".format),
        inner.map("dict[str, {}]".format),
        st.tuples(inner, inner).map("{0[0]} | {0[1]}".format),
        st.tuples(inner, inner).map("tuple[{0[0]}, {0[1]}]".format),
    ),
    max_leaves=4,
)


@given(annotations, st.data())
def test_what_an_annotation_allows_its_schema_allows(text: str, data: st.DataObject) -> None:
    """B24: said by a library that knows both."""
    kind = eval(text.replace("None", "NoneType"))  # noqa: S307 - it is drawn from five names above
    drawn = TypeAdapter(kind).dump_python(data.draw(st.from_type(kind)), mode="json")

    schema = schema_of(ast.parse(text, mode="eval").body)

    assert schema is not None
    assert fits(drawn, schema), (drawn, schema)


def fits(value: Any, schema: Any) -> bool:
    """As much of JSON Schema as is used here."""
    if "anyOf" in schema:
        return any(fits(value, one) for one in schema["anyOf"])
    kinds: dict[str, Any] = {"integer": int, "string": str, "boolean": bool, "null": NoneType, "array": list}
    kind = schema["type"]
    if kind == "object":
        return isinstance(value, dict) and all(fits(one, schema["additionalProperties"]) for one in value.values())
    if kind == "number":
        return value is None or isinstance(value, int | float)  # JSON has no word for what is no number
    if not isinstance(value, kinds[kind]):
        return False
    if "prefixItems" in schema:
        return all(fits(one, part) for one, part in zip(value, schema["prefixItems"], strict=True))
    return kind != "array" or all(fits(one, schema["items"]) for one in value)


def test_functions_and_methods_carry_their_schemas(project: ProjectWriter) -> None:
    """B24: of each parameter and of the result, with the annotation as it was written."""
    made = project(
        app="""
        from flashcore import QueueEndpoint
        q = QueueEndpoint("q")
        @q.function
        def f(texts: list[str], k: "int" = 5, *, other) -> dict[str, float]: ...
        @q.function
        class Index:
            def __init__(self, path: str): ...
            async def search(self, query: str) -> None: ...
        """
    )

    found = made.functions()

    assert [one.schema for one in found["f"].parameters] == [
        {"type": "array", "items": {"type": "string"}},
        {"type": "integer"},
        None,
    ]
    result = found["f"].result
    assert result is not None
    assert result.annotation == "dict[str, float]"
    assert result.schema == {"type": "object", "additionalProperties": {"type": "number"}}
    assert found["Index"].parameters[0].schema == {"type": "string"}
    (search,) = found["Index"].methods
    assert search.result is not None
    assert search.result.schema == {"type": "null"}
