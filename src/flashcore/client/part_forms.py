"""How user code may write a part: by name, as one of the forms that come along, or as an object of a plugin's class."""

from __future__ import annotations

from dataclasses import MISSING, fields, is_dataclass
from typing import Any

from flashcore.model.codec import CodecError
from flashcore.model.parts import BUILTIN_FORMS, PartRef

_PLAIN = (bool, int, float, bytes, list, tuple, dict, set, frozenset)


def part_ref(value: object) -> PartRef:
    """The part that a value means. A plugin's class is kept by its import path until the platform resolves it.

    Raises CodecError for what cannot be a part, such as a number.
    """
    if isinstance(value, PartRef):
        return value
    if isinstance(value, str):
        return PartRef(value)
    if value is None or isinstance(value, _PLAIN):
        raise CodecError("", f"a part is needed, by name or as in Rolling(max_surge=1), not {value!r}")
    if isinstance(value, type):
        return PartRef(_name_of(value))
    return PartRef(_name_of(type(value)), options=_options_of(value))


def _name_of(form: type) -> str:
    return BUILTIN_FORMS.get(form) or f"{form.__module__}:{form.__qualname__}"


def _options_of(value: object) -> dict[str, Any]:
    """What was said beyond the defaults: a default that changes later is then followed, as with a part by name."""
    if not is_dataclass(value):
        return {}
    return {f.name: given for f in fields(value) if (given := getattr(value, f.name)) != _default(f)}


def _default(field: Any) -> object:
    return field.default_factory() if field.default_factory is not MISSING else field.default
