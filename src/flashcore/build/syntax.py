"""A Python file's code, or why it cannot be had. Nothing is run."""

from __future__ import annotations

import ast
import platform
import sys
import warnings
from collections.abc import Iterator
from dataclasses import dataclass

from flashcore.build.problems import Place

LARGEST_SOURCE = 16 << 20
"""Bytes of a Python file above which it is not parsed: the syntax tree takes fifty times as much memory."""


@dataclass(frozen=True, slots=True)
class Unparsable:
    """A file whose code cannot be had."""

    place: Place
    reason: str
    advice: str


def parse(path: str, data: bytes) -> ast.Module | Unparsable:
    """The code of a file. Byte order marks, encoding cookies and line ends are as Python itself takes them."""
    if len(data) > LARGEST_SOURCE:
        return Unparsable(
            Place(path),
            f"its {len(data) / 1e6:.0f} MB are too much to scan",
            "move what is data into a data file, or name the file in .flashcoreignore",
        )
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the file's own style is not what is looked at
            return ast.parse(data, filename=path)
    except SyntaxError as error:
        return Unparsable(Place(path, error.lineno or 0, error.offset or 0), _reason(error), _OTHER_PYTHON)
    except ValueError as error:  # null bytes
        return Unparsable(Place(path), str(error), _ADVICE)
    except (RecursionError, MemoryError):
        return Unparsable(Place(path), "it is nested too deeply to be parsed", "split the expression")


_ADVICE = "correct it, or name the file in .flashcoreignore"
_OTHER_PYTHON = "correct it, run flashcore with the Python that it is written for, or name the file in .flashcoreignore"


def _reason(error: SyntaxError) -> str:
    # Newer syntax is an error like any other to an older parser: say whose grammar this is.
    return f"Python {platform.python_version()}, which runs this build, cannot parse it: {error.msg}"


def nodes_of(node: ast.AST) -> Iterator[ast.AST]:
    """The node and all below it, in no order that counts; twice as quick as `ast.walk`."""
    pending = [node]
    while pending:
        node = pending.pop()
        yield node
        pending += children_of(node)


def children_of(node: ast.AST) -> list[ast.AST]:
    """The nodes right below it."""
    found: list[ast.AST] = []
    for name in node._fields:
        value = getattr(node, name, None)
        if isinstance(value, ast.AST):
            found.append(value)
        elif isinstance(value, list):
            found += [item for item in value if isinstance(item, ast.AST)]
    return found


def minor_version() -> str:
    """The running Python's minor version, as in "3.11"."""
    return f"{sys.version_info.major}.{sys.version_info.minor}"
