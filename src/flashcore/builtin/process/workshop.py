"""What all replicas of one provider share, and what stands between a wish and a process."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from pathlib import Path

from flashcore.builtin.process.code import CodeFolders
from flashcore.builtin.process.launch import Launch
from flashcore.builtin.process.ledger import Ledger, NotEnough, need_of
from flashcore.builtin.process.options import ProcessOptions
from flashcore.builtin.process.requirements import install_command, unmet
from flashcore.builtin.process.unpack import BadArchive
from flashcore.hookspecs.providers import Clock, ProviderContext
from flashcore.model.errors import NotFound, StateError, StorageFull
from flashcore.model.layout import Layout
from flashcore.model.names import ReplicaId, new_instance_id
from flashcore.model.revision import Revision, RevisionContent


class Obstacle(Exception):
    """A replica cannot be started; `permanent` says that trying again is of no use."""

    def __init__(self, reason: str, *, permanent: bool = False) -> None:
        super().__init__(reason)
        self.reason = reason
        self.permanent = permanent


class Full(Obstacle):
    """The machine has not enough left: it is tried again when something ends."""


class Workshop:
    """Made once by the provider."""

    def __init__(self, context: ProviderContext, options: ProcessOptions, changed: Callable[[], None]) -> None:
        self.layout: Layout = context.layout
        self.clock: Clock = context.clock
        self.options = options
        self.changed = changed
        self.code = CodeFolders(context.layout.unpacked, context.artifacts)
        self.ledger = Ledger(options.cpus, options.gpus)
        self._freed = asyncio.Event()

    async def prepare(self, replica: ReplicaId, revision: Revision) -> tuple[Launch, Path]:
        """A new life for a replica, and the folder of its code. Raises Obstacle; nothing is reserved then."""
        content = revision.content
        _check_python(content)
        code = await self._code(content)
        missing = await asyncio.to_thread(unmet, content.template.dependencies, code)
        if missing:
            raise Obstacle(
                f"this interpreter lacks {', '.join(missing)}; run: {install_command(content.template.dependencies)}",
                permanent=True,
            )
        try:
            share = self.ledger.take(replica, need_of(content.template))
        except NotEnough as error:
            raise Full(str(error)) from error
        instance = new_instance_id()
        own = Launch(content.endpoint, replica, revision.id, instance, content.artifact, share.cpus, share.gpus)
        return own, code

    def give_back(self, replica: ReplicaId) -> None:
        """A replica needs nothing any more; whoever waits for its share may try."""
        self.ledger.give_back(replica)
        self._freed.set()
        self._freed = asyncio.Event()

    async def something_freed(self) -> None:
        """Return when a replica gave its share back."""
        await self._freed.wait()

    async def _code(self, content: RevisionContent) -> Path:
        try:
            folder = await self.code.folder_of(content.artifact)
        except (NotFound, BadArchive) as error:
            raise Obstacle(str(error), permanent=True) from error
        except (StorageFull, StateError) as error:
            raise Obstacle(str(error)) from error
        except OSError as error:
            raise Obstacle(f"the code cannot be unpacked: {error}") from error
        if not (folder / content.handler).is_file():
            raise Obstacle(f"the artifact holds no handler {content.handler!r}; deploy again", permanent=True)
        return folder


def _check_python(content: RevisionContent) -> None:
    here = f"{sys.version_info.major}.{sys.version_info.minor}"
    if content.python_version != here:
        raise Obstacle(
            f"the code was built for Python {content.python_version}, and this is Python {here}; "
            f"run flashcore with Python {content.python_version}, or build again with this one",
            permanent=True,
        )
