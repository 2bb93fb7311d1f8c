"""The handler of endpoints that run a script: it says which, and runs it where RunPod's own cloud starts it."""

from __future__ import annotations

import json

from flashcore.builtin.handler_files import functions_file, stem_of
from flashcore.hookspecs.handlers import Generated, GeneratedFile
from flashcore.model.declaration import Declaration
from flashcore.model.manifest import FunctionEntry

_TEMPLATE = '''\
"""Runs the script of endpoint {endpoint}. Written by `flashcore build`, and written again by the next one."""

from pathlib import Path

from flashcore.worker.script.declared import WorkerScript

ROOT = Path(__file__).resolve().parent
script = WorkerScript(ROOT / {script}, ROOT)

if __name__ == "__main__":
    script.run_here()
'''


class ScriptHandlerGenerator:
    """Writes `handler_NAME.py` with `script` in it, and an empty list of functions beside it."""

    def generate(self, declaration: Declaration, functions: tuple[FunctionEntry, ...]) -> Generated:
        """Two files; the handler is the entry."""
        text = _TEMPLATE.format(endpoint=declaration.name, script=json.dumps(declaration.template.script or ""))
        entry = f"{stem_of(declaration.name)}.py"
        return Generated(
            (GeneratedFile(entry, text), functions_file(declaration.name, functions, self.requirements())), entry
        )

    def requirements(self) -> tuple[str, ...]:
        """None: which version of RunPod's package it is run with is the author's to say."""
        return ()
