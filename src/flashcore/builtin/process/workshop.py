"""What all replicas of one provider share, and what stands between a wish and a process."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from pathlib import Path

from flashcore.builtin.process.code import CodeFolders
from flashcore.builtin.process.environments import Environments, Python, handlers_requirements
from flashcore.builtin.process.families import Families
from flashcore.builtin.process.installing import InstallFailed
from flashcore.builtin.process.launch import Launch
from flashcore.builtin.process.ledger import Ledger, NotEnough, need_of
from flashcore.builtin.process.options import ProcessOptions
from flashcore.builtin.process.spawn import Start
from flashcore.builtin.process.unpack import BadArchive
from flashcore.hookspecs.providers import Clock, Hints, ProviderContext
from flashcore.model.errors import ConfigurationError, InvalidDeclaration, NotFound, StateError, StorageFull
from flashcore.model.layout import Layout
from flashcore.model.names import ReplicaId, new_instance_id
from flashcore.model.revision import Revision, RevisionContent

log = logging.getLogger(__name__)


class Obstacle(Exception):
    """A replica cannot be started; `permanent` says that trying again is of no use.

    `output` are lines that tell more, of an installer.
    """

    def __init__(self, reason: str, *, permanent: bool = False, output: tuple[str, ...] = ()) -> None:
        super().__init__(reason)
        self.reason = reason
        self.permanent = permanent
        self.output = output


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
        self.environments = Environments(context.layout, options.install_within)
        self.families = Families(context.layout)
        self.ledger = Ledger(options.cpus, options.gpus, options.memory)
        self._freed = asyncio.Event()

    async def python_for(self, revision: Revision, say: Callable[[str], None]) -> tuple[Path, Python]:
        """The folder of a revision's code and what runs it, both made now if they are not there.

        `say` hears what takes long. Raises Obstacle. May be cancelled.
        """
        content = revision.content
        # Not to be cancelled: a thread that unpacks goes on, and would do so into what the next one begins.
        code = await asyncio.shield(asyncio.ensure_future(self._code(content)))
        needed = (*content.template.dependencies, *handlers_requirements(code / content.handler))
        version = content.template.python_version or content.python_version
        try:
            return code, await self.environments.python_for(version, needed, code, say)
        except InstallFailed as error:
            raise Obstacle(str(error), permanent=not error.passing, output=error.output) from error
        except ConfigurationError as error:
            raise Obstacle(str(error), permanent=True) from error
        except OSError as error:
            raise Obstacle(f"its dependencies cannot be installed: {error}") from error

    def reserve(self, replica: ReplicaId, revision: Revision, code: Path, python: Python, hints: Hints) -> Start:
        """A new life for a replica, with its share of the machine. Raises Obstacle; nothing is reserved then."""
        content = revision.content
        try:
            share = self.ledger.take(replica, need_of(content.template))
        except NotEnough as error:
            raise Full(str(error)) from error
        except InvalidDeclaration as error:
            raise Obstacle(str(error), permanent=True) from error
        launch = Launch(
            content.endpoint,
            replica,
            revision.id,
            new_instance_id(),
            content.artifact,
            share.cpus,
            share.gpus,
            share.memory,
            python.environment,
        )
        return Start(launch, content, code, hints, self.options.log_limit, python.path)

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
