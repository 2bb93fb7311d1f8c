"""Where the gateway is that calls go to."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from flashcore.model.errors import Unavailable
from flashcore.model.layout import Layout, find_project
from flashcore.wire.seal import SigningKey
from flashcore.wire.sealed import KEY_VARIABLE, key_in

DEFAULT_ENVIRONMENT = "production"


def gateway_url() -> str:
    """The gateway's address: FLASHCORE_GATEWAY_URL, or what the project's running gateway wrote down.

    Read anew for each call, so that a gateway that came back on another port is found. Raises Unavailable.
    """
    given = os.environ.get("FLASHCORE_GATEWAY_URL")
    if given:
        return given.rstrip("/")
    layout = layout_here()
    if layout is not None:
        return written_url(layout)
    raise Unavailable(
        f"no flashcore project was found at or above {Path.cwd()}, and FLASHCORE_GATEWAY_URL is not set",
        next_step="run in the project's directory, or set FLASHCORE_GATEWAY_URL",
    )


def call_key() -> SigningKey | None:
    """What pickled calls are signed with: FLASHCORE_CALL_KEY, or the key of the project whose gateway is called.

    None where there is none, or where the variable is set to nothing: calls are JSON then.
    """
    if KEY_VARIABLE in os.environ:
        return key_in(os.environ)
    if os.environ.get("FLASHCORE_GATEWAY_URL"):
        return None  # another machine's, perhaps; it has a key of its own
    layout = layout_here()
    secret = None if layout is None else written_secret(layout.call_key)
    return SigningKey(secret) if secret is not None else None


def layout_here() -> Layout | None:
    """The environment of the project that this process works in."""
    root = next(filter(None, map(find_project, _starts())), None)
    return None if root is None else Layout(root, _environment(root))


def _environment(root: Path) -> str:
    """The environment that commands in this project mean, too: the variable's, the project's own, or the default."""
    return os.environ.get("FLASHCORE_ENV") or _configured(root) or DEFAULT_ENVIRONMENT


def _configured(root: Path) -> str | None:
    for name, tables in (("flashcore.toml", ()), ("pyproject.toml", ("tool", "flashcore"))):
        try:
            text = (root / name).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError):
            continue
        if "environment" not in text:  # most often true, and this is asked for each call
            continue
        import tomllib

        try:
            found: Any = tomllib.loads(text)
        except tomllib.TOMLDecodeError:
            continue  # the commands say what is wrong with it
        for table in tables:
            found = found.get(table, {})
        if isinstance(found.get("environment"), str):
            return str(found["environment"])
    return None


def _starts() -> Iterator[Path]:
    yield Path.cwd()
    script = getattr(sys.modules.get("__main__"), "__file__", None)
    if script:
        yield Path(script).resolve().parent


def written_url(layout: Layout) -> str:
    """What the environment's gateway wrote down. Raises Unavailable."""
    try:
        url = json.loads(layout.gateway_file.read_bytes())["url"]
    except FileNotFoundError:
        raise Unavailable(
            f"no gateway runs for environment {layout.environment!r} of {layout.root}",
            next_step="run: flashcore deploy",
            environment=layout.environment,
        ) from None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise Unavailable(
            f"{layout.gateway_file} cannot be read: {error!r}", next_step="run: flashcore server start"
        ) from error
    return str(url).rstrip("/")


def own_token() -> str | None:
    """The token of the project whose gateway is called; None where a gateway was named, which may be anybody's."""
    if os.environ.get("FLASHCORE_GATEWAY_URL"):
        return None
    layout = layout_here()
    return None if layout is None else written_secret(layout.token)


def written_secret(path: Path) -> str | None:
    """What stands in a file of one word; None where that cannot be read."""
    try:
        return path.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError):
        return None
