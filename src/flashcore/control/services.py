"""What all loops of one controller share. Built by the controller, used by the loops; nothing else is shared."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from flashcore.control.alarms import Alarms
from flashcore.control.draft import NameReplica
from flashcore.control.isolation import Isolation
from flashcore.control.parts import Parts
from flashcore.control.probing import Prober
from flashcore.control.publishing import Publisher
from flashcore.control.sightings import Watcher
from flashcore.control.store import Committed, Leadership, Ledger
from flashcore.hookspecs.providers import Clock
from flashcore.model.errors import ConfigurationError
from flashcore.model.events import Event
from flashcore.model.names import RevisionId
from flashcore.model.parts import PartRef
from flashcore.model.revision import Revision
from flashcore.wire.dataplane import DataPlane

Observe = Callable[[Event], None]
"""Told of each event after its commit; must return at once and raise nothing."""


class Surroundings(Protocol):
    """What replicas are given beside their revision."""

    def environment(self, revision: Revision) -> Mapping[str, str]:
        """Platform variables, such as the gateway's URL."""
        ...

    def secrets(self, names: tuple[str, ...]) -> Mapping[str, str]:
        """The values of secrets. Raises Refused, which names those that are missing."""
        ...

    def probe_headers(self, revision: RevisionId) -> Mapping[str, str]:
        """HTTP headers by which a replica of that revision lets probes in."""
        ...


class NoSurroundings:
    """Nothing is given; for simulations."""

    def environment(self, revision: Revision) -> Mapping[str, str]:  # noqa: ARG002  # every revision gets as little
        """See Surroundings."""
        return {}

    def secrets(self, names: tuple[str, ...]) -> Mapping[str, str]:
        """See Surroundings."""
        return dict.fromkeys(names, "")

    def probe_headers(self, revision: RevisionId) -> Mapping[str, str]:  # noqa: ARG002  # nobody asks for any
        """See Surroundings."""
        return {}


@dataclass(frozen=True, slots=True)
class Services:
    """One controller's means."""

    ledger: Ledger
    leadership: Leadership
    parts: Parts
    isolation: Isolation
    watchers: Mapping[str, Watcher]
    default_provider: str
    dataplane: DataPlane
    publisher: Publisher
    prober: Prober
    alarms: Alarms
    clock: Clock
    surroundings: Surroundings
    observers: tuple[Observe, ...]
    name_replica: NameReplica
    lost: Callable[[BaseException], None]
    """Told that this controller leads no more."""

    def watcher_of(self, ref: PartRef | None) -> Watcher:
        """The view of the provider that a template names, or of the platform's own. Raises ConfigurationError."""
        name = ref.name if ref is not None else self.default_provider
        watcher = self.watchers.get(name)
        if watcher is None:
            raise ConfigurationError(
                f"provider {name!r} is not set up here; there are: {', '.join(sorted(self.watchers)) or 'none'}",
                next_step=f"set it up in flashcore.toml, or let the endpoint use {self.default_provider!r}",
                provider=name,
            )
        return watcher

    def announce(self, committed: Committed) -> None:
        """Tell observers of what was committed."""
        for recorded in committed.events:
            for observe in self.observers:
                observe(recorded.event)
