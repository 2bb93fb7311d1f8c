"""What is, and what happens: everything that can be read of a controller."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Callable, Iterable, Sequence

from flashcore.control.loop import DeploymentLoop
from flashcore.control.readmodel import DeploymentView
from flashcore.control.services import Services
from flashcore.control.store import Recorded
from flashcore.hookspecs.providers import Provider
from flashcore.model.errors import DeadlineExceeded, NotFound
from flashcore.model.events import Event
from flashcore.model.names import EndpointName, ReplicaId, is_id_of
from flashcore.model.table import RoutingTable

_EVENTS_SEARCHED = 1_000
_REPLICAS_SHOWN = 10
"""Of an endpoint that was undeployed, the newest ones."""


class Readings:
    """Reads of the loops that a controller keeps, and of the log."""

    def __init__(self, services: Services, loops: dict[EndpointName, DeploymentLoop]) -> None:
        self._services = services
        self._loops = loops
        self._bell = asyncio.Event()

    def endpoints(self) -> tuple[EndpointName, ...]:
        """The names of all deployments, sorted."""
        return tuple(sorted(self._loops))

    def view(self, endpoint: str) -> DeploymentView:
        """A deployment as it is now. Raises NotFound."""
        return self.loop_of(endpoint).view

    def views(self) -> tuple[DeploymentView, ...]:
        """All deployments as they are now, by name."""
        return tuple(self._loops[endpoint].view for endpoint in sorted(self._loops))

    @property
    def state_trouble(self) -> str | None:
        """Why the state cannot be written at present; None when it can."""
        return self._services.ledger.backend.trouble

    @property
    def table(self) -> RoutingTable:
        """The routing table that gateways are given."""
        return self._services.publisher.table

    def gateways_behind(self, endpoint: str) -> tuple[str, ...]:
        """The connected gateways that still go by an older route of an endpoint, by name. Raises NotFound."""
        return self._services.publisher.behind(self.loop_of(endpoint).endpoint)

    async def follow(self, endpoint: str) -> AsyncGenerator[DeploymentView, None]:
        """The deployment now and after every change; ends when nothing is left of it. Raises NotFound."""
        loop = self.loop_of(endpoint)
        while not loop.gone.is_set():
            bell = loop.bell
            yield loop.view
            await bell.wait()

    async def wait_until(
        self, endpoint: str, wanted: Callable[[DeploymentView], bool], timeout: float
    ) -> DeploymentView:
        """The first view that is as wanted. Raises NotFound when the deployment goes away, DeadlineExceeded."""
        try:
            async with asyncio.timeout(timeout), contextlib.aclosing(self.follow(endpoint)) as views:
                async for view in views:
                    if wanted(view):
                        return view
        except TimeoutError:
            view = self.view(endpoint)
            raise DeadlineExceeded(
                f"{endpoint} is {view.status.value} after {timeout:g} s: {view.reason or 'no reason'}",
                next_step=f"look at it: flashcore status {endpoint}",
                endpoint=endpoint,
            ) from None
        raise self._unknown(endpoint)

    async def wait_gone(self, endpoint: str, timeout: float) -> None:
        """Return when nothing is left of an endpoint, at once if there is none. Raises DeadlineExceeded."""
        with contextlib.suppress(NotFound):
            await self.wait_until(endpoint, lambda view: False, timeout)  # noqa: ARG005  # only the end is waited for

    async def events(self, *, after: str = "", endpoint: str | None = None, limit: int = 500) -> tuple[Recorded, ...]:
        """Events of the log after a cursor, oldest first."""
        name = EndpointName(endpoint) if endpoint else None
        return await self._services.ledger.journal.read(after=after, endpoint=name, limit=limit)

    async def last_events(self, count: int, *, endpoint: str | None = None) -> tuple[Recorded, ...]:
        """The newest events, oldest first."""
        name = EndpointName(endpoint) if endpoint else None
        return await self._services.ledger.journal.tail(count, endpoint=name)

    async def watch_events(self, *, after: str = "", endpoint: str | None = None) -> AsyncGenerator[Recorded, None]:
        """Events after a cursor, and then those to come, for ever."""
        name, cursor = EndpointName(endpoint) if endpoint else None, after
        while True:
            bell = self._bell
            page = await self._services.ledger.journal.read(after=cursor, endpoint=name)
            for recorded in page:
                cursor = recorded.cursor
                yield recorded
            if not page:
                await bell.wait()

    async def logs(self, replica: str, *, tail: int, follow: bool) -> AsyncGenerator[str, None]:
        """The output of a replica. Raises NotFound."""
        for loop in self._loops.values():
            provider = loop.provider_of(ReplicaId(replica))
            if provider is not None:
                async for line in provider.logs(ReplicaId(replica), tail=tail, follow=follow):
                    yield line
                return
        raise NotFound(f"there is no replica {replica!r}", next_step="flashcore status shows the replicas there are")

    async def logs_of_ended(self, endpoint: str, replica: str, *, tail: int) -> tuple[str, ...]:
        """The last lines that a replica printed which has ended, while its provider keeps them. Raises NotFound."""
        loop = self.loop_of(endpoint)
        kept = await _kept_log(loop.providers, loop.endpoint, replica, tail)
        if kept is not None:
            return kept
        live = ", ".join(one.id for side in loop.view.sides for one in side.replicas) or "none"
        raise NotFound(
            f"{endpoint} has no replica {replica!r}, and no log of one that has ended",
            next_step=f"it has {live}; others are named by flashcore why {endpoint}",
        )

    async def logs_of_undeployed(
        self, endpoint: str, replica: str | None, *, tail: int
    ) -> tuple[tuple[str, tuple[str, ...]], ...]:
        """The same of an endpoint that there is no more: of one replica, or of the last that the event log names.

        Raises NotFound where nothing is kept.
        """
        name = EndpointName(endpoint)
        providers = [watcher.provider for watcher in self._services.watchers.values()]
        named: Sequence[str] = [replica] if replica is not None else await self._last_replicas(name)
        kept = [(one, await _kept_log(providers, name, one, tail)) for one in named]
        found = tuple((one, lines) for one, lines in kept if lines is not None)
        if not found:
            raise self._unknown(endpoint)
        return found

    async def _last_replicas(self, endpoint: EndpointName) -> Sequence[str]:
        recorded = await self.last_events(_EVENTS_SEARCHED, endpoint=endpoint)
        newest = dict.fromkeys(one.event.replica for one in reversed(recorded) if one.event.replica is not None)
        return [*newest][:_REPLICAS_SHOWN][::-1]

    def loop_of(self, endpoint: str) -> DeploymentLoop:
        """The loop of a deployment. Raises NotFound, with the names of those that there are."""
        loop = self._loops.get(EndpointName(endpoint))
        if loop is None:
            raise self._unknown(endpoint)
        return loop

    def note_event(self, _event: Event) -> None:
        """Something was written to the log."""
        bell, self._bell = self._bell, asyncio.Event()
        bell.set()

    def _unknown(self, endpoint: str) -> NotFound:
        known = ", ".join(sorted(self._loops)) or "none"
        return NotFound(
            f"there is no endpoint {endpoint!r}; deployed: {known}", next_step="check the name, or deploy it first"
        )


async def _kept_log(
    providers: Iterable[Provider], endpoint: EndpointName, replica: str, tail: int
) -> tuple[str, ...] | None:
    """The last lines of a replica of the endpoint; None where no provider has any."""
    for provider in providers if is_id_of(replica, endpoint) else ():
        with contextlib.suppress(NotFound):
            return tuple([line async for line in provider.logs(ReplicaId(replica), tail=tail, follow=False)])
    return None
