"""Numbers that differ from replica to replica: each has dice of its own, so that one more changes no other."""

from __future__ import annotations

import math
from dataclasses import dataclass
from random import Random

from flashcore.model.codec import CodecError

NEVER = math.inf
SHAPES = ("uniform", "normal", "exponential")


@dataclass(frozen=True, slots=True)
class Chance:
    """A distribution of seconds. `first` and `second` are what the shape needs; nothing is ever below 0."""

    shape: str
    first: float
    second: float = 0.0

    def draw(self, dice: Random) -> float:
        """One number."""
        match self.shape:
            case "uniform":
                return dice.uniform(self.first, self.second)
            case "normal":
                return max(0.0, dice.gauss(self.first, self.second))
            case "exponential":
                return dice.expovariate(1 / self.first)
            case _:
                return self.first


def always(seconds: float) -> Chance:
    """The same for everyone."""
    return Chance("always", seconds)


def read_chance(value: object, path: str) -> Chance:
    """A number of seconds, "never", or a table such as {uniform = [1, 3]}. Raises CodecError."""
    if value == "never":
        return always(NEVER)
    if _is_number(value):
        return always(_seconds(value, path))
    if isinstance(value, dict) and len(value) == 1:
        ((shape, given),) = value.items()
        if shape == "exponential":
            return Chance(shape, _mean(given, f"{path}.{shape}"))
        if shape in SHAPES:
            return Chance(shape, *_pair(given, f"{path}.{shape}"))
    raise CodecError(
        path,
        'must be seconds, "never", {uniform = [least, most]}, {normal = [mean, deviation]} or {exponential = mean},'
        f" not {value!r}",
    )


def _pair(value: object, path: str) -> tuple[float, float]:
    if not isinstance(value, list) or len(value) != 2:  # it is a pair
        raise CodecError(path, f"must be a list of two numbers, not {value!r}")
    return _seconds(value[0], f"{path}[0]"), _seconds(value[1], f"{path}[1]")


def _mean(value: object, path: str) -> float:
    mean = _seconds(value, path)
    if mean == 0:
        raise CodecError(path, "must be greater than 0")
    return mean


def _seconds(value: object, path: str) -> float:
    if not _is_number(value) or float(value) < 0:  # type: ignore[arg-type]  # it is a number then
        raise CodecError(path, f"must be a number of at least 0, not {value!r}")
    return float(value)  # type: ignore[arg-type]  # as above


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
