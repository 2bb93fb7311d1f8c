"""Settings as users write them, in their friendly forms, to a declaration. The build reads them by the same rules."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import fields
from functools import cache
from typing import Any, get_type_hints

from flashcore.client.part_forms import part_ref
from flashcore.model.codec import CodecError, from_json, to_json
from flashcore.model.declaration import (
    Bounds,
    Declaration,
    Policy,
    ProbePolicy,
    Template,
    require_sound,
    settings_of,
)
from flashcore.model.errors import InvalidDeclaration
from flashcore.model.names import endpoint_name
from flashcore.model.parts import (
    BlueGreen,
    ExecProbe,
    HashRouting,
    HttpProbe,
    QueueDelay,
    RequestCount,
    Rolling,
    StickyRouting,
)

PART_SETTINGS = frozenset({"provider", "strategy", "scaler", "routing", "probe"})
"""Settings whose value is a part."""

_FORMS: Mapping[str, tuple[type, ...]] = {
    "strategy": (Rolling, BlueGreen),
    "scaler": (QueueDelay, RequestCount),
    "routing": (HashRouting, StickyRouting),
    "probe": (HttpProbe, ExecProbe),
}
"""The forms with options that come along, by the setting whose value they are."""

_LARGEST_INTEGER = 2**53 - 1
_WITH_EXPONENT = 1e21
"""From here on canonical JSON writes floats with an exponent, by which they are read back as floats."""


def declare(name: str, resource: str, settings: Mapping[str, Any]) -> Declaration:
    """The declaration that these settings mean.

    Raises InvalidName, or InvalidDeclaration with all that is wrong with the settings.
    """
    endpoint_name(name)
    values, wrong = read_settings(settings)
    if wrong:
        raise InvalidDeclaration(
            f"endpoint {name!r}: " + "; ".join(wrong.values()),
            next_step="correct the settings of the declaration",
            endpoint=name,
            problems=list(wrong.values()),
        )
    return require_sound(declaration_of(name, resource, values))


def read_settings(settings: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, str]]:
    """The settings as the values that a declaration holds, and by name a sentence on each that cannot be used."""
    values: dict[str, Any] = {}
    wrong: dict[str, str] = {}
    for name, value in settings.items():
        try:
            values[name] = _read_setting(name, value)
        except CodecError as error:
            wrong[name] = str(error)
    return values, wrong


def declaration_of(name: str, resource: str, values: Mapping[str, Any]) -> Declaration:
    """Share what read_settings gave out between the two halves of a declaration."""
    template, policy = (
        {key: value for key, value in values.items() if key in settings_of(half)} for half in (Template, Policy)
    )
    return Declaration(name, resource, Template(**template), Policy(**policy))


def setting_names() -> frozenset[str]:
    """Every setting that an endpoint has."""
    return frozenset(_hints())


@cache
def _hints() -> dict[str, Any]:
    return {
        name: hint
        for half in (Template, Policy)
        for name, hint in get_type_hints(half).items()
        if name in settings_of(half)
    }


def _read_setting(name: str, value: Any) -> Any:
    if name not in _hints():
        raise CodecError(name, f"there is no such setting{_near(name)}")
    plain = to_json(_plainly(name, value))
    for path, problem in _unrepresentable(plain, name):
        raise CodecError(path, problem)
    return from_json(_hints()[name], plain, name)


def _near(name: str) -> str:
    from difflib import get_close_matches

    elsewhere = _elsewhere(name)
    if elsewhere:
        return elsewhere
    near = get_close_matches(name, sorted(_hints()), n=1)
    return f"; did you mean {near[0]}?" if near else f"; there are {', '.join(sorted(_hints()))}"


def _elsewhere(name: str) -> str:
    """Where to write what is no setting of an endpoint, but of one of its parts."""
    for setting, forms in _FORMS.items():
        found = [form.__name__ for form in forms if name in {f.name for f in fields(form)}]
        if found:
            written = " or ".join(f"{setting}={form}({name}=...)" for form in found)
            return f"; the {setting} has it: write {written}"
    if name in {f.name for f in fields(ProbePolicy)}:
        return f"; health has it: write health={{{name!r}: ...}}"
    return ""


def _plainly(name: str, value: Any) -> Any:
    """The friendly form of a setting as the value that the declaration holds."""
    try:
        if name == "replicas":
            return _bounds(value)
        if name == "gates":
            return _gates(value)
        if name in PART_SETTINGS and value is not None:
            return part_ref(value)
    except CodecError as error:
        raise CodecError(f"{name}.{error.path}".rstrip("."), error.problem) from None
    if isinstance(value, str) and str(_hints()[name]).startswith("tuple["):
        raise CodecError(name, f"a list is needed: write [{value!r}]")
    return value


def _bounds(value: Any) -> Bounds:
    if isinstance(value, Bounds):
        return value
    if isinstance(value, int) and not isinstance(value, bool):
        return Bounds(value, value)
    if isinstance(value, list | tuple) and len(value) == 2:
        return Bounds(*value)
    raise CodecError("", f"a number or (least, most) is needed, not {value!r}")


def _gates(value: Any) -> dict[str, list[Any]]:
    if not isinstance(value, Mapping):
        raise CodecError("", f"gates by checkpoint are needed, as in {{'promotion': Manual()}}, not {value!r}")
    return {
        str(checkpoint): [part_ref(gate) for gate in (gates if isinstance(gates, list | tuple) else [gates])]
        for checkpoint, gates in value.items()
    }


def _unrepresentable(value: Any, path: str) -> Iterator[tuple[str, str]]:
    """Numbers that canonical JSON cannot carry, so that no digest could be made of them."""
    if isinstance(value, float) and not math.isfinite(value):
        yield path, f"{value} is not a finite number"
    elif isinstance(value, int | float) and _is_too_large(value):
        yield path, f"{value} is too large; write it as text"
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield from _unrepresentable(item, f"{path}.{key}")
    elif isinstance(value, list):
        for position, item in enumerate(value):
            yield from _unrepresentable(item, f"{path}[{position}]")


def _is_too_large(number: float) -> bool:
    # The canonical form of 1e16 is 10000000000000000: who reads it has an integer, which has none.
    return abs(number) > _LARGEST_INTEGER and (isinstance(number, int) or abs(number) < _WITH_EXPONENT)
