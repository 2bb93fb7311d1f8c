"""`python -m flashcore.build.declaring ROOT FILE`: import a file and print the endpoints that it declared, by line.

A process of its own, started by `by_running` and by nothing else. What the file prints goes to standard error.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
from pathlib import Path
from typing import Any

from flashcore.client.endpoints import Endpoint
from flashcore.model.codec import to_json
from flashcore.model.declaration import Declaration
from flashcore.worker.load import load_module


def main(root: Path, file: str) -> None:
    """Import the file and print a JSON object: by line number the declaration that was made there."""
    folders = [root, root / "src", (root / file).parent]
    sys.path[:0] = list(dict.fromkeys(str(folder) for folder in folders))
    found = _watched(root / file)
    answer = os.dup(1)
    os.dup2(2, 1)
    try:
        load_module(root, file)
        told = {str(line): to_json(declaration) for line, declaration in found.items()}
    except BaseException as error:  # noqa: BLE001 - a file may raise anything, and exit
        told = {"failed": _shown(error)}
    with os.fdopen(answer, "w", encoding="utf-8") as output:
        json.dump(told, output)


def _shown(error: BaseException) -> str:
    if isinstance(error, SystemExit):
        return f"it left with exit status {error.code}"
    return f"{type(error).__name__}: {error}".partition("\n")[0]


def _watched(path: Path) -> dict[int, Declaration]:
    """By line the endpoints that are declared from now on by this file."""
    found: dict[int, Declaration] = {}
    declare = Endpoint.__init__

    def note(self: Endpoint, name: str, **settings: Any) -> None:
        declare(self, name, **settings)
        frame = sys._getframe(1)  # noqa: SLF001 - where the declaration stands is what tells one from another
        while frame.f_back is not None and Path(frame.f_code.co_filename) != path:
            frame = frame.f_back
        found[frame.f_lineno] = self.declaration

    setattr(Endpoint, "__init__", note)  # noqa: B010 - a method is replaced, in a process that ends with this
    return found


if __name__ == "__main__":
    with contextlib.suppress(BrokenPipeError):
        main(Path(sys.argv[1]), sys.argv[2])
