"""The local token: whoever may read the file may use the control API."""

from __future__ import annotations

import hmac
import os
import secrets
from pathlib import Path

from flashcore.model.errors import ConfigurationError, Unauthorized
from flashcore.server.daemon import as_storage_error

_MODE = 0o600


def create_token(path: Path) -> str:
    """The token in the file, made if there is none.

    Raises ConfigurationError if others may read the file or it cannot be written, StorageFull if there is no room.
    """
    if not path.exists():
        _write_new(path, secrets.token_urlsafe(32))
    return read_token(path)


def restore_token(path: Path, token: str) -> None:
    """Write the file anew when it is gone, so that deleting one that was spoilt is a way out."""
    if not path.exists():
        _write_new(path, token)


def read_token(path: Path) -> str:
    """The token in the file. Raises Unauthorized when there is none, ConfigurationError when others may read it."""
    try:
        mode = path.stat().st_mode & 0o777
        token = path.read_text(encoding="ascii").strip()
    except FileNotFoundError:
        raise Unauthorized(
            f"there is no token at {path}", next_step="start the server, which makes one: flashcore server start"
        ) from None
    except UnicodeDecodeError as error:
        raise Unauthorized(
            f"{path} holds no token", next_step="delete the file; a server that runs writes it anew"
        ) from error
    if mode & 0o077:
        raise ConfigurationError(
            f"the token {path} can be read by others (mode {mode:03o})", next_step=f"chmod 600 {path}"
        )
    if not token:
        raise Unauthorized(
            f"the token file {path} is empty", next_step="delete the file; a server that runs writes it anew"
        )
    return token


def check_token(expected: str, authorization: str | None) -> None:
    """Raise Unauthorized unless the header carries the token, bare or as a Bearer; in constant time."""
    given = (authorization or "").removeprefix("Bearer ").strip()
    if not hmac.compare_digest(given.encode(), expected.encode()):
        reason = "the token is not this server's" if given else "there is no token in the Authorization header"
        raise Unauthorized(reason, next_step="read it anew from the environment's token file")


def _write_new(path: Path, token: str) -> None:
    """Make the file whole or not at all: of two processes that start at once, one wins and both read its token."""
    draft = path.with_name(f"{path.name}.{os.getpid()}")
    try:
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, _MODE)
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            file.write(token + "\n")
            file.flush()
            os.fsync(file.fileno())  # a name whose content the power took would be there for ever
        os.link(draft, path)
    except FileExistsError:
        pass  # the other process was first: its token counts
    except OSError as error:  # a write that fails names no file
        raise as_storage_error(error, path) from error
    finally:
        draft.unlink(missing_ok=True)
