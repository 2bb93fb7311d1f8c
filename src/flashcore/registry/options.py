"""A part's arguments, as somebody wrote them, to the options object that its factory is called with."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property
from types import GenericAlias
from typing import Any

from flashcore.model.codec import CodecError, to_json
from flashcore.model.errors import InvalidOptions
from flashcore.model.parts import PartRef
from flashcore.registry.near import did_you_mean


class Schema:
    """The frozen dataclass whose fields are a part's options; `where` begins every complaint, as in `gate 'delay'`."""

    def __init__(self, cls: type, where: str) -> None:
        if not (isinstance(cls, type) and dataclasses.is_dataclass(cls)):
            raise TypeError(f"options must be a dataclass, {cls!r} is none")
        self._cls = cls
        self._where = where
        self._names = [field.name for field in dataclasses.fields(cls) if field.init]

    def read(self, ref: PartRef) -> Any:
        """An options object from the arguments of `ref`; positional ones fill the fields in their order.

        Types are those of JSON, without conversion: "3" is no number. Raises InvalidOptions for what does not fit.
        """
        return self._validated({name: self._plain(name, value) for name, value in self._by_name(ref).items()})

    def _plain(self, name: str, value: Any) -> Any:
        try:
            return to_json(value)
        except CodecError as error:
            raise self._refused(name, error.problem) from error

    def _by_name(self, ref: PartRef) -> Mapping[str, Any]:
        if len(ref.args) > len(self._names):
            raise self._refused("", f"{len(self._names)} arguments are possible, {len(ref.args)} are given")
        positional = dict(zip(self._names, ref.args, strict=False))
        for name in ref.options:
            if name in positional:
                raise self._refused(name, "is given twice, by position and by name")
            if name not in self._names:
                raise self._refused(name, f"there is no such option{did_you_mean(name, self._names)}")
        return {**positional, **ref.options}

    @cached_property
    def _adapter(self) -> Any:
        from pydantic import ConfigDict, TypeAdapter

        # A dataclass takes no settings from outside, but it inherits those of what it is inside of.
        wrapped: Any = GenericAlias(tuple, (self._cls,))
        return TypeAdapter(wrapped, config=ConfigDict(extra="forbid", strict=True))

    def _validated(self, plain: Any) -> Any:
        from pydantic import ValidationError

        try:
            return self._adapter.validate_json(json.dumps([plain]), strict=True)[0]
        except ValidationError as error:
            problems = error.errors(include_url=False)
            path = _path(problems[0], plain)
            same_place = [one for one in problems if _path(one, plain) == path]
            raise self._refused(".".join(path), _told(same_place)) from error

    def _refused(self, path: str, problem: str) -> InvalidOptions:
        return InvalidOptions(
            f"{self._where}, option {path}: {problem}" if path else f"{self._where}: {problem}",
            next_step=f"the options of {self._cls.__name__} are: {', '.join(self._names) or 'none'}",
            path=path,
            schema=self._cls.__name__,
        )


def require_no_options(ref: PartRef, where: str) -> None:
    """Raise InvalidOptions when arguments are given to a part that takes none."""
    if ref.args or ref.options:
        raise InvalidOptions(f"{where} takes no options", next_step="leave the arguments out", part=ref.name)


def _path(problem: Any, plain: Any) -> tuple[str, ...]:
    return tuple(_steps(problem["loc"][1:], plain, missing=problem["type"] == "missing"))


def _steps(location: tuple[Any, ...], plain: Any, *, missing: bool) -> Iterator[str]:
    """The steps that lead through the value; what a validator says of its own choices (`int`, `str`) is left out."""
    for position, step in enumerate(location):
        inside = step in plain if isinstance(plain, dict) else isinstance(plain, list) and isinstance(step, int)
        if inside:
            plain = plain[step]
        if inside or (missing and position == len(location) - 1):
            yield str(step)


def _told(problems: Iterable[Any]) -> str:
    messages = list(dict.fromkeys(_message(problem) for problem in problems))
    return " or ".join(messages)


def _message(problem: Any) -> str:
    if problem["type"] == "unexpected_keyword_argument":
        return "there is no such option"
    if problem["type"] == "missing":
        return "is missing"
    if "error" in problem.get("ctx", {}):
        return str(problem["ctx"]["error"])
    message: str = problem["msg"]
    return f"{message[:1].lower()}{message[1:]}, not {problem['input']!r}"
