"""Making an environment as a manifest says, again and again, one endpoint after the other.

Only a control plane that leads can: every record is written under its epoch. So of two that boot at once one
reconciles, and the other waits until it leads.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from flashcore.control.controller import Controller
from flashcore.control.heading import heading
from flashcore.control.manifests.plan import Action, Present, Step, plan
from flashcore.control.manifests.record import MANAGED, Failure, ManagedEndpoint, digest_of
from flashcore.control.readmodel import DeploymentView
from flashcore.control.store import Leadership, Ledger, LostLeadership, Stored
from flashcore.control.store.records import read_snapshot
from flashcore.model.deployment import DeploymentStatus, RolloutState
from flashcore.model.errors import FlashcoreError, NotFound, Refused
from flashcore.model.manifest import Manifest
from flashcore.model.names import Digest, EndpointName, RevisionId

FIRST_RETRY = 5.0
LAST_RETRY = 300.0
"""Seconds until something that failed is tried again; the pause doubles from the first to the last."""

_NOTHING = Manifest("", (), "", "")

_LOG = logging.getLogger(__name__)

_ENDING = frozenset({DeploymentStatus.DESTROYING, DeploymentStatus.DESTROYED})


@dataclass(frozen=True, slots=True)
class Keeper:
    """Whose endpoints a reconciler looks after: those of the manifest that counts, or those of a test."""

    temporary: bool = False
    spared: frozenset[EndpointName] = frozenset()
    """Never touched: the endpoint that this control plane itself is, if it is one."""


class Reconciler:
    """Looks after what it has deployed itself, and remembers that in the store."""

    def __init__(self, controller: Controller, ledger: Ledger, leadership: Leadership, keeper: Keeper) -> None:
        self._controller = controller
        self._ledger = ledger
        self._leadership = leadership
        self._keeper = keeper
        self._records: dict[EndpointName, Stored[ManagedEndpoint]] | None = None
        self._digested: tuple[Manifest, Mapping[EndpointName, Digest]] | None = None
        self._one_at_a_time = asyncio.Lock()

    @property
    def records(self) -> Mapping[EndpointName, ManagedEndpoint]:
        """What is remembered, by name; empty before the first pass."""
        return {name: stored.value for name, stored in (self._records or {}).items()}

    async def reconcile(self, manifest: Manifest) -> tuple[Step, ...]:
        """One pass: do what is to be done now, and say what it was. An endpoint that fails does not hold up others.

        Raises LostLeadership, or StateError when the store is away.
        """
        async with self._one_at_a_time:
            await self._load()
            wanted = self._digests_of(manifest)
            await self._look(wanted)
            steps = plan(wanted, self.records, self._present(), self._controller.clock.now(), self._keeper.spared)
            for step in steps:
                await self._take(step, manifest, wanted.get(step.endpoint))
            return steps

    async def remove_all(self) -> tuple[Step, ...]:
        """Take down everything that this reconciler has deployed, as if the manifest were empty."""
        return await self.reconcile(_NOTHING)

    def drifted(self) -> Iterator[EndpointName]:
        """Endpoints that somebody has changed by hand since: that stands until the manifest changes."""
        for name, record in self.records.items():
            view = self._view(name)
            settled = view is not None and record.failure is None and not record.leaving
            if settled and view is not None and heading(view.rollout, view.stable) != record.revision:
                yield name

    def _digests_of(self, manifest: Manifest) -> Mapping[EndpointName, Digest]:
        """By name; made once for a manifest that is passed over again and again."""
        if self._digested is None or self._digested[0] is not manifest:
            digests = {entry.name: digest_of(entry, manifest.python_version) for entry in manifest.endpoints}
            self._digested = (manifest, digests)
        return self._digested[1]

    # -- one step --------------------------------------------------------------------------------------------------

    async def _take(self, step: Step, manifest: Manifest, wanted: Digest | None) -> None:
        try:
            if step.deploys and wanted is not None:
                await self._deploy(step.endpoint, manifest, wanted)
            elif step.action is Action.REMOVE:
                await self._remove(step.endpoint)
            elif step.action is Action.FORGET:
                await self._forget(step.endpoint)
        except LostLeadership:
            raise
        except FlashcoreError as error:
            await self._fail(step.endpoint, wanted, error.code, error.message)
        except Exception as error:  # noqa: BLE001 - a plugin may raise anything, and it is the others' turn next
            _LOG.exception("%s cannot be made as the manifest says", step.endpoint)
            await self._fail(step.endpoint, wanted, "internal", repr(error))

    async def _deploy(self, name: EndpointName, manifest: Manifest, wanted: Digest) -> None:
        record = self.records.get(name, ManagedEndpoint(name, temporary=self._keeper.temporary))
        await self._require_own(record)
        (deployment,) = await self._controller.deploy(manifest, [name])
        target = heading(deployment.rollout, deployment.stable)
        failure = record.failure if record.failure is not None and record.failure.wanted == wanted else None
        # The failure stays on record until it is seen that this attempt went better.
        again = None if failure is None else dataclasses.replace(failure, retry_at=None)
        await self._write(dataclasses.replace(record, applied=wanted, revision=target, failure=again, leaving=False))

    async def _require_own(self, record: ManagedEndpoint) -> None:
        """A test takes over nothing that is deployed already, and what counts takes over nothing of a test's."""
        name = record.endpoint
        if record.applied is not None or self._view(name) is None:
            return
        others = await self._read()
        if self._keeper.temporary or (name in others and others[name].value.temporary):
            whose = "is deployed already, and not by this test" if self._keeper.temporary else "belongs to a test"
            raise Refused(f"{name} {whose}", next_step="choose other names, or wait until the test is over")

    async def _remove(self, name: EndpointName) -> None:
        with contextlib.suppress(NotFound):
            await self._controller.undeploy(name)
        await self._write(dataclasses.replace(self.records[name], leaving=True, failure=None))

    async def _forget(self, name: EndpointName) -> None:
        stored = self._stored(name)
        if stored is not None and self._records is not None:
            work = self._ledger.workspace(self._leadership)
            work.remove(stored)
            await work.commit()
            del self._records[name]

    async def _fail(self, name: EndpointName, wanted: Digest | None, code: str, message: str) -> None:
        """Put the failure on record beside what was good before."""
        record = self.records.get(name, ManagedEndpoint(name, temporary=self._keeper.temporary))
        before = record.failure if record.failure is not None and record.failure.wanted == wanted else None
        attempts = 1 if before is None else before.attempts + 1
        now = self._controller.clock.now()
        retry_at = now + min(LAST_RETRY, FIRST_RETRY * 2.0 ** (attempts - 1))
        await self._write(dataclasses.replace(record, failure=Failure(wanted, code, message, now, attempts, retry_at)))

    # -- looking ---------------------------------------------------------------------------------------------------

    async def _look(self, wanted: Mapping[EndpointName, Digest]) -> None:
        """Take notice of how the rollouts of earlier passes ended."""
        for name, record in self.records.items():
            view = self._view(name)
            if view is None or record.leaving or record.applied is None or record.applied != wanted.get(name):
                continue
            if _came_up(view, record.revision) and (record.good != record.applied or record.failure is not None):
                await self._write(dataclasses.replace(record, good=record.applied, failure=None))
            elif (reason := _did_not_come_up(view, record)) is not None:
                await self._fail(name, record.applied, "rollout_failed", reason)

    def _present(self) -> Present:
        views = self._controller.views()
        return Present(
            frozenset(view.endpoint for view in views),
            frozenset(view.endpoint for view in views if view.status in _ENDING),
        )

    def _view(self, name: EndpointName) -> DeploymentView | None:
        try:
            return self._controller.view(name)
        except NotFound:
            return None

    # -- records ---------------------------------------------------------------------------------------------------

    async def _load(self) -> None:
        if self._records is None:
            found = await self._read()
            self._records = {name: one for name, one in found.items() if one.value.temporary is self._keeper.temporary}

    async def _read(self) -> dict[EndpointName, Stored[ManagedEndpoint]]:
        """The records of every keeper, as the store has them."""
        snapshot = await read_snapshot(self._ledger.backend, self._ledger.keys.records, {MANAGED.name: MANAGED})
        return {one.value.endpoint: one for one in snapshot.of(MANAGED).values()}

    def _stored(self, name: EndpointName) -> Stored[ManagedEndpoint] | None:
        return (self._records or {}).get(name)

    async def _write(self, record: ManagedEndpoint) -> None:
        work = self._ledger.workspace(self._leadership)
        stored = self._stored(record.endpoint)
        if stored is None:
            work.create(MANAGED, record)
        else:
            work.replace(stored, record)
        committed = await work.commit()
        if committed is not None and self._records is not None:
            (self._records[record.endpoint],) = committed.stored


def _came_up(view: DeploymentView, revision: RevisionId | None) -> bool:
    finished = view.rollout is None or view.rollout.state.finished
    return finished and view.stable == revision


def _did_not_come_up(view: DeploymentView, record: ManagedEndpoint) -> str | None:
    """Why, where the rollout that this record began has failed since, and that is not on record yet."""
    rollout, failure = view.rollout, record.failure
    known = failure is not None and failure.retry_at is not None
    if known or rollout is None or rollout.state is not RolloutState.FAILED or rollout.target != record.revision:
        return None
    return rollout.reason or "its rollout failed"
