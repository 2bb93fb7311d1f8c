"""Ending what runs in our name and is in no record: left over from state that was lost, or by a leader that was."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from flashcore.control.sightings import Orphan, Watcher
from flashcore.hookspecs.providers import Clock, Hints
from flashcore.model.declaration import Template
from flashcore.model.errors import FlashcoreError
from flashcore.model.events import Event
from flashcore.model.names import Digest, EndpointName, RevisionId
from flashcore.model.revision import Revision, RevisionContent, short

GRACE = 30.0
"""Seconds that something unknown may run: a state that is being restored may yet know it."""


class Sweeper:
    """Remembers since when something unknown has been seen."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._since: dict[tuple[str, EndpointName, RevisionId], float] = {}

    def note(self, provider: str, orphans: Iterable[Orphan]) -> float | None:
        """Take over what a look at a provider found; the time when the first of it is to go."""
        now = self._clock.now()
        found = {(provider, orphan.instance.endpoint, orphan.instance.revision) for orphan in orphans}
        self._since = {
            **{key: since for key, since in self._since.items() if key[0] != provider},
            **{key: self._since.get(key, now) for key in found},
        }
        return min((since + GRACE for since in self._since.values()), default=None)

    async def sweep(self, watchers: Mapping[str, Watcher]) -> list[Event]:
        """End what has been unknown for longer than the grace; an event for each."""
        now = self._clock.now()
        events: list[Event] = []
        for (provider, endpoint, revision), since in tuple(self._since.items()):
            if now < since + GRACE:
                continue
            try:
                await watchers[provider].provider.apply(only_named(endpoint, revision, now), frozenset(), Hints())
            except FlashcoreError:
                continue  # it is still seen, and tried again at the next look
            del self._since[(provider, endpoint, revision)]
            text = f"ended what ran of {short(revision)} and is in no record"
            events.append(Event("revision.swept", now, endpoint, revision, message=text, data={"provider": provider}))
        return events


def only_named(endpoint: EndpointName, revision: RevisionId, now: float) -> Revision:
    """A revision of which nothing is known but its name; enough to end it."""
    content = RevisionContent(endpoint, "", Template(), (), "", Digest(""), "")
    return Revision(revision, content, 0, now)
