"""The controller: one loop per deployment, and what all of them look at and tell."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Iterable, Mapping
from functools import partial
from random import Random
from typing import Any

from flashcore.control import commands, cordoning, steering
from flashcore.control.alarms import Alarms
from flashcore.control.clock import StoreClock
from flashcore.control.draft import Draft
from flashcore.control.housekeeping import Housekeeping
from flashcore.control.isolation import Isolation, Threaded
from flashcore.control.listening import Listening
from flashcore.control.loop import DeploymentLoop
from flashcore.control.operations import AmendEnv, Deployer, new_deployment
from flashcore.control.parts import Parts
from flashcore.control.planning import Plan
from flashcore.control.probing import Prober
from flashcore.control.publishing import Publisher
from flashcore.control.readings import Readings
from flashcore.control.records import Records, records_in
from flashcore.control.refusals import require_staying
from flashcore.control.room import require_room_to_deploy, require_room_to_scale
from flashcore.control.services import NoSurroundings, Observe, Services, Surroundings
from flashcore.control.shutdown import end_all
from flashcore.control.sightings import Watcher
from flashcore.control.store import Leadership, Ledger
from flashcore.control.turns import Turns
from flashcore.hookspecs.artifacts import ArtifactStore
from flashcore.hookspecs.providers import Clock, Provider
from flashcore.model.deployment import Deployment
from flashcore.model.manifest import Manifest
from flashcore.model.names import EndpointName, ReplicaId, RevisionId, new_replica_id
from flashcore.wire.dataplane import DataPlane

_NOTING = 2.0
"""Seconds that a stop waits for its notes to be written."""

_LOG = logging.getLogger(__name__)


def _unchanged(_content: object, env: Mapping[str, str]) -> Mapping[str, str]:
    return env


class Controller(Readings):
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
        self._tasks: set[asyncio.Task[None]] = set()
        services = Services(
            ledger=ledger,
            leadership=leadership,
            parts=parts,
            isolation=isolation or Threaded(),
            watchers={
                name: Watcher(name, provider, self.clock, self._wake, self._look_after)
                for name, provider in providers.items()
            },
            default_provider=default_provider,
            dataplane=dataplane,
            publisher=Publisher(dataplane, self.clock, leadership.epoch.number),
            prober=Prober(self.clock, random or Random(), self._wake),  # noqa: S311  # spreads probes, keeps no secret
            alarms=Alarms(self.clock, self._ring),
            clock=self.clock,
            surroundings=surroundings or NoSurroundings(),
            observers=(*observers, self.note_event),
            name_replica=name_replica,
            lost=self._lose,
        )
        super().__init__(services, {})
        self._deployer = Deployer(services, artifacts, amend_env)
        self._housekeeping = Housekeeping(services, self._loops)
        self._listening = Listening(dataplane, services.publisher, self._loops.keys(), self._wake)
        self._turns = Turns()

    async def start(self) -> None:
        """Take over what the store holds and what runs, then begin to reconcile.

        Raises what a provider's start raises.
        """
        services = self._services
        stored = records_in(await services.ledger.load(at_least=services.leadership.newest))
        # Known before anything is looked at: what runs and is in no record would be ended.
        self._loops.update({endpoint: DeploymentLoop(records, services) for endpoint, records in stored.items()})
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
        self._spawn(self._listening.run(), "gateways")
        for watcher in services.watchers.values():
            self._spawn(watcher.run(), f"provider {watcher.name}")
        self._housekeeping.begin()

    async def stop_replicas(self) -> None:
        """Stop deciding, and end every replica. What is deployed is remembered: the next start brings it back.

        Raises DeadlineExceeded for what does not end, or what a provider raises, once all others have done it.
        """
        await self._note_stop()
        await self._halt()
        watchers, grace = self._services.watchers.values(), self.longest_grace
        ends = [end_all(watcher.provider, self.clock, grace) for watcher in watchers]
        for problem in await asyncio.gather(*ends, return_exceptions=True):
            if problem is not None:
                raise problem

    @property
    def longest_grace(self) -> float:
        """Seconds that some replica has for what it works on, when all of them are told to end."""
        return max((loop.view.deployment.policy.termination_grace for loop in self._loops.values()), default=0.0)

    async def _note_stop(self) -> None:
        """Have the records say why nothing runs at the next start. A stop does not wait for a store that is away."""
        noting = [asyncio.ensure_future(loop.command(commands.suspend)) for loop in self._loops.values()]
        if noting:
            _, pending = await asyncio.wait(noting, timeout=_NOTING)
            for late in pending:
                late.cancel()
            await asyncio.gather(*noting, return_exceptions=True)

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

        Everything is checked first. Deploying what runs already changes nothing. Raises as Deployer.wishes,
        BeingDestroyed for an endpoint that is being taken down, and Overtaken where a later request came first.
        """
        turn = self._turns.take()
        wishes = await self._deployer.wishes(manifest, names)
        self._turns.require_latest(turn, (wish.content.endpoint for wish in wishes))
        for wish in wishes:
            loop = self._loops.get(wish.content.endpoint)
            if loop is not None:
                require_staying(loop.view.deployment)
        deployed: list[Deployment] = []
        for wish in wishes:
            loop = self._loops.get(wish.content.endpoint) or self._add(Records(new_deployment(wish, self.clock.now())))
            self._turns.note(turn, loop.endpoint)
            deployed.append(await loop.command(partial(commands.deploy, wish=wish)))
        return tuple(deployed)

    async def plan(self, manifest: Manifest, names: Iterable[str] | None = None) -> tuple[Plan, ...]:
        """What a deploy of the same would do; nothing happens. Raises as deploy."""
        return await self._deployer.plans(manifest, {view.endpoint: view for view in self.views()}, names)

    async def scale(self, endpoint: str, count: int) -> Deployment:
        """Set the number of replicas. Raises NotFound, UsageError or BeingDestroyed."""
        return await self._command(endpoint, lambda draft: commands.scale(draft, count))

    def require_room(self, endpoint: str, count: int) -> None:
        """Raise Refused when that many replicas are more than there is room for, by what their provider knows.

        For people, who may insist. Of fewer than are wanted already nothing is said. Raises NotFound.
        """
        require_room_to_scale(self._services, self.loop_of(endpoint).view, count)

    def require_room_for(self, manifest: Manifest, names: Iterable[str] | None = None) -> None:
        """Raise Refused when a deploy of these could never place its first replicas, by what their providers know.

        For people, who may insist. Raises NotFound.
        """
        views = {view.endpoint: view for view in self.views()}
        require_room_to_deploy(self._services, manifest, names, views)

    async def scale_by_policy(self, endpoint: str) -> Deployment:
        """Give the number of replicas back to the policy and its scaler."""
        return await self._command(endpoint, commands.scale_by_policy)

    async def undeploy(self, endpoint: str, *, grace: float | None = None) -> Deployment:
        """Begin to take an endpoint down; `grace` replaces the seconds its replicas have for what they work on."""
        self._turns.note(self._turns.take(), self.loop_of(endpoint).endpoint)
        return await self._command(endpoint, lambda draft: commands.undeploy(draft, grace))

    async def undeploy_all(self, *, grace: float | None = None) -> tuple[Deployment, ...]:
        """Begin to take every endpoint down."""
        return tuple([await self.undeploy(endpoint, grace=grace) for endpoint in sorted(self._loops)])

    async def promote(self, endpoint: str) -> Deployment:
        """Let the rollout pass the checkpoint at which it waits. Raises NothingToPromote."""
        return await self._command(endpoint, steering.promote)

    async def promote_fully(self, endpoint: str) -> Deployment:
        """Let the rollout pass all checkpoints, whatever their gates say. Raises NoRollout or Refused."""
        return await self._command(endpoint, steering.promote_fully)

    async def retry(self, endpoint: str) -> Deployment:
        """Begin the rollout again that failed or was taken back. Raises NothingToRetry."""
        return await self._command(endpoint, steering.retry)

    async def restart(self, endpoint: str, at: float | None = None) -> Deployment:
        """Replace every replica made before `at` (now). Raises NothingToRestart or RolloutUnderWay."""
        return await self._command(endpoint, lambda draft: steering.restart(draft, at))

    async def cordon(self, endpoint: str, replica: str) -> Deployment:
        """Take a replica out of the traffic. Raises NotFound."""
        return await self._command(endpoint, lambda draft: cordoning.cordon(draft, ReplicaId(replica)))

    async def uncordon(self, endpoint: str, replica: str) -> Deployment:
        """Put a replica back into the traffic. Raises NotFound."""
        return await self._command(endpoint, lambda draft: cordoning.uncordon(draft, ReplicaId(replica)))

    async def abort(self, endpoint: str) -> Deployment:
        """Take the rollout back that is under way. Raises NoRollout."""
        return await self._command(endpoint, steering.abort)

    async def pause(self, endpoint: str) -> Deployment:
        """Stop the rollout where it is. Raises NoRollout or Refused."""
        return await self._command(endpoint, steering.pause)

    async def resume(self, endpoint: str) -> Deployment:
        """Let a paused rollout go on. Raises NoRollout."""
        return await self._command(endpoint, steering.resume)

    async def undo(self, endpoint: str, revision: str | None = None) -> Deployment:
        """Go back to the revision before, or to one that begins so. Raises NothingToUndo or NotFound."""
        wanted = RevisionId(revision) if revision is not None else None
        return await self._command(endpoint, lambda draft: steering.undo(draft, wanted))

    async def hold_traffic(self, endpoint: str) -> Deployment:
        """Let gateways keep new calls waiting."""
        return await self._command(endpoint, commands.hold_traffic)

    async def release_traffic(self, endpoint: str) -> Deployment:
        """Let calls through again."""
        return await self._command(endpoint, commands.release_traffic)

    # Inside

    async def _command(self, endpoint: str, command: Callable[[Draft], Deployment]) -> Deployment:
        deployment: Deployment = await self.loop_of(endpoint).command(command)
        return deployment

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
            self._listening.forget(loop.endpoint)

    def _wake(self, endpoint: EndpointName) -> None:
        loop = self._loops.get(endpoint)
        if loop is not None:
            loop.wake()

    def _look_after(self, watcher: Watcher) -> None:
        self._housekeeping.note_look(watcher)

    def _ring(self, key: object) -> None:
        if isinstance(key, str):
            self._wake(EndpointName(key))
        else:
            self._spawn(self._housekeeping.do(key), f"housekeeping {key}")

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
