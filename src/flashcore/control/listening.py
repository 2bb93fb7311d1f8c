"""Which deployments what the gateways say is news for: those alone are woken, however many there are."""

from __future__ import annotations

from collections.abc import Callable, Collection

from flashcore.control.publishing import Publisher
from flashcore.model.names import EndpointName
from flashcore.model.table import EndpointSignals
from flashcore.wire.dataplane import DataPlane
from flashcore.wire.news import News


class Listening:
    """Wakes whoever is concerned. `known` are the endpoints that there are, as they come and go."""

    def __init__(
        self,
        dataplane: DataPlane,
        publisher: Publisher,
        known: Collection[EndpointName],
        wake: Callable[[EndpointName], None],
    ) -> None:
        self._dataplane = dataplane
        self._publisher = publisher
        self._known = known
        self._wake = wake
        self._heard: dict[EndpointName, tuple[EndpointSignals, ...]] = {}
        self._refused: dict[EndpointName, tuple[str, ...]] = {}

    async def run(self) -> None:
        """Listen for as long as there is a data plane."""
        async for news in self._dataplane.changes():
            self.take(news)

    def take(self, news: News) -> None:
        """Wake those whom it concerns."""
        for endpoint in news.endpoints:
            self._signals(endpoint)
        if news.gateways:
            for endpoint in self._publisher.take_free():
                self._wake(endpoint)
            self._refusals()

    def forget(self, endpoint: EndpointName) -> None:
        """Nothing is left of it."""
        self._heard.pop(endpoint, None)
        self._refused.pop(endpoint, None)

    def _signals(self, endpoint: EndpointName) -> None:
        signals = self._dataplane.signals(endpoint)
        if endpoint in self._known and signals != self._heard.get(endpoint, ()):
            self._heard[endpoint] = signals
            self._wake(endpoint)

    def _refusals(self) -> None:
        """A table that is refused may concern anybody; most of the time none is."""
        if not self._refused and not self._publisher.is_refused:
            return
        before = self._refused
        found = {endpoint: self._publisher.refusals(endpoint) for endpoint in self._known}
        self._refused = {endpoint: refusals for endpoint, refusals in found.items() if refusals}
        for endpoint in self._refused.keys() | before.keys():
            if self._refused.get(endpoint) != before.get(endpoint):
                self._wake(endpoint)
