"""Handler generators: write the small files by which an endpoint's functions are served in a replica.

What is generated is deterministic, short, passes ast.parse, and imports only `flashcore.worker` and the user's code.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from flashcore.hookspecs.markers import hookspec
from flashcore.hookspecs.records import Part
from flashcore.model.declaration import Declaration
from flashcore.model.manifest import FunctionEntry

API = range(1, 2)
CAPABILITIES: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class GeneratedFile:
    """A file of the artifact: its path from the root with `/`, and its text."""

    path: str
    text: str


@dataclass(frozen=True, slots=True)
class Generated:
    """What a generator wrote. `entry` is the path of the file that a replica runs, one of `files`."""

    files: tuple[GeneratedFile, ...]
    entry: str


class HandlerGenerator(Protocol):
    """Writes the handler of one endpoint."""

    def generate(self, declaration: Declaration, functions: tuple[FunctionEntry, ...]) -> Generated:
        """The files for this endpoint; the same input gives the same text.

        File names start with `handler_` and are made from the endpoint's name without collision.
        """
        ...

    def requirements(self) -> tuple[str, ...]:
        """Python requirements (PEP 508) that the handler has beside the user's."""
        ...


@hookspec
def flashcore_handler_generators() -> Mapping[str, Part]:  # type: ignore[empty-body]  # a hookspec has no body
    """Offer handler generators; a resource type names the one it uses."""
