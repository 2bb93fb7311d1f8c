"""The files by which commands find the platform, put back when they are lost; without their folder it ends."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from pathlib import Path

from flashcore.model.errors import FlashcoreError
from flashcore.model.layout import Layout
from flashcore.presence import Presence, read_presence, write_presence
from flashcore.server.gateways import GatewayKeeper
from flashcore.server.shutdown import Shutdown
from flashcore.server.token import restore_token

log = logging.getLogger(__name__)

INTERVAL = 1.0
"""Seconds between two looks."""


class Upkeep:
    """Of one running control plane: its address, its gateway's, and its token."""

    def __init__(
        self,
        layout: Layout,
        own: Presence,
        gateway: GatewayKeeper,
        token: str,
        stop: Callable[[Shutdown], None],
    ) -> None:
        self._layout = layout
        self._own = own
        self._gateway = gateway
        self._token = token
        self._stop = stop
        self._home = _identity(layout.home)

    async def run(self) -> None:
        """Look again and again, until cancelled or until the folder is gone."""
        while _identity(self._layout.home) == self._home:
            try:
                self._look()
            except (OSError, FlashcoreError) as error:
                log.warning("the files by which commands find this platform cannot be kept: %s", error)
            await asyncio.sleep(INTERVAL)
        log.error("%s was removed: nobody can reach this platform any more, and it ends", self._layout.home)
        self._stop(Shutdown.EVERYTHING)

    def _look(self) -> None:
        _restore(self._layout.server_file, self._own)
        if self._gateway.present is not None and self._gateway.present.alive:
            _restore(self._layout.gateway_file, self._gateway.present)
        restore_token(self._layout.token, self._token)


def _restore(file: Path, presence: Presence) -> None:
    """Write the file anew unless it names a process that lives."""
    found = read_presence(file)
    if found is None or (found != presence and not found.alive):
        log.warning("%s was lost; it is written anew", file)
        write_presence(file, presence)


def _identity(folder: Path) -> tuple[int, int] | None:
    """Which folder it is, whatever others were made at its path; None when there is none."""
    try:
        status = folder.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino
