"""The manifests that an environment is kept by: the one that counts, and one that is being tested beside it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from flashcore.control.controller import Controller
from flashcore.control.manifests.naming import renamed
from flashcore.control.manifests.reconcile import Keeper, Reconciler
from flashcore.control.manifests.record import Failure, ManagedEndpoint
from flashcore.control.readmodel import DeploymentView
from flashcore.control.store import Leadership, Ledger
from flashcore.model.errors import NotFound
from flashcore.model.manifest import Manifest
from flashcore.model.names import EndpointName

TEST_PREFIX = "test-"


@dataclass(frozen=True, slots=True)
class Kept:
    """A manifest and where it came from."""

    source: str
    manifest: Manifest


@dataclass(frozen=True, slots=True)
class KeptEndpoint:
    """How far one endpoint of a manifest has come."""

    endpoint: EndpointName
    temporary: bool
    ready: bool
    """It runs what the manifest has, and answers calls."""
    leaving: bool = False
    failure: Failure | None = None
    drifted: bool = False


@dataclass(frozen=True, slots=True)
class Progress:
    """What is ready so far."""

    source: str | None
    test: str | None
    trouble: str
    """Why the last pass did not get through; empty when it did."""
    endpoints: tuple[KeptEndpoint, ...]


class Manifests:
    """Belongs to the control plane that leads. `take_turn` is called again and again; it is idempotent."""

    def __init__(
        self, controller: Controller, ledger: Ledger, leadership: Leadership, spared: frozenset[EndpointName]
    ) -> None:
        self.trouble = ""
        """Why what keeps manifests did not get through the last time, for people."""
        self._controller = controller
        self._real = Reconciler(controller, ledger, leadership, Keeper(spared=spared))
        self._tests = Reconciler(controller, ledger, leadership, Keeper(temporary=True, spared=spared))
        self._kept: Kept | None = None
        self._test: Kept | None = None

    def keep(self, kept: Kept | None) -> None:
        """Have the environment be as this manifest says; None: leave it as it is from now on."""
        self._kept = kept

    def test(self, kept: Kept | None) -> None:
        """Run this manifest beside, under names of its own; None: take all of that down.

        Raises InvalidName for an endpoint whose name gets too long.
        """
        self._test = None if kept is None else Kept(kept.source, renamed(kept.manifest, TEST_PREFIX))

    async def take_turn(self) -> None:
        """Do what is to be done now. Raises LostLeadership, or StateError when the store is away."""
        if self._test is None:
            # Also what a control plane left that ended in the middle of a test.
            await self._tests.remove_all()
        else:
            await self._tests.reconcile(self._test.manifest)
        if self._kept is not None:
            await self._real.reconcile(self._kept.manifest)

    @property
    def is_testing(self) -> bool:
        """Whether anything of a test is there."""
        return self._test is not None or bool(self._tests.records)

    def progress(self) -> Progress:
        """What is ready so far."""
        return Progress(
            source=None if self._kept is None else self._kept.source,
            test=None if self._test is None else self._test.source,
            trouble=self.trouble,
            endpoints=(*self._endpoints(self._real), *self._endpoints(self._tests)),
        )

    def notes(self) -> Iterator[str]:
        """What a person should know, one sentence each."""
        if self.trouble:
            yield f"the manifest cannot be kept: {self.trouble}"
        for one in self.progress().endpoints:
            if one.failure is not None:
                yield _failed(one.endpoint, one.failure, self._controller.clock.now())
            if one.leaving:
                why = self._reason(one.endpoint)
                yield f"{one.endpoint} is being taken down{why}"
            if one.drifted:
                yield f"{one.endpoint} was changed by hand: it stays so until the manifest changes"

    def _endpoints(self, reconciler: Reconciler) -> Iterator[KeptEndpoint]:
        drifted = set(reconciler.drifted())
        for name, record in sorted(reconciler.records.items()):
            yield KeptEndpoint(
                endpoint=name,
                temporary=record.temporary,
                ready=self._is_ready(record),
                leaving=record.leaving,
                failure=record.failure,
                drifted=name in drifted,
            )

    def _is_ready(self, record: ManagedEndpoint) -> bool:
        view = self._view(record.endpoint)
        if view is None or record.leaving or record.failure is not None:
            return False
        return view.stable == record.revision and view.ready >= min(1, view.goal)

    def _reason(self, name: EndpointName) -> str:
        view = self._view(name)
        return f": {view.reason}" if view is not None and view.reason else ""

    def _view(self, name: EndpointName) -> DeploymentView | None:
        try:
            return self._controller.view(name)
        except NotFound:
            return None


def _failed(name: EndpointName, failure: Failure, now: float) -> str:
    attempt = f" (attempt {failure.attempts})" if failure.attempts > 1 else ""
    again = "is under way" if failure.retry_at is None else f"in {max(0.0, failure.retry_at - now):.0f} s"
    return f"{name} is not as the manifest says{attempt}: {failure.message}; the next attempt {again}"
