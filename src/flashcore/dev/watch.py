"""Telling that files of the project have changed."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncGenerator, Iterator
from pathlib import Path

from watchfiles import Change, awatch

from flashcore.build.ignore import RULE_FILES, Rules, is_environment

QUIET = 15
"""Milliseconds without a further change after which changes are told: an editor writes a file in several steps."""
LATEST = 150
"""Milliseconds after which changes are told though more of them come."""


async def changes(root: Path) -> AsyncGenerator[frozenset[Path], None]:
    """The paths that changed, each time that something did; files that the build leaves out may be among them.

    It begins with the root itself, and so it does again after new folders: everything is watched by then, and whoever
    looks at the project now misses nothing that is written while they look. Only folders that the build looks into are
    watched: not those of environments, caches, or version control.
    """
    while True:
        watched = _watched(root)
        told = awatch(
            *watched, watch_filter=None, debounce=LATEST, step=QUIET, recursive=False, ignore_permission_denied=True
        )
        first = asyncio.ensure_future(anext(told))
        try:
            await asyncio.sleep(0)  # its first step, after which it watches
            if _watched(root) != watched:
                continue  # a folder has come or gone before that
            yield frozenset({root})
            found = await first
            while True:
                yield frozenset(Path(path) for _, path in found)
                if _may_change_folders(found) and _watched(root) != watched:
                    break
                found = await anext(told)
        finally:
            first.cancel()
            await asyncio.gather(first, return_exceptions=True)
            await told.aclose()


def _watched(root: Path) -> frozenset[Path]:
    return frozenset(_folders(root, "", Rules()))


def _may_change_folders(found: set[tuple[Change, str]]) -> bool:
    return any(
        change is not Change.modified or os.path.basename(path) in RULE_FILES  # noqa: PTH119 - text in, text out
        for change, path in found
    )


def _folders(folder: Path, prefix: str, above: Rules) -> Iterator[Path]:
    yield folder
    try:
        rules = above.within(folder, prefix)
        entries = [entry for entry in os.scandir(folder) if entry.is_dir(follow_symlinks=False)]
    except OSError:
        return  # it was removed meanwhile, or may not be read: the build says so
    for entry in entries:
        path = prefix + entry.name
        if not rules.leave_out(path, entry.name, folder=True) and not is_environment(Path(entry.path)):
            yield from _folders(Path(entry.path), f"{path}/", rules)
