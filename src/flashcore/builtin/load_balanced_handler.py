"""The handler of load-balanced endpoints: an ASGI application that any server can run."""

from __future__ import annotations

from flashcore.builtin.handler_files import dependencies_lines, functions_file, import_line, stem_of
from flashcore.hookspecs.handlers import Generated, GeneratedFile
from flashcore.model.declaration import Declaration
from flashcore.model.manifest import FunctionEntry

_TEMPLATE = '''\
"""Serves the routes of endpoint {endpoint}. Written by `flashcore build`, and written again by the next one."""

import json
import sys
from pathlib import Path
{dependencies}
from flashcore.worker.lb import create_app
from flashcore.worker.load import load_functions

ROOT = Path(__file__).resolve().parent
{folders}ENTRIES = json.loads(Path(__file__).with_suffix(".json").read_text(encoding="utf-8"))["functions"]
REGISTRY = load_functions(ROOT, ENTRIES)
app = create_app(REGISTRY)
'''


class LoadBalancedHandlerGenerator:
    """Writes `handler_NAME.py` with `app` in it, and the functions' list beside it."""

    def generate(self, declaration: Declaration, functions: tuple[FunctionEntry, ...]) -> Generated:
        """Two files; the handler is the entry. Routes stand in the order in which they are to be tried."""
        ordered = sorted(functions, key=_precedence)
        folders = import_line(ordered)
        dependencies = dependencies_lines(self.requirements())
        text = _TEMPLATE.format(endpoint=declaration.name, dependencies=dependencies, folders=folders)
        entry = f"{stem_of(declaration.name)}.py"
        listed = functions_file(declaration.name, ordered, self.requirements())
        return Generated((GeneratedFile(entry, text), listed), entry)

    def requirements(self) -> tuple[str, ...]:
        """What `worker.lb` imports."""
        return ("fastapi>=0.141", "uvicorn>=0.50", "websockets>=15")


def _precedence(entry: FunctionEntry) -> tuple[list[tuple[int, str]], str, str]:
    """Fixed segments before placeholders, so that /items/latest is not taken for an item's id."""
    if entry.route is None:
        return [], "", entry.name
    segments = entry.route.path.split("/")
    return [(_openness(segment), segment) for segment in segments], entry.route.method, entry.name


def _openness(segment: str) -> int:
    if "{" not in segment:
        return 0
    return 2 if ":path}" in segment else 1
