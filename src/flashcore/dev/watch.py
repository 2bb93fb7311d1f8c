"""Telling that files of the project have changed."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

from watchfiles import Change, awatch

from flashcore.build.ignore import RULE_FILES, Rules, is_environment

QUIET = 15
"""Milliseconds without a further change after which changes are told: an editor writes a file in several steps."""
LATEST = 150
"""Milliseconds after which changes are told though more of them come."""


async def changes(root: Path) -> AsyncIterator[frozenset[Path]]:
    """The paths that changed, each time that something did; files that the build leaves out may be among them.

    Only folders that the build looks into are watched: not those of environments, caches, or version control.
    """
    watched = frozenset(_folders(root, "", Rules()))
    while True:
        async for found in awatch(
            *watched, watch_filter=None, debounce=LATEST, step=QUIET, recursive=False, ignore_permission_denied=True
        ):
            yield frozenset(Path(path) for _, path in found)
            if _may_change_folders(found):
                now = frozenset(_folders(root, "", Rules()))
                if now != watched:
                    watched = now
                    break
        # A file may have been written into a new folder before that was watched.
        yield frozenset({root})


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
