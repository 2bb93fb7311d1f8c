"""What is owed: a file for each job that ends with a webhook, from before it is accepted until it was told of."""

from __future__ import annotations

import contextlib
import os
import re
from pathlib import Path

from flashcore.gateway.files import make_private_directory
from flashcore.model.names import JobId

_ID = re.compile(r"[A-Za-z0-9-]{1,128}")


class Spool:
    """A folder. What it does blocks."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def owed(self) -> list[JobId]:
        """Jobs whose webhook was not sent."""
        if not self._folder.is_dir():
            return []
        return sorted(JobId(path.name) for path in self._folder.iterdir() if _ID.fullmatch(path.name))

    def add(self, job: JobId) -> None:
        """It is on disk when this returns. Raises OSError."""
        make_private_directory(self._folder)
        with os.fdopen(os.open(self._folder / job, os.O_WRONLY | os.O_CREAT, 0o600), "wb") as file:
            os.fsync(file.fileno())
        folder = os.open(self._folder, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

    def remove(self, job: JobId) -> None:
        """It is owed no longer. One that comes back after a power failure is sent twice, which its id tells."""
        with contextlib.suppress(FileNotFoundError):
            (self._folder / job).unlink()
