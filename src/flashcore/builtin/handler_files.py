"""What handlers of all kinds have in common: names, the functions' list, the folders that imports come from."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import PurePosixPath

from flashcore.hookspecs.handlers import GeneratedFile
from flashcore.model.codec import to_json
from flashcore.model.manifest import FunctionEntry
from flashcore.worker.dependencies import DEPENDENCIES

SOURCES = "src"
"""A project may keep its packages in this folder."""


def stem_of(endpoint: str) -> str:
    """The name of an endpoint's handler, without suffix. A DNS label has no underscores, so that no two are one."""
    return f"handler_{endpoint.replace('-', '_')}"


def functions_file(endpoint: str, functions: Iterable[FunctionEntry], requirements: Iterable[str]) -> GeneratedFile:
    """The list of functions that the handler beside it reads."""
    lines = ",\n".join(json.dumps(to_json(entry), sort_keys=True) for entry in functions)
    head = json.dumps({"endpoint": endpoint, "requirements": sorted(requirements)}).removesuffix("}")
    # One line for each function: people compare such files.
    return GeneratedFile(f"{stem_of(endpoint)}.json", f'{head}, "functions": [\n{lines}\n]}}\n')


def dependencies_lines(requirements: Iterable[str]) -> str:
    """The lines that let the handler import what an artifact may bring along; empty without requirements.

    They come before what the image has, and after the project itself.
    """
    if not list(requirements):
        return ""
    return f'\nsys.path.insert(1, str(Path(__file__).resolve().parent / "{DEPENDENCIES}"))\n'


def import_folders(functions: Iterable[FunctionEntry]) -> tuple[str, ...]:
    """Folders that modules may import from beside the root, where they found their neighbours as scripts do."""
    folders = {str(PurePosixPath(entry.module).parent) for entry in functions} - {"."}
    sources = {SOURCES} if any(folder.split("/")[0] == SOURCES for folder in folders) else set()
    return (*sorted(sources), *sorted(folders - sources))


def import_line(functions: Iterable[FunctionEntry]) -> str:
    """The line that lets modules import from those folders; empty when there are none.

    They come last, so that a file called queue.py hides nothing of Python's own.
    """
    folders = import_folders(functions)
    if not folders:
        return ""
    listed = ", ".join(json.dumps(folder) for folder in folders)
    return f"sys.path.extend(str(ROOT / folder) for folder in [{listed}])\n"
