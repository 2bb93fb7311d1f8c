"""Arguments as somebody wrote them, to options objects."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Annotated, Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import Field

from flashcore.model.errors import InvalidOptions
from flashcore.model.parts import BlueGreen, ExecProbe, PartRef, Rolling
from flashcore.registry.options import Schema


class Colour(Enum):
    """A choice."""

    RED = "red"


@dataclass(frozen=True, slots=True)
class Step:
    """An option within an option."""

    weight: int
    pause: float = 0.0


@dataclass(frozen=True, slots=True)
class Canary:
    """What a third party's options look like."""

    steps: tuple[Step, ...]
    mode: Literal["fast", "slow"] = "slow"
    share: Annotated[float, Field(ge=0, le=1)] = 0.5
    labels: Mapping[str, str] = field(default_factory=dict)
    colour: Colour = Colour.RED
    computed: int = field(init=False, default=3)

    def __post_init__(self) -> None:
        """Refuse what no type can."""
        if not self.steps:
            raise ValueError("steps cannot be empty")


def read(cls: type, *args: Any, **options: Any) -> Any:
    """The options object from these arguments."""
    return Schema(cls, "strategy 'canary'").read(PartRef("canary", args, options))


@pytest.mark.parametrize(
    ("cls", "args", "options", "expected"),
    [
        (Rolling, (), {}, Rolling()),
        (Rolling, (2,), {"max_unavailable": "10%"}, Rolling(2, "10%")),
        (BlueGreen, (False, 3), {}, BlueGreen(False, 3.0)),
        (ExecProbe, (["true", "-x"],), {}, ExecProbe(("true", "-x"))),
        (ExecProbe, (("true",),), {}, ExecProbe(("true",))),
        (Canary, ([{"weight": 5}],), {"mode": "fast"}, Canary((Step(5),), "fast")),
        (Canary, ((Step(5, 2.0),),), {"labels": {"a": "b"}}, Canary((Step(5, 2.0),), labels={"a": "b"})),
        (Canary, ((Step(5),),), {"colour": "red"}, Canary((Step(5),))),
    ],
)
def test_arguments_become_options(cls: type, args: tuple[Any, ...], options: dict[str, Any], expected: object) -> None:
    """As a call of the dataclass would have them, from plain values too."""
    assert read(cls, *args, **options) == expected


@pytest.mark.parametrize(
    ("cls", "args", "options", "path", "problem"),
    [
        (Rolling, (), {"max_surg": 1}, "max_surg", "there is no such option, did you mean 'max_surge'?"),
        (Rolling, (), {"x": 1}, "x", "there is no such option"),
        (Rolling, (1,), {"max_surge": 1}, "max_surge", "is given twice, by position and by name"),
        (Rolling, (1, 2, 3), {}, "", "2 arguments are possible, 3 are given"),
        (Rolling, (True,), {}, "max_surge", "a valid integer, not True or input should be a valid string"),
        (Rolling, (1.5,), {}, "max_surge", "not 1.5"),
        (Rolling, (object(),), {}, "max_surge", "a object has no JSON form"),
        (BlueGreen, (), {"keep_old": "3"}, "keep_old", "a valid number, not '3'"),
        (BlueGreen, (1,), {}, "auto_promote", "a valid boolean, not 1"),
        (Canary, (), {}, "steps", "is missing"),
        (Canary, ([{}],), {}, "steps.0.weight", "is missing"),
        (Canary, ([{"weight": 1, "paus": 2}],), {}, "steps.0.paus", "there is no such option"),
        (Canary, ([{"weight": 1}, {"weight": "5"}],), {}, "steps.1.weight", "a valid integer, not '5'"),
        (Canary, ([{"weight": 1}],), {"mode": "wild"}, "mode", "'fast' or 'slow', not 'wild'"),
        (Canary, ([{"weight": 1}],), {"share": 2}, "share", "less than or equal to 1"),
        (Canary, ([{"weight": 1}],), {"labels": {"a": 1}}, "labels.a", "a valid string, not 1"),
        (Canary, ([{"weight": 1}],), {"computed": 1}, "computed", "there is no such option"),
        (Canary, ([],), {}, "", "steps cannot be empty"),
        (ExecProbe, ("true",), {}, "command", "a valid array, not 'true'"),
    ],
)
def test_what_does_not_fit_is_refused_with_its_path(
    cls: type, args: tuple[Any, ...], options: dict[str, Any], path: str, problem: str
) -> None:
    """No conversion: "3" is no number, 1 is not True, a string is no list."""
    with pytest.raises(InvalidOptions) as caught:
        read(cls, *args, **options)

    assert caught.value.data["path"] == path
    assert problem in caught.value.message
    assert caught.value.message.startswith("strategy 'canary'")
    assert f"the options of {cls.__name__} are: " in str(caught.value.next_step)


@given(st.integers(), st.one_of(st.integers(), st.text()))
def test_every_value_of_the_right_type_arrives_unchanged(surge: int, unavailable: int | str) -> None:
    """Nothing is rounded, trimmed or parsed on the way."""
    assert read(Rolling, surge, max_unavailable=unavailable) == Rolling(surge, unavailable)


def test_options_that_are_no_dataclass_are_refused() -> None:
    """A mistake of the plugin's author, found before any user's arguments are looked at."""
    with pytest.raises(TypeError, match="must be a dataclass"):
        Schema(dict, "strategy 'canary'")
