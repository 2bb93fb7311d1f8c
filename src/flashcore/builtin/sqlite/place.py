"""The file behind a `sqlite:///` URL."""

from __future__ import annotations

import os
from pathlib import Path

from flashcore.model.errors import ConfigurationError, StateError

_PREFIX = "sqlite:///"


def path_of(url: str) -> Path:
    """The path of `sqlite:///relative.db` or `sqlite:////absolute.db`. Raises ConfigurationError for any other URL."""
    path = url.removeprefix(_PREFIX)
    if path == url or not path or path.endswith("/"):
        raise ConfigurationError(
            f"{url!r} names no SQLite file",
            next_step="write sqlite:///path/to/file.db, with a fourth slash for an absolute path",
            url=url,
        )
    return Path(path).absolute()


def make_place(path: Path) -> None:
    """Make the folder of a database and, if there is none, an empty file that only its owner may read.

    SQLite takes an empty file for a new database and gives its other files the same rights. Raises StateError.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
    except OSError as problem:
        raise StateError(
            f"{path} cannot be opened for writing: {problem.strerror}",
            next_step="make the folder writable for this user, or choose another place for the state",
            path=str(path),
        ) from problem


class Place:
    """Where a database that is open has its name: files may be deleted under whoever has them open, and work on."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._name = os.fspath(path)
        self._identity = _identity(self._name)

    @property
    def lost(self) -> StateError | None:
        """What to raise when the file was deleted or replaced: what is written now, nobody would find again."""
        if _identity(self._name) == self._identity:
            return None
        return StateError(
            f"{self._path} was deleted or replaced while it was in use; nothing new is taken into it",
            next_step="let what runs come to its end, then begin with the file that is there: "
            "flashcore server restart-gateway",
            path=str(self._path),
        )


def _identity(name: str) -> tuple[int, int] | None:
    try:
        status = os.stat(name)  # noqa: PTH116 - asked for with every job: a Path takes several times as long
    except OSError:
        return None
    return status.st_dev, status.st_ino
