"""All workers that ask over HTTP. One that the table lists is that replica; any other is a guest."""

from __future__ import annotations

import time

from flashcore.gateway.crew import Crew
from flashcore.gateway.polling.link import PolledLink
from flashcore.gateway.routes import JobsRouting
from flashcore.model.names import EndpointName, ReplicaId, RevisionId, new_instance_id
from flashcore.wire.hello import Hello, Identity, Stage, Status
from flashcore.wire.pace import Pace


class Desk:
    """Who asked, by endpoint and by the id that the worker calls itself.

    A guest runs code of its own, so it takes jobs of whichever revision is stable, and none that is pinned elsewhere.
    """

    def __init__(self, crew: Crew, *, paced: bool) -> None:
        self.crew = crew
        self._paced = paced
        self._known: dict[tuple[EndpointName, str], tuple[PolledLink, Hello]] = {}

    def present(self, routing: JobsRouting, name: str) -> PolledLink:
        """The worker's link; it is let in where it was not, or was away."""
        key = (routing.route.name, name)
        known = self._known.get(key)
        if known is None or known[0].closed:
            self._forget_the_gone()
            known = self._known[key] = (PolledLink(Pace(enabled=self._paced)), _hello(routing, name))
            self._let_in(*known, routing)
        elif known[0].away:
            known[0].away = False
            self._let_in(*known, routing)
        self.crew.heard(known[0])
        self._follow(known[0], routing)
        return known[0]

    def find(self, endpoint: EndpointName, name: str) -> PolledLink | None:
        """The worker's link, if it is here."""
        known = self._known.get((endpoint, name))
        return None if known is None or known[0].closed or known[0].away else known[0]

    def hung_up(self, link: PolledLink) -> None:
        """It closed the connection on which it waited: it is dead, or it will ask again."""
        link.away = True
        self.crew.gone(link)

    def _forget_the_gone(self) -> None:
        """Those whom nobody expects back: each life of a worker has a name of its own, and there may be many."""
        self._known = {
            key: (link, hello)
            for key, (link, hello) in self._known.items()
            if not link.closed and (not link.away or self.crew.has_account(hello.identity))
        }

    def _let_in(self, link: PolledLink, hello: Hello, routing: JobsRouting) -> None:
        if hello.identity.replica in routing.listed:
            self.crew.hello(link, hello)
        else:
            self.crew.invite(link, hello)
        # It gets jobs when it asks for them, not before.
        self.crew.offer(link, 0)

    def _follow(self, link: PolledLink, routing: JobsRouting) -> None:
        """A guest goes with the stable side, whichever that is by now."""
        worker = self.crew.worker(link)
        if worker is not None and worker.guest:
            worker.revision = _stable(routing)


def _hello(routing: JobsRouting, name: str) -> Hello:
    listed = routing.listed.get(ReplicaId(name))
    instance, revision = listed if listed is not None else (new_instance_id(), _stable(routing))
    # Nothing is known of its process: that it ended is only seen by its silence.
    who = Identity(routing.route.name, ReplicaId(name), instance, revision, 0, time.time(), "")
    return Hello(who, Status(Stage.READY), slots=1)


def _stable(routing: JobsRouting) -> RevisionId:
    sides = routing.route.sides
    return sides[0].revision if sides else RevisionId("")
