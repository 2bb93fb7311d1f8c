"""`flashcore manifest`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from flashcore.build.compare import Comparison, Fate, compare
from flashcore.cli import output
from flashcore.cli.common import Invocation, command
from flashcore.model.errors import BuildError
from flashcore.model.manifest import MANIFEST_FILE, Manifest, manifest_from_json


@click.group()
def manifest() -> None:
    """Compare manifests, and show their schema."""


@manifest.command()
@click.argument("old", type=click.Path(path_type=Path, exists=True), required=False)
@click.argument("new", type=click.Path(path_type=Path, exists=True), required=False)
@command
def diff(invocation: Invocation, old: Path | None, new: Path | None) -> None:
    """Say which endpoints are new, changed, removed or the same, and what in them changed.

    OLD and NEW are manifests, or build directories. Without OLD, the last build before this one is meant; without
    NEW, the present build.
    """
    before, after = _two(invocation, old, new)
    found = compare(before, after)
    if invocation.as_json:
        output.show_json(found)
        return
    for one in found:
        _show(one)


@manifest.command()
@command
def schema(invocation: Invocation) -> None:  # noqa: ARG001 - it is the same everywhere
    """Print the JSON Schema of flashcore_manifest.json."""
    from flashcore.build.schema import manifest_schema

    output.show_json(manifest_schema())


def _two(invocation: Invocation, old: Path | None, new: Path | None) -> tuple[Manifest, Manifest]:
    if old is not None and new is not None:
        return _read(old), _read(new)
    from flashcore.build.keep import Kept

    kept = Kept(invocation.project().layout.build)
    present = kept.present()
    if present is None:
        raise BuildError("there is no build to compare", next_step="make one: flashcore build")
    if old is not None:
        return _read(old), _read(present)
    before = kept.before()
    if before is None:
        raise BuildError("there is only one build", next_step="name another: flashcore manifest diff OLD")
    return _read(before), _read(present)


def _read(path: Path) -> Manifest:
    """A manifest, from its file or from the directory that it is in."""
    file = path / MANIFEST_FILE if path.is_dir() else path
    try:
        return manifest_from_json(json.loads(file.read_bytes()))
    except (OSError, ValueError) as error:
        raise BuildError(f"{file} is no manifest: {error}", next_step="name a flashcore_manifest.json") from error


_COLOURS = {Fate.NEW: "green", Fate.CHANGED: "yellow", Fate.REMOVED: "red", Fate.SAME: None}


def _show(one: Comparison) -> None:
    fate = click.style(one.fate.value, fg=_COLOURS[one.fate])
    note = "" if one.fate is not Fate.CHANGED else ", rolled out" if one.rolls else ", applied in place"
    click.echo(f"{one.endpoint}: {fate}{note}")
    for difference in one.differences:
        click.echo(f"  {difference.path}: {_short(difference.old)} -> {_short(difference.new)}")


def _short(value: Any) -> str:
    if isinstance(value, str) and len(value) == 64:
        return value[:12]
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 60 else f"{text[:57]}..."
