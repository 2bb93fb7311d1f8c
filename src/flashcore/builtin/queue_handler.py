"""The handler of queue-based endpoints: it runs under flashcore's worker, and as it is under RunPod's."""

from __future__ import annotations

from flashcore.builtin.handler_files import dependencies_lines, functions_file, import_line, stem_of
from flashcore.hookspecs.handlers import Generated, GeneratedFile
from flashcore.model.declaration import Declaration
from flashcore.model.manifest import FunctionEntry

_TEMPLATE = '''\
"""Serves the functions of endpoint {endpoint}. Written by `flashcore build`, and written again by the next one."""

import json
{sys}from pathlib import Path
{dependencies}
from flashcore.worker.handler import create_handler
from flashcore.worker.load import load_functions

ROOT = Path(__file__).resolve().parent
{folders}ENTRIES = json.loads(Path(__file__).with_suffix(".json").read_text(encoding="utf-8"))["functions"]
REGISTRY = load_functions(ROOT, ENTRIES)
handler = create_handler(REGISTRY)

if __name__ == "__main__":
    import runpod

    runpod.serverless.start(
        {{"handler": handler, "concurrency_modifier": lambda _: {concurrency}, "return_aggregate_stream": True}}
    )
'''


class QueueHandlerGenerator:
    """Writes `handler_NAME.py` with `handler` in it, and the functions' list beside it."""

    def generate(self, declaration: Declaration, functions: tuple[FunctionEntry, ...]) -> Generated:
        """Two files; the handler is the entry."""
        folders = import_line(functions)
        dependencies = dependencies_lines(declaration.template.dependencies)
        text = _TEMPLATE.format(
            endpoint=declaration.name,
            sys="import sys\n" if folders or dependencies else "",
            dependencies=dependencies,
            folders=folders,
            concurrency=declaration.template.max_concurrency,
        )
        entry = f"{stem_of(declaration.name)}.py"
        listed = functions_file(declaration.name, functions, self.requirements())
        return Generated((GeneratedFile(entry, text), listed), entry)

    def requirements(self) -> tuple[str, ...]:
        """None: the worker needs the standard library alone, and RunPod's images bring `runpod`."""
        return ()
