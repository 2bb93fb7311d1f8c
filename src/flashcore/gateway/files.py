"""Files that other processes read while they are replaced."""

from __future__ import annotations

import contextlib
import os
import secrets
from pathlib import Path

from flashcore.model.errors import Refused


def make_private_directory(path: Path) -> None:
    """Make a directory, and its missing parents, that only this user can look into.

    Raises Refused for one that is somebody else's: in a shared temporary directory anybody may have made it.
    """
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    if path.stat().st_uid != os.getuid():
        raise Refused(f"{path} belongs to another user", next_step="remove it, or move the project elsewhere")
    path.chmod(0o700)


def replace_file(path: Path, data: bytes, *, synced: bool = False) -> None:
    """Put `data` at `path` in one step, readable by this user alone: a reader sees the old file or the new one.

    What can be made again after a power failure need not be synced, where readers check it.
    Raises OSError; then the old file is still there and nothing is left beside it.
    """
    draft = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
    try:
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(data)
            if synced:
                file.flush()
                os.fsync(file.fileno())
        draft.replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            draft.unlink()
        raise
