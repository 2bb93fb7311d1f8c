"""The controller: one loop per deployment, and what all of them look at and tell."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncGenerator, Callable, Coroutine, Iterable, Mapping
from functools import partial
from random import Random
from typing import Any

from flashcore.control import commands
from flashcore.control.alarms import Alarms
from flashcore.control.clock import StoreClock
from flashcore.control.draft import Draft
from flashcore.control.isolation import Isolation, Threaded
from flashcore.control.loop import DeploymentLoop
from flashcore.control.operations import AmendEnv, Deployer
from flashcore.control.parts import Parts
from flashcore.control.probing import Prober
from flashcore.control.publishing import Publisher
from flashcore.control.readmodel import DeploymentView
from flashcore.control.records import Records, records_in
from flashcore.control.services import NoSurroundings, Observe, Services, Surroundings
from flashcore.control.shutdown import end_all
from flashcore.control.sightings import Watcher
from flashcore.control.store import Leadership, Ledger, LostLeadership, Recorded
from flashcore.control.sweep import Sweeper
from flashcore.hookspecs.artifacts import ArtifactStore
from flashcore.hookspecs.providers import Clock, Instance, Provider
from flashcore.model.deployment import Deployment, DeploymentStatus
from flashcore.model.errors import DeadlineExceeded, FlashcoreError, NotFound
from flashcore.model.events import Event
from flashcore.model.manifest import Manifest
from flashcore.model.names import EndpointName, ReplicaId, RevisionId, new_replica_id
from flashcore.model.table import EndpointSignals, RoutingTable
from flashcore.wire.dataplane import DataPlane

_SWEEP = "*sweep"
_PRUNE = "*prune"
"""Keys of alarms; no endpoint has such a name."""
HOUSEKEEPING_RETRY = 60.0
"""Seconds after which housekeeping is tried again when the store was full or away."""
PRUNE_EVERY = 3600.0
KEEP_EVENTS = 10_000
KEEP_SECONDS = 7 * 86_400.0
"""Events beyond the newest KEEP_EVENTS that are older than this are forgotten."""

_LOG = logging.getLogger(__name__)


def _unchanged(_content: object, env: Mapping[str, str]) -> Mapping[str, str]:
    return env


class Controller:
    """Leads one environment. Everything that it needs of the world is passed in; it owns tasks and memory alone.

    `ledger` and `leadership` are the store's; `providers` are all that replicas may run on, not started yet;
    `clock` is the store's unless a simulation has another.
    """

    def __init__(  # noqa: PLR0913  # the parts of a composition, each named by its caller
        self,
        *,
        ledger: Ledger,
        leadership: Leadership,
        parts: Parts,
        providers: Mapping[str, Provider],
        default_provider: str,
        dataplane: DataPlane,
        artifacts: ArtifactStore,
        surroundings: Surroundings | None = None,
        amend_env: AmendEnv = _unchanged,
        observers: Iterable[Observe] = (),
        clock: Clock | None = None,
        isolation: Isolation | None = None,
        random: Random | None = None,
        name_replica: Callable[[EndpointName, RevisionId], ReplicaId] = new_replica_id,
    ) -> None:
        self.clock = clock or StoreClock(ledger.now)
        self.lost: asyncio.Future[BaseException] = asyncio.get_running_loop().create_future()
        """Done when this controller leads no more, with the reason."""
        self._loops: dict[EndpointName, DeploymentLoop] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._heard: dict[EndpointName, tuple[tuple[EndpointSignals, ...], tuple[str, ...]]] = {}
        """What gateways last said of each endpoint: signals, refusals."""
        self._bell = asyncio.Event()
        self._sweeper = Sweeper(self.clock)
        self._services = Services(
            ledger=ledger,
            leadership=leadership,
            parts=parts,
            isolation=isolation or Threaded(),
            watchers={
                name: Watcher(name, provider, self.clock, self._wake, self._note_look)
                for name, provider in providers.items()
            },
            default_provider=default_provider,
            dataplane=dataplane,
            publisher=Publisher(dataplane, self.clock, leadership.epoch.number),
            prober=Prober(self.clock, random or Random(), self._wake),  # noqa: S311  # spreads probes, keeps no secret
            alarms=Alarms(self.clock, self._ring),
            clock=self.clock,
            surroundings=surroundings or NoSurroundings(),
            observers=(*observers, self._note_event),
            name_replica=name_replica,
            lost=self._lose,
        )
        self._deployer = Deployer(self._services, artifacts, amend_env)

    async def start(self) -> None:
        """Take over what the store holds and what runs, then begin to reconcile.

        Raises what a provider's start raises.
        """
        services = self._services
        stored = records_in(await services.ledger.load())
        # Known before anything is looked at: what runs and is in no record would be ended.
        self._loops = {endpoint: DeploymentLoop(records, services) for endpoint, records in stored.items()}
        for watcher in services.watchers.values():
            await watcher.provider.start()
            await watcher.look()
        for loop in self._loops.values():
            loop.publish()
            self._begin(loop)
        self._spawn(services.leadership.keep(self._sleep), "leadership")
        self._spawn(services.publisher.run(), "publisher")
        self._spawn(services.alarms.run(), "alarms")
        self._spawn(services.prober.alarms.run(), "probes")
        self._spawn(self._listen(), "gateways")
        for watcher in services.watchers.values():
            self._spawn(watcher.run(), f"provider {watcher.name}")
        services.alarms.set(_PRUNE, self.clock.now() + PRUNE_EVERY)

    async def stop_replicas(self) -> None:
        """Stop deciding, and end every replica. What is deployed is remembered: the next start brings it back.

        Raises DeadlineExceeded for what does not end.
        """
        await self._halt()
        grace = max((loop.view.deployment.policy.termination_grace for loop in self._loops.values()), default=0.0)
        for watcher in self._services.watchers.values():
            await end_all(watcher.provider, self.clock, grace)

    async def close(self) -> None:
        """Stop deciding. Replicas and gateways go on; providers are let go of. Idempotent."""
        await self._halt()
        for endpoint in self._loops:
            self._services.prober.forget(endpoint)
        for watcher in self._services.watchers.values():
            await watcher.provider.close()

    async def _halt(self) -> None:
        tasks, self._tasks = self._tasks, set()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    # Operations

    async def deploy(self, manifest: Manifest, names: Iterable[str] | None = None) -> tuple[Deployment, ...]:
        """Deploy the endpoints of a manifest, or those named; returns as soon as the rollouts have begun.

        Everything is checked first. Deploying what runs already changes nothing. Raises as Deployer.wishes, and
        BeingDestroyed for an endpoint that is being taken down.
        """
        wishes = await self._deployer.wishes(manifest, names)
        for wish in wishes:
            loop = self._loops.get(wish.content.endpoint)
            if loop is not None:
                commands.require_staying(loop.view.deployment)
        deployed: list[Deployment] = []
        for wish in wishes:
            loop = self._loops.get(wish.content.endpoint) or self._add(Records(_new_deployment(wish, self.clock.now())))
            deployed.append(await loop.command(partial(commands.deploy, wish=wish)))
        return tuple(deployed)

    async def scale(self, endpoint: str, count: int) -> Deployment:
        """Set the number of replicas. Raises NotFound, UsageError or BeingDestroyed."""
        return await self._command(endpoint, lambda draft: commands.scale(draft, count))

    async def scale_by_policy(self, endpoint: str) -> Deployment:
        """Give the number of replicas back to the policy and its scaler."""
        return await self._command(endpoint, commands.scale_by_policy)

    async def undeploy(self, endpoint: str, *, grace: float | None = None) -> Deployment:
        """Begin to take an endpoint down; `grace` replaces the seconds its replicas have for what they work on."""
        return await self._command(endpoint, lambda draft: commands.undeploy(draft, grace))

    async def undeploy_all(self, *, grace: float | None = None) -> tuple[Deployment, ...]:
        """Begin to take every endpoint down."""
        return tuple([await self.undeploy(endpoint, grace=grace) for endpoint in sorted(self._loops)])

    async def promote(self, endpoint: str) -> Deployment:
        """Let the rollout pass the checkpoint at which it waits. Raises NothingToPromote."""
        return await self._command(endpoint, commands.promote)

    async def abort(self, endpoint: str) -> Deployment:
        """Take the rollout back that is under way. Raises NoRollout."""
        return await self._command(endpoint, commands.abort)

    async def pause(self, endpoint: str) -> Deployment:
        """Stop the rollout where it is. Raises NoRollout or Refused."""
        return await self._command(endpoint, commands.pause)

    async def resume(self, endpoint: str) -> Deployment:
        """Let a paused rollout go on. Raises NoRollout."""
        return await self._command(endpoint, commands.resume)

    async def undo(self, endpoint: str, revision: str | None = None) -> Deployment:
        """Go back to the revision before, or to one that begins so. Raises NothingToUndo or NotFound."""
        wanted = RevisionId(revision) if revision is not None else None
        return await self._command(endpoint, lambda draft: commands.undo(draft, wanted))

    async def hold_traffic(self, endpoint: str) -> Deployment:
        """Let gateways keep new calls waiting."""
        return await self._command(endpoint, commands.hold_traffic)

    async def release_traffic(self, endpoint: str) -> Deployment:
        """Let calls through again."""
        return await self._command(endpoint, commands.release_traffic)

    # What is

    def endpoints(self) -> tuple[EndpointName, ...]:
        """The names of all deployments, sorted."""
        return tuple(sorted(self._loops))

    def view(self, endpoint: str) -> DeploymentView:
        """A deployment as it is now. Raises NotFound."""
        return self._loop(endpoint).view

    def views(self) -> tuple[DeploymentView, ...]:
        """All deployments as they are now, by name."""
        return tuple(self._loops[endpoint].view for endpoint in sorted(self._loops))

    @property
    def table(self) -> RoutingTable:
        """The routing table that gateways are given."""
        return self._services.publisher.table

    async def follow(self, endpoint: str) -> AsyncGenerator[DeploymentView, None]:
        """The deployment now and after every change; ends when nothing is left of it. Raises NotFound."""
        loop = self._loop(endpoint)
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

    # Inside

    async def _command(self, endpoint: str, command: Callable[[Draft], Deployment]) -> Deployment:
        deployment: Deployment = await self._loop(endpoint).command(command)
        return deployment

    def _loop(self, endpoint: str) -> DeploymentLoop:
        loop = self._loops.get(EndpointName(endpoint))
        if loop is None:
            raise self._unknown(endpoint)
        return loop

    def _unknown(self, endpoint: str) -> NotFound:
        known = ", ".join(sorted(self._loops)) or "none"
        return NotFound(
            f"there is no endpoint {endpoint!r}; deployed: {known}", next_step="check the name, or deploy it first"
        )

    def _add(self, records: Records) -> DeploymentLoop:
        loop = DeploymentLoop(records, self._services)
        self._loops[loop.endpoint] = loop
        self._begin(loop)
        return loop

    def _begin(self, loop: DeploymentLoop) -> None:
        loop.wake()
        self._spawn(self._run(loop), f"deployment {loop.endpoint}")

    async def _run(self, loop: DeploymentLoop) -> None:
        await loop.run()
        if self._loops.get(loop.endpoint) is loop and loop.gone.is_set():
            del self._loops[loop.endpoint]
            self._heard.pop(loop.endpoint, None)

    def _note_event(self, _event: Event) -> None:
        bell, self._bell = self._bell, asyncio.Event()
        bell.set()

    def _wake(self, endpoint: EndpointName) -> None:
        loop = self._loops.get(endpoint)
        if loop is not None:
            loop.wake()

    def _ring(self, key: object) -> None:
        if key == _SWEEP:
            self._spawn(self._tidy(_SWEEP, self._sweep), "sweep")
        elif key == _PRUNE:
            self._spawn(self._tidy(_PRUNE, self._prune), "retention")
        else:
            self._wake(EndpointName(str(key)))

    def _note_look(self, watcher: Watcher) -> None:
        """Anything that runs and is in no record is to end: by its deployment's loop, or by the sweeper."""
        strangers = watcher.orphans(self._knows)
        homeless = [orphan for orphan in strangers if not self._is_ended_by_its_loop(orphan.instance)]
        self._services.alarms.set(_SWEEP, self._sweeper.note(watcher.name, homeless))

    def _knows(self, instance: Instance) -> bool:
        loop = self._loops.get(instance.endpoint)
        return loop is not None and loop.knows(instance.replica)

    def _is_ended_by_its_loop(self, instance: Instance) -> bool:
        loop = self._loops.get(instance.endpoint)
        return loop is not None and loop.repeat_for(instance.revision)

    async def _tidy(self, key: str, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Housekeeping waits for a store that is full or away; only what it says of leadership ends this controller."""
        try:
            await work()
        except LostLeadership:
            raise
        except FlashcoreError as error:
            _LOG.warning("housekeeping has to wait: %s", error.message)
            self._services.alarms.set(key, self.clock.now() + HOUSEKEEPING_RETRY)

    async def _sweep(self) -> None:
        for watcher in self._services.watchers.values():
            self._note_look(watcher)
        events = await self._sweeper.sweep(self._services.watchers)
        work = self._services.ledger.workspace(self._services.leadership)
        for event in events:
            work.emit(event)
        committed = await work.commit()
        if committed is not None:
            self._services.announce(committed)
        for watcher in self._services.watchers.values():
            watcher.refresh()

    async def _prune(self) -> None:
        services = self._services
        before = self.clock.now() - KEEP_SECONDS
        more = 1
        while more:
            more = await services.ledger.journal.prune(services.leadership, keep=KEEP_EVENTS, before=before)
        services.alarms.set(_PRUNE, self.clock.now() + PRUNE_EVERY)

    async def _listen(self) -> None:
        """Wake whoever is concerned by what gateways say."""
        async for _ in self._services.dataplane.changes():
            for endpoint, loop in self._loops.items():
                signals = self._services.dataplane.signals(endpoint)
                heard = (signals, self._services.publisher.refusals(endpoint))
                if loop.drains or heard != self._heard.get(endpoint, ((), ())):
                    self._heard[endpoint] = heard
                    loop.wake()

    async def _sleep(self, seconds: float) -> None:
        await self.clock.sleep_until(self.clock.now() + seconds)

    def _spawn(self, work: Coroutine[Any, Any, None], name: str) -> None:
        task = asyncio.get_running_loop().create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            _LOG.error("%s ended: %s", task.get_name(), error, exc_info=error)
            self._lose(error)

    def _lose(self, error: BaseException) -> None:
        if not self.lost.done():
            self.lost.set_result(error)


def _new_deployment(wish: commands.Wish, now: float) -> Deployment:
    return Deployment(
        endpoint=wish.content.endpoint,
        resource=wish.content.resource,
        policy=wish.policy,
        policy_digest=wish.policy_digest,
        surface=wish.surface,
        goal=wish.policy.replicas.minimum,
        status=DeploymentStatus.DEPLOYING,
        status_since=now,
        created_at=now,
    )
