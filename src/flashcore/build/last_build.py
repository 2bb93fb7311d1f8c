"""What the last build saw, so that one of a project that did not change need not look at any file's content.

One JSON file, written in one step. Whatever is wrong with it, it is forgotten: nothing but time depends on it.
A file that was changed a moment before it was looked at may change again without its times showing it, so that of such
files the content counts.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import tempfile
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flashcore.build.archive import SUFFIX
from flashcore.build.include import matching
from flashcore.build.tree import SourceFile, SourceTree, read_file
from flashcore.canonical import canonical_bytes
from flashcore.model.errors import BuildError
from flashcore.model.manifest import MANIFEST_FILE, Manifest, manifest_from_json, manifest_to_json
from flashcore.model.names import Digest

_SETTLED = 2_000_000_000
"""Nanoseconds after which a file that changes again has other times, on any file system."""


@dataclass(frozen=True, slots=True)
class LastBuild:
    """A build that succeeded."""

    manifest: Manifest
    """As it was before plugins amended it."""
    warnings: tuple[str, ...]
    generation: Path


def recall(path: Path, key: str, tree: SourceTree) -> LastBuild | None:
    """The last build, if it was one of the same files with the same `key`, and all that it made is still there."""
    try:
        kept = json.loads(path.read_bytes())
        if kept["key"] != key or not _same(kept, tree):
            return None
        generation = path.parent / kept["generation"]
        if any(_stamp(generation / name) != stamp for name, stamp in kept["made"].items()):
            return None
        manifest = kept["manifest"] or json.loads((generation / MANIFEST_FILE).read_bytes())
        return LastBuild(manifest_from_json(manifest), tuple(kept["warnings"]), generation)
    except (OSError, ValueError, TypeError, KeyError, AttributeError, BuildError):
        return None


@dataclass(frozen=True, slots=True)
class View:
    """The files as a build saw them that began to look at them at `began`, in nanoseconds."""

    tree: SourceTree
    began: int


def remember(path: Path, key: str, view: View, last: LastBuild, amended: Manifest) -> None:
    """Keep what a build saw and made; that it cannot is no harm. `amended` is the manifest as plugins left it."""
    tree, began = view.tree, view.began
    patterns = {pattern for entry in last.manifest.endpoints for pattern in entry.template.include}
    made = [MANIFEST_FILE, *(f"{entry.artifact}{SUFFIX}" for entry in last.manifest.endpoints)]
    with contextlib.suppress(OSError):
        content = {
            "key": key,
            "folders": tree.folders,
            "files": _seen(tree, tree.files.values(), began),
            "include": {pattern: _seen(tree, matching(tree.root, pattern), began) for pattern in sorted(patterns)},
            "manifest": None if amended == last.manifest else manifest_to_json(last.manifest),
            "warnings": last.warnings,
            "generation": last.generation.name,
            "made": {name: _stamp(last.generation / name) for name in made},
        }
        _write(path, json.dumps(content, separators=(",", ":")))


def is_unchanged(last: LastBuild, amended: Manifest) -> bool:
    """Whether plugins amend the manifest as they did then."""
    try:
        return (last.generation / MANIFEST_FILE).read_bytes() == manifest_bytes(amended)
    except OSError:
        return False


def manifest_bytes(manifest: Manifest) -> bytes:
    """The manifest as it is written to a file."""
    return canonical_bytes(manifest_to_json(manifest)) + b"\n"


def artifacts_in(generation: Path, manifest: Manifest) -> dict[Digest, Path]:
    """Where the archives of a manifest are."""
    return {entry.artifact: generation / f"{entry.artifact}{SUFFIX}" for entry in manifest.endpoints}


def _same(kept: Mapping[str, Any], tree: SourceTree) -> bool:
    return (
        kept["folders"] == tree.folders
        and _are(tree, kept["files"], tree.files.values())
        and all(_are(tree, seen, matching(tree.root, pattern)) for pattern, seen in kept["include"].items())
    )


def _are(tree: SourceTree, seen: Mapping[str, list[Any]], files: Iterable[SourceFile]) -> bool:
    count = 0
    for file in files:
        count += 1
        known = seen.get(file.path)
        if known is None or tuple(known[:5]) != file.stamp:
            return False
        if len(known) > 5 and known[5] != _digest(tree, file):
            return False
    return count == len(seen)


def _seen(tree: SourceTree, files: Iterable[SourceFile], began: int) -> dict[str, list[Any]]:
    return {
        file.path: [*file.stamp] if max(file.stamp[1:3]) < began - _SETTLED else [*file.stamp, _digest(tree, file)]
        for file in files
    }


def _digest(tree: SourceTree, file: SourceFile) -> str:
    data = tree.read(file.path) if file.path in tree.files else read_file(file.location, file.size)
    return hashlib.sha256(data).hexdigest()


def _stamp(path: Path) -> list[int]:
    status = path.stat()
    return [status.st_size, status.st_mtime_ns, status.st_ino]


def now() -> int:
    """The time by which files are stamped, in nanoseconds."""
    return time.time_ns()


def _write(path: Path, text: str) -> None:
    descriptor, draft = tempfile.mkstemp(prefix=f"{path.name}.", dir=path.parent)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
        Path(draft).replace(path)
    finally:
        Path(draft).unlink(missing_ok=True)
