"""What decides a build's result beside the project's files."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import flashcore
from flashcore.build.lock import LOCK_FILE
from flashcore.build.options import BuildOptions
from flashcore.model.codec import to_json
from flashcore.registry.registry import Registry
from flashcore.registry.reports import State

_FORMAT = 1
"""Grows when what is noted of builds changes its form."""


def build_key(app: str, registry: Registry, options: BuildOptions, root: Path) -> str:
    """Two builds of the same files with the same key have the same result."""
    active = [report for report in registry.reports if report.state is State.ACTIVE]
    content = [
        *(_FORMAT, sys.version, app, to_json(options), _lock(root)),
        [str(report.origin) for report in active],
        sorted((path, str(part)) for path, part in registry.declarations.items()),
        list(_code(Path(flashcore.__file__).parent)),
        [list(_modules(Path(file))) for report in active if not report.origin.built_in for file in report.files],
    ]
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()


def _lock(root: Path) -> str:
    try:
        return hashlib.sha256((root / LOCK_FILE).read_bytes()).hexdigest()
    except OSError:
        return ""


def _modules(file: Path) -> Iterator[list[str | int]]:
    """The modules beside a plugin's hooks: whoever works on a plugin sees it act at once."""
    return _stamps(sorted(map(str, file.parent.glob("*.py"))))


def _code(folder: Path) -> Iterator[list[str | int]]:
    """Our own code, which changes without its version while somebody works on it."""
    for entry in sorted(os.scandir(folder), key=lambda entry: entry.name):
        if entry.is_dir(follow_symlinks=False):
            yield from _code(Path(entry.path))
        elif entry.name.endswith(".py"):
            yield from _stamps([entry.path])


def _stamps(paths: list[str]) -> Iterator[list[str | int]]:
    for path in paths:
        with contextlib.suppress(FileNotFoundError):  # an editor has just put another one in its place
            status = os.stat(path)  # noqa: PTH116 - there are hundreds of them
            yield [path, status.st_size, status.st_mtime_ns]
