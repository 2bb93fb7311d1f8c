"""A build as one file, to be carried elsewhere."""

from __future__ import annotations

import os
from pathlib import Path

from flashcore.build.archive import FileEntry, write_archive
from flashcore.model.errors import BuildError


def export(directory: Path, target: Path) -> None:
    """Write manifest, handlers and archives of the build in `directory` to `target`, whole or not at all.

    The same build gives the same bytes. Raises BuildError.
    """
    draft = target.with_name(f".{target.name}.{os.getpid()}")
    entries = [FileEntry(path.name, path) for path in sorted(directory.iterdir()) if path.is_file()]
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with draft.open("wb") as file:
            write_archive(entries, file)
        draft.replace(target)
    except OSError as error:
        raise BuildError(f"{target} cannot be written: {error}", next_step="check the folder and its room") from error
    finally:
        draft.unlink(missing_ok=True)
