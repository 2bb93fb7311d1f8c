"""The part of flashcore that travels inside archives: enough to declare, to call and to serve."""

from __future__ import annotations

from pathlib import Path

import flashcore
from flashcore.build.archive import ArchiveEntry, file_entry

ROOMS = ("client", "model", "wire", "worker")


def runtime_entries() -> list[ArchiveEntry]:
    """The files of `flashcore` for an archive."""
    home = Path(flashcore.__file__).parent
    paths = [home / "__init__.py", *(path for room in ROOMS for path in sorted((home / room).rglob("*.py")))]
    return [
        file_entry(f"flashcore/{path.relative_to(home).as_posix()}", path, path.stat().st_size, executable=False)
        for path in paths
    ]
