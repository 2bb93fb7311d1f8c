"""Where calls go, whose token they show and what they are signed with, found for call after call.

The same as `locate` finds, and as fresh: a file is read anew once it is another one. To read all of them each time
would take longer than the rest of a call.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Generic, NamedTuple, TypeAlias, TypeVar

from flashcore.client.locate import gateway_url, layout_here, written_secret, written_url
from flashcore.model.layout import Layout
from flashcore.wire.seal import SigningKey
from flashcore.wire.sealed import KEY_VARIABLE

T = TypeVar("T")

_Stamp: TypeAlias = tuple[int, int, int] | None
"""Of a file: its inode, its size and when it was written; None: there is none."""


class _Start(NamedTuple):
    """What says which project this process works in."""

    folder: str
    script: str | None
    environment: str | None


class _Known(NamedTuple):
    """The project, as of then. Paths are texts: they are looked at in each call."""

    start: _Start
    layout: Layout
    settings: tuple[str, str]
    """The files that may name the environment, and what they were."""
    stamps: tuple[_Stamp, _Stamp]
    gateway_file: str
    token: str
    call_key: str

    @property
    def is_settled(self) -> bool:
        """Whether the environment is named as it was then."""
        return self.stamps == (_stamp(self.settings[0]), _stamp(self.settings[1]))


class Whereabouts:
    """Those of one endpoint's calls, of whatever thread."""

    def __init__(self) -> None:
        self._known: _Known | None = None
        self._url: _Read[str] = _Read()
        self._token: _Read[str | None] = _Read()
        self._secret: _Read[str | None] = _Read()
        self._key: tuple[str, SigningKey] | None = None

    def url(self) -> str:
        """The gateway's address. Raises Unavailable where there is none."""
        given = os.environ.get("FLASHCORE_GATEWAY_URL")
        if given:
            return given.rstrip("/")
        known = self._project()
        if known is None:
            return gateway_url()  # which says why
        return self._url.of(known.gateway_file, lambda _: written_url(known.layout))

    def authorization(self) -> str:
        """The Authorization header; empty where there is no token."""
        token = os.environ.get("FLASHCORE_TOKEN") or self._own_token()
        return f"Bearer {token}" if token else ""

    def key(self) -> SigningKey | None:
        """What calls are signed with; None: they are JSON."""
        secret = os.environ.get(KEY_VARIABLE)
        if secret is None and not os.environ.get("FLASHCORE_GATEWAY_URL"):
            known = self._project()
            secret = None if known is None else self._secret.of(known.call_key, written_secret)
        if not secret:
            return None
        key = self._key
        if key is None or key[0] != secret:
            key = self._key = secret, SigningKey(secret)
        return key[1]

    def _own_token(self) -> str | None:
        if os.environ.get("FLASHCORE_GATEWAY_URL"):
            return None  # which may be anybody's
        known = self._project()
        return None if known is None else self._token.of(known.token, written_secret)

    def _project(self) -> _Known | None:
        script = getattr(sys.modules.get("__main__"), "__file__", None)
        start = _Start(os.getcwd(), script, os.environ.get("FLASHCORE_ENV"))  # noqa: PTH109 - texts are compared quicker
        known = self._known
        if known is None or known.start != start or not known.is_settled:
            layout = layout_here()
            known = self._known = None if layout is None else _known(start, layout)
        return known


class _Read(Generic[T]):
    """What was read of a file, for as long as it is the same one."""

    __slots__ = ("_last",)

    def __init__(self) -> None:
        self._last: tuple[str, _Stamp, T] | None = None

    def of(self, path: str, read: Callable[[Path], T]) -> T:
        """What `read` gives. Raises what it raises, which is not kept."""
        stamp, last = _stamp(path), self._last
        if last is not None and stamp is not None and last[1] == stamp and last[0] == path:
            return last[2]
        value = read(Path(path))
        # Stamped before it was read: one that is replaced meanwhile is read again.
        self._last = path, stamp, value
        return value


def _known(start: _Start, layout: Layout) -> _Known:
    settings = str(layout.root / "flashcore.toml"), str(layout.root / "pyproject.toml")
    stamps = _stamp(settings[0]), _stamp(settings[1])
    places = map(str, (layout.gateway_file, layout.token, layout.call_key))
    return _Known(start, layout, settings, stamps, *places)


def _stamp(path: str) -> _Stamp:
    try:
        found = os.stat(path)  # noqa: PTH116 - a text: a path would be taken apart and put together for each call
    except OSError:
        return None
    return found.st_ino, found.st_size, found.st_mtime_ns
