"""Handler generators: write the small files by which an endpoint's functions are served in a replica.

What is generated is deterministic, short, passes ast.parse, and imports only `flashcore.worker` and the user's code. It
follows from the template and the functions alone: a text that changed with the policy would be another revision.

How unlike generators satisfy it:

* queue: the entry loads the functions and has `handler`, which is called with one job; RunPod's own start runs it too.
* load_balanced: the entry has `app`, an ASGI application; its requirements stand in the file beside it.
* worker_script: the entry has `script`, which only says what is run; there are no functions, and nothing is imported.
* another framework: the entry has a `handler` or an `app` of that framework, which is named in `requirements`.
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
    """What a generator wrote. `entry` is the path of the file that a replica runs: one of `files`, in the root."""

    files: tuple[GeneratedFile, ...]
    entry: str


class HandlerGenerator(Protocol):
    """Writes the handler of one endpoint."""

    def generate(self, declaration: Declaration, functions: tuple[FunctionEntry, ...]) -> Generated:
        """The files for this endpoint; the same input gives the same text, whatever the policy.

        File names start with `handler_` and are made from the endpoint's name without collision. The entry defines
        `handler`, `app` or `script`; what `dependencies` in the artifact holds can be imported by the user's code, and
        what is beside its files.
        """
        ...

    def requirements(self) -> tuple[str, ...]:
        """Python requirements (PEP 508) that the handler has beside the user's.

        They stand beside the entry as well, from where providers install them: in the JSON file of the same name, as a
        list under `requirements`.
        """
        ...


@hookspec
def flashcore_handler_generators() -> Mapping[str, Part]:  # type: ignore[empty-body]  # a hookspec has no body
    """Offer handler generators; a resource type names the one it uses."""
