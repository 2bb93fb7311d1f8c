"""What is wrong with a project, collected so that all of it is said at once."""

from __future__ import annotations

import ast
from collections.abc import Sequence
from dataclasses import dataclass

from flashcore.model.errors import BuildError


@dataclass(frozen=True, slots=True, order=True)
class Place:
    """A place in the project. Lines and columns count from 1; 0 is the file as a whole."""

    file: str
    line: int = 0
    column: int = 0

    def __str__(self) -> str:
        """As editors and terminals understand it."""
        return f"{self.file}:{self.line}:{self.column}" if self.line else self.file


def place_of(file: str, node: ast.AST) -> Place:
    """Where a piece of code stands."""
    return Place(file, getattr(node, "lineno", 0), getattr(node, "col_offset", -1) + 1)


@dataclass(frozen=True, slots=True, order=True)
class Problem:
    """One thing that is wrong, and what to write instead."""

    place: Place
    message: str
    advice: str

    def __str__(self) -> str:
        """One line, and one with the advice."""
        return f"{self.place}: {self.message}\n      {self.advice}"


class Problems:
    """Collects problems; the same one is kept once."""

    def __init__(self) -> None:
        self._found: dict[Problem, None] = {}

    def add(self, place: Place, message: str, advice: str) -> None:
        """Keep a problem."""
        self._found[Problem(place, message, advice)] = None

    def __len__(self) -> int:
        return len(self._found)

    def raise_if_any(self) -> None:
        """Raise BuildError with all of them, by place."""
        if self._found:
            raise error_of(sorted(self._found))


def error_of(problems: Sequence[Problem]) -> BuildError:
    """The error that tells of these problems."""
    places = [str(problem.place) for problem in problems]
    if len(problems) == 1:
        only = problems[0]
        return BuildError(f"{only.place}: {only.message}", next_step=only.advice, places=places)
    listed = "\n".join(f"  {problem}" for problem in problems)
    return BuildError(f"{len(problems)} problems:\n{listed}", next_step="correct them, then build again", places=places)
