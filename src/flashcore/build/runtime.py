"""The part of flashcore that travels inside archives: enough to declare, to call and to serve."""

from __future__ import annotations

from pathlib import Path

import flashcore
from flashcore.build.archive import BytesEntry

ROOMS = ("client", "model", "wire", "worker")


def runtime_entries() -> list[BytesEntry]:
    """The files of `flashcore` for archives; one list serves all archives of a build."""
    home = Path(flashcore.__file__).parent
    paths = [home / "__init__.py", *(path for room in ROOMS for path in sorted((home / room).rglob("*.py")))]
    return [BytesEntry(f"flashcore/{path.relative_to(home).as_posix()}", path.read_bytes()) for path in paths]
