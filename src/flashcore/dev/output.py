"""What replicas print, as it comes, and what is to be said of those that do not start."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path
from types import TracebackType
from typing import Self

from flashcore.control.controller import Controller
from flashcore.dev.told import NotStarting, Printed, Tell
from flashcore.model.errors import NotFound
from flashcore.model.events import Event
from flashcore.model.names import ReplicaId, RevisionId

_WORKERS_OWN = re.compile(r"(?:\S+Z )?flashcore: ")
_CALL = re.compile(r"\[(?:job|request) [^\]]*\] ")
_PAUSES = (0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0)
"""Seconds until a log is looked for again that is not there yet."""
_ALL = 10_000
"""Lines: of a new replica all are wanted."""


class Output:
    """Follows each replica from its start. A revision that does not start is told of once, and then left alone."""

    def __init__(self, controller: Controller, unpacked: Path, tell: Tell) -> None:
        self._controller = controller
        self._code = re.compile(re.escape(f"{unpacked}/") + r"[0-9a-f]{64}/")
        self._tell = tell
        self._following: dict[ReplicaId, asyncio.Task[None]] = {}
        self._failed: set[RevisionId] = set()

    async def __aenter__(self) -> Self:
        """Nothing is followed yet."""
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Follow nothing any more."""
        for task in self._following.values():
            task.cancel()
        await asyncio.gather(*self._following.values(), return_exceptions=True)

    def observe(self, event: Event) -> None:
        """Take notice of an event."""
        if event.endpoint is None or event.replica is None or event.revision is None:
            return
        if event.kind == "replica.running":
            self._failed.discard(event.revision)
        if event.kind == "replica.created" or event.revision in self._failed:
            return
        if event.replica not in self._following:
            work = self._follow(event.endpoint, event.replica)
            self._following[event.replica] = asyncio.create_task(work, name=f"output of {event.replica}")
        if event.kind == "replica.failed_to_start":
            self._failed.add(event.revision)
            serving = event.endpoint in self._controller.endpoints() and self._serves(event.endpoint)
            self._tell(NotStarting(event.endpoint, self._code.sub("", event.message), serving))

    def _serves(self, endpoint: str) -> bool:
        return self._controller.view(endpoint).stable is not None

    async def _follow(self, endpoint: str, replica: ReplicaId) -> None:
        for pause in _PAUSES:
            try:
                async for line in self._controller.logs(replica, tail=_ALL, follow=True):
                    self._show(endpoint, line)
            except NotFound:
                await asyncio.sleep(pause)  # its process has not written anything yet
            else:
                return

    def _show(self, endpoint: str, line: str) -> None:
        if not _WORKERS_OWN.match(line):
            self._tell(Printed(endpoint, self._code.sub("", _CALL.sub("", line, count=1))))
