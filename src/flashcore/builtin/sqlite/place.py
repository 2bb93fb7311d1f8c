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
