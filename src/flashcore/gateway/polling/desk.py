"""All workers that ask over HTTP. One that the table lists is that replica; any other is a guest."""

from __future__ import annotations

import time
from collections.abc import Collection
from dataclasses import dataclass

from flashcore.gateway.books import Worker
from flashcore.gateway.crew import Crew
from flashcore.gateway.http.respond import Request
from flashcore.gateway.polling.attendance import Attendance
from flashcore.gateway.polling.link import PolledLink
from flashcore.gateway.routes import JobsRouting
from flashcore.gateway.settings import Settings
from flashcore.model.names import EndpointName, JobId, ReplicaId, RevisionId, new_instance_id
from flashcore.wire.hello import Hello, Identity, Stage, Status
from flashcore.wire.pace import Pace


@dataclass(frozen=True, slots=True)
class _Known:
    """A worker that asked at some time."""

    link: PolledLink
    hello: Hello
    attendance: Attendance


class Desk:
    """Who asked, by endpoint and by the id that the worker calls itself.

    A guest runs code of its own, so it takes jobs of whichever revision is stable, and none that is pinned elsewhere.
    It has no id of its own for each life: whoever comes to a new gateway by the name of one that has jobs is that one.
    """

    def __init__(self, crew: Crew, settings: Settings) -> None:
        self.crew = crew
        self._settings = settings
        self._known: dict[tuple[EndpointName, str], _Known] = {}
        self.is_over = False
        """Whether nobody is to wait any longer, for the gateway ends."""

    def dismiss(self) -> None:
        """Have everybody who waits go with what there is, and come again: to the next gateway."""
        self.is_over = True
        for known in self._known.values():
            known.link.tell()

    def present(self, routing: JobsRouting, name: str, request: Request) -> PolledLink:
        """The link of a worker that asks for something; it is let in where it was not, or was away."""
        key = (routing.route.name, name)
        known = self._known.get(key)
        if known is None or known.link.closed:
            self._forget_the_gone()
            known = self._known[key] = self._introduce(routing, name)
            self._let_in(known, routing)
        elif known.link.away:
            known.link.away = False
            self._let_in(known, routing)
        if self._settings.poll_attendance:
            known.attendance.note(request)
        self.crew.heard(known.link)
        self._follow(known.link, routing)
        return known.link

    def reporting(self, routing: JobsRouting, name: str, request: Request) -> PolledLink | None:
        """The link of a worker that posts something of a job, and has asked for jobs before, be it another gateway.

        One that hung up is back: what it posts is its own doing. It may have closed all that it had open, for having
        been idle while a function ran, a moment before it reports what came of that.
        """
        known = self._known.get((routing.route.name, name))
        expected = self._left_behind(routing, name) is not None if known is None else not known.link.closed
        return self.present(routing, name, request) if expected else None

    def pinging(self, routing: JobsRouting, name: str, jobs: Collection[JobId]) -> PolledLink | None:
        """The link of a worker whose pings name these jobs, if it is here.

        Where an earlier gateway gave it one of them, it is: a function may keep it from asking this one anything.
        """
        key = (routing.route.name, name)
        left = self._left_behind(routing, name) if key not in self._known else None
        if left is not None and any(job in left.attempts for job in jobs):
            known = self._known[key] = self._introduce(routing, name)
            self._let_in(known, routing)
        return self.find(*key)

    def find(self, endpoint: EndpointName, name: str) -> PolledLink | None:
        """The worker's link, if it is here."""
        known = self._known.get((endpoint, name))
        return known.link if known is not None and known.link.is_here else None

    def hung_up(self, link: PolledLink) -> None:
        """It closed the connection on which it waited, or all that it had: it is dead, or it will ask again."""
        link.away = True
        self.crew.gone(link)

    def _forget_the_gone(self) -> None:
        """Those whom nobody expects back: each life of a worker has a name of its own, and there may be many."""
        self._known = {
            key: known
            for key, known in self._known.items()
            if not known.link.closed and (not known.link.away or self.crew.has_account(known.hello.identity))
        }

    def _introduce(self, routing: JobsRouting, name: str) -> _Known:
        link = PolledLink(Pace(enabled=self._settings.poll_pacing > 0))
        left = self._left_behind(routing, name)
        if left is not None:
            link.hold(left.attempts.values())
        return _Known(link, _hello(routing, name, left), Attendance(link, self.hung_up))

    def _left_behind(self, routing: JobsRouting, name: str) -> Worker | None:
        """What an earlier gateway knew of the worker, if it gave it jobs that have not ended."""
        replica = ReplicaId(name)
        listed = routing.listed.get(replica)
        left = self.crew.left_behind(routing.route.name, replica)
        return left if listed is None or left is None or left.instance == listed[0] else None

    def _let_in(self, known: _Known, routing: JobsRouting) -> None:
        link, hello = known.link, known.hello
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


def _hello(routing: JobsRouting, name: str, left: Worker | None) -> Hello:
    guest = new_instance_id() if left is None else left.instance
    instance, revision = routing.listed.get(ReplicaId(name), (guest, _stable(routing)))
    # Nothing is known of its process: that it ended is only seen by its silence.
    who = Identity(routing.route.name, ReplicaId(name), instance, revision, 0, time.time(), "")
    return Hello(who, Status(Stage.READY), slots=1)


def _stable(routing: JobsRouting) -> RevisionId:
    sides = routing.route.sides
    return sides[0].revision if sides else RevisionId("")
