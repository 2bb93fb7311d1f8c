"""Values keep their shape over JSON, and what does not fit is named by its path."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flashcore.model.codec import CodecError, from_json, one_level, to_json
from flashcore.model.declaration import Bounds, Declaration, Policy, ProbePolicy, Template, Volume
from flashcore.model.deployment import Backoff, Deployment, Surface
from flashcore.model.names import Digest, EndpointName
from flashcore.model.parts import PartRef


class Colour(Enum):
    """A small enum."""

    RED = "red"


@dataclass(frozen=True)
class Leaf:
    """A value with a bit of everything."""

    name: str
    colour: Colour = Colour.RED
    size: float = 1.0
    tags: frozenset[str] = frozenset()
    pair: tuple[int, str] = (1, "a")
    maybe: int | None = None


@dataclass(frozen=True)
class Tree:
    """A value of values."""

    leaves: tuple[Leaf, ...] = ()
    by_name: Mapping[str, Leaf] = field(default_factory=dict)
    extra: Mapping[str, Any] = field(default_factory=dict)


plain_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
leaves = st.builds(
    Leaf,
    name=st.text(),
    size=st.floats(allow_nan=False),
    tags=st.frozensets(st.text()),
    pair=st.tuples(st.integers(), st.text()),
    maybe=st.none() | st.integers(),
)
parts = st.builds(
    PartRef,
    name=st.text(min_size=1),
    args=st.lists(plain_json, max_size=2).map(tuple),
    options=st.dictionaries(st.text(), plain_json, max_size=2),
)
declarations = st.builds(
    Declaration,
    name=st.text(min_size=1),
    resource=st.sampled_from(["queue", "load_balanced", "acme_gpu_pool"]),
    template=st.builds(
        Template,
        gpu=st.none() | st.text(),
        gpu_count=st.integers(0, 8),
        cpu=st.none() | st.floats(0, 64),
        dependencies=st.lists(st.text(), max_size=3).map(tuple),
        env=st.dictionaries(st.text(), st.text(), max_size=3),
        volumes=st.lists(st.builds(Volume, source=st.text(), path=st.text()), max_size=2).map(tuple),
        provider=st.none() | parts,
        plugins=st.dictionaries(st.text(), st.dictionaries(st.text(), plain_json, max_size=2), max_size=2),
        extra=st.dictionaries(st.text(min_size=1).map(lambda s: f"acme_{s}"), plain_json, max_size=2),
    ),
    policy=st.builds(
        Policy,
        replicas=st.builds(Bounds, minimum=st.integers(0, 5), maximum=st.integers(5, 10)),
        strategy=parts,
        gates=st.dictionaries(st.text(), st.lists(parts, max_size=2).map(tuple), max_size=2),
        scaler=st.none() | parts,
        health=st.builds(ProbePolicy, interval=st.floats(0.1, 100), failed_terminal=st.booleans()),
    ),
)


@given(
    st.builds(
        Tree, leaves=st.lists(leaves, max_size=3).map(tuple), by_name=st.dictionaries(st.text(), leaves, max_size=3)
    )
)
def test_a_value_survives_the_journey_over_json(tree: Tree) -> None:
    """Encoding, writing, reading and decoding give the value back."""
    assert from_json(Tree, json.loads(json.dumps(to_json(tree)))) == tree


@given(declarations)
def test_a_declaration_travels_whole_with_fields_that_nobody_here_knows(declaration: Declaration) -> None:
    """Declaration -> JSON -> declaration is the identity, unknown fields of plugins and newer versions included."""
    assert from_json(Declaration, json.loads(json.dumps(to_json(declaration)))) == declaration


def test_unknown_fields_are_kept_where_there_is_room_for_them() -> None:
    """A newer peer's field is still there when the value is written again."""
    shown = {"leaves": [], "by_name": {}, "colour_of_bark": "brown"}

    tree = from_json(Tree, shown)

    assert tree.extra == {"colour_of_bark": "brown"}
    assert to_json(tree) == shown


@pytest.mark.parametrize(
    ("shown", "path"),
    [
        ({"leaves": [{"name": 3}]}, "leaves[0].name"),
        ({"leaves": [{"name": "a", "colour": "blue"}]}, "leaves[0].colour"),
        ({"leaves": [{"name": "a", "pair": [1]}]}, "leaves[0].pair"),
        ({"by_name": {"x": {}}}, "by_name.x.name"),
        ({"leaves": [{"name": "a", "sise": 2}]}, "leaves[0].sise"),
        ({"leaves": {}}, "leaves"),
        ({"leaves": [{"name": "a", "size": True}]}, "leaves[0].size"),
    ],
)
def test_what_does_not_fit_is_named_by_its_path(shown: Any, path: str) -> None:
    """The error says where in the document the first misfit is."""
    with pytest.raises(CodecError) as caught:
        from_json(Tree, shown)

    assert caught.value.path == path


def test_a_value_without_a_json_form_is_refused() -> None:
    """Nothing is turned into text behind the user's back."""
    with pytest.raises(CodecError, match="object has no JSON form"):
        to_json({"a": object()})


def test_one_level_makes_of_anything_what_to_json_makes() -> None:
    """It is the quick way to bytes, not another form."""
    policy = Policy(gates={"promotion": (PartRef("delay", (5,)),)}, extra={"later": 1})
    deployed = Deployment(
        EndpointName("web"),
        "queue",
        policy,
        Digest("0" * 64),
        Surface("jobs", PartRef("p2c"), PartRef("http"), PartRef("fixed")),
        goal=1,
        backoff={"r": Backoff(starts=1)},
    )

    quick = json.loads(json.dumps(deployed, default=one_level))

    assert quick == to_json(deployed)
    assert quick["policy"]["later"] == 1
