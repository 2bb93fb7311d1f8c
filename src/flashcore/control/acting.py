"""Telling providers what is wanted of one deployment's revisions, and remembering what they were told."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from flashcore.control.goals import PERSON
from flashcore.control.services import Services
from flashcore.control.sightings import Watcher
from flashcore.control.snapshot import Pass
from flashcore.hookspecs.providers import Hints
from flashcore.model.deployment import Deployment, DeploymentStatus
from flashcore.model.errors import FlashcoreError
from flashcore.model.names import EndpointName, ReplicaId, RevisionId
from flashcore.model.revision import Revision, short

DEADLINE = 30.0
"""Seconds within which a provider must have noted a wish."""
FIRST_RETRY = 1.0
LAST_RETRY = 30.0

_ENDING = frozenset({DeploymentStatus.DESTROYING, DeploymentStatus.DESTROYED})


@dataclass(frozen=True, slots=True)
class _Wish:
    """What is wanted of one revision."""

    replicas: frozenset[ReplicaId] = frozenset()
    standby: bool = False
    """None, but there may be one any moment."""


class Acting:
    """One deployment's wishes. What a provider was told in another life of this process is told again."""

    def __init__(self, endpoint: EndpointName, services: Services) -> None:
        self.troubles: dict[RevisionId, str] = {}
        """Why a revision's provider could not be told."""
        self.retry_at: float | None = None
        self._endpoint = endpoint
        self._services = services
        self._told: dict[RevisionId, _Wish] = {}
        self._told_at: dict[RevisionId, tuple[Watcher, int]] = {}
        """Which look was the last that began before a provider had been told of a revision."""
        self._let_go: dict[ReplicaId, tuple[Watcher, int]] = {}
        """Which look was the last that began before the provider had been told to let a replica go."""
        self._retry = FIRST_RETRY

    async def act(self, made: Pass, revisions: Mapping[RevisionId, Revision]) -> None:
        """Tell what has changed. What cannot be told is told again later."""
        leaving: dict[RevisionId, set[ReplicaId]] = {}
        for replica in made.replicas.values():
            if replica.id not in made.wants[replica.revision]:
                leaving.setdefault(replica.revision, set()).add(replica.id)
        wishes = {one: _wish(one, want, made.deployment) for one, want in made.wants.items()}
        news = [one for one, wish in wishes.items() if self._is_news(one, wish, needed=one in leaving)]
        pending = [revisions[revision] for revision in news if revision in revisions]
        if not pending:
            return
        await self._services.leadership.confirm()
        for revision in pending:
            await self._tell(revision, wishes[revision.id], made.deployment, leaving.get(revision.id, set()))
        if self.troubles:
            self.retry_at = self._services.clock.now() + self._retry
            self._retry = min(LAST_RETRY, 2 * self._retry)
        else:
            self.retry_at, self._retry = None, FIRST_RETRY

    def absent(self, replicas: Iterable[ReplicaId]) -> frozenset[ReplicaId]:
        """Those of the replicas that were let go, and that their provider, asked since, does not report."""
        found: list[ReplicaId] = []
        for replica in replicas:
            watcher, look = self._let_go.get(replica, (None, 0))
            if watcher is not None and watcher.looked > look and replica not in watcher.seen(self._endpoint):
                found.append(replica)
        return frozenset(found)

    def repeat_lost(self) -> None:
        """Tell again of revisions whose provider has lost a replica without a word: it is still wanted."""
        for revision, (watcher, look) in self._told_at.items():
            wish = self._told.get(revision, _Wish())
            if watcher.looked > look and not wish.replicas <= watcher.seen(self._endpoint).keys():
                self._told.pop(revision, None)

    def repeat_for(self, revision: RevisionId) -> None:
        """Tell again what is wanted of a revision of which something runs that no record knows."""
        self._told.pop(revision, None)

    def forget(self, replicas: Iterable[ReplicaId], revisions: Iterable[RevisionId]) -> None:
        """They are gone."""
        for replica in replicas:
            self._let_go.pop(replica, None)
        for revision in revisions:
            self._told.pop(revision, None)
            self._told_at.pop(revision, None)
            self.troubles.pop(revision, None)

    def _is_news(self, revision: RevisionId, wish: _Wish, *, needed: bool) -> bool:
        """Whether the provider is to be told; of what never ran in this life of ours only if somebody needs it."""
        told = self._told.get(revision)
        if told is None and not wish.replicas and not needed:
            return any(watcher.has(revision) for watcher in self._services.watchers.values())
        return told != wish

    async def _tell(self, revision: Revision, wish: _Wish, deployment: Deployment, leaving: set[ReplicaId]) -> None:
        try:
            watcher = self._services.watcher_of(revision.content.template.provider)
            async with asyncio.timeout(DEADLINE):
                await watcher.provider.apply(revision, wish.replicas, self._hints(revision, wish, deployment))
        except TimeoutError:
            self._note_trouble(revision, f"its provider did not answer within {DEADLINE:g} s")
        except Exception as error:  # noqa: BLE001  # a plugin may raise anything; it is said, and tried again
            self._note_trouble(revision, error.message if isinstance(error, FlashcoreError) else repr(error))
        else:
            self._told[revision.id] = wish
            self._told_at[revision.id] = (watcher, watcher.taken)
            self.troubles.pop(revision.id, None)
            self._note_let_go(watcher, leaving)

    def _hints(self, revision: Revision, wish: _Wish, deployment: Deployment) -> Hints:
        surroundings, policy = self._services.surroundings, deployment.policy
        if not wish.replicas:
            return Hints(grace=policy.termination_grace, standby=wish.standby)
        return Hints(
            env={**surroundings.environment(revision), "FLASHCORE_EXECUTION_TIMEOUT": f"{policy.execution_timeout:g}"},
            secrets=surroundings.secrets(revision.content.template.secrets),
            grace=policy.termination_grace,
        )

    def _note_trouble(self, revision: Revision, text: str) -> None:
        self._told.pop(revision.id, None)
        self.troubles[revision.id] = f"revision {short(revision.id)} cannot be applied: {text}"

    def _note_let_go(self, watcher: Watcher, leaving: set[ReplicaId]) -> None:
        for replica in leaving:
            self._let_go.setdefault(replica, (watcher, watcher.taken))
        if leaving - watcher.seen(self._endpoint).keys():
            # Nothing will be told of what is gone already.
            watcher.refresh(self._endpoint)


def _wish(revision: RevisionId, want: frozenset[ReplicaId], deployment: Deployment) -> _Wish:
    """A request wakes what is stable, unless a person has put it to sleep, or all of it is to go."""
    may_wake = deployment.goal_by != PERSON and deployment.status not in _ENDING
    return _Wish(want, standby=not want and may_wake and revision == deployment.stable)
