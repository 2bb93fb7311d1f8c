"""The files that an endpoint asks for by `include=[...]`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from flashcore.build.ignore import is_environment, may_be_packed
from flashcore.build.tree import SourceFile, source_file


def matching(root: Path, pattern: str) -> list[SourceFile]:
    """Files below `root` that a pattern means, sorted; none for a pattern that leads out of the project.

    What somebody asks for by name may be left out by git; what never leaves the project stays there all the same.
    """
    if problem_with(pattern):
        return []
    return sorted(_matching(root, pattern), key=lambda file: file.path)


def problem_with(pattern: str) -> str | None:
    """What is wrong with the pattern itself."""
    path = PurePosixPath(pattern)
    if not pattern or path.is_absolute() or ".." in path.parts:
        return "leads out of the project"
    return None


def _matching(root: Path, pattern: str) -> Iterator[SourceFile]:
    for path in root.glob(pattern):
        real = path.resolve()
        if _in_environment(root, real) or not (may_be_packed(root, path) and may_be_packed(root, real)):
            continue
        if path.is_file():
            yield source_file(path.relative_to(root).as_posix(), str(path), path.stat())


def _in_environment(root: Path, path: Path) -> bool:
    return any(is_environment(folder) for folder in path.parents if folder != root and folder.is_relative_to(root))
