"""Jobs that come over links: taken in by the rules of the job API, with the same answers."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, Protocol

from flashcore.gateway.answers import job_gone
from flashcore.gateway.calling import Caller
from flashcore.gateway.http.head import RequestHead
from flashcore.gateway.http.requestid import RequestIds
from flashcore.gateway.http.respond import Response, error_response
from flashcore.gateway.intake import LONGEST_WAIT, Intake, Order, refusal_of
from flashcore.gateway.keyring import Keyring
from flashcore.gateway.paths import without_suffix
from flashcore.gateway.routes import JobsRouting, Routes
from flashcore.gateway.submission import asked_over_link
from flashcore.model.errors import FlashcoreError
from flashcore.model.names import EndpointName
from flashcore.model.token import TokenScope
from flashcore.wire import calls, seal
from flashcore.wire.calls import Submission

_CALL = frozenset({TokenScope.CALL})
_PROTOCOL = calls.PROTOCOL.encode()


class Asker(Caller, Protocol):
    """Who asks for one job over a link."""

    def refused(self, response: Response) -> None:
        """It is not taken; that is what would be said over HTTP."""
        ...


class _Place(NamedTuple):
    """Where some jobs of a frame go."""

    routing: JobsRouting
    preview: bool


class Visit:
    """One frame: who sends it, and where to it may. Looked up for each frame, since tokens and tables come and go."""

    __slots__ = ("_head", "_is_allowed", "_keyring", "_peer", "by", "places")

    def __init__(self, keyring: Keyring, head: RequestHead, peer: str) -> None:
        self.places: dict[str, _Place] = {}
        """By the names of endpoints as the sender writes them, those that it may call."""
        self._keyring = keyring
        self._head = head
        self._peer = peer
        self._is_allowed = False
        self.by = keyring.caller_of(head, peer)

    def refusal(self) -> Response | None:
        """What the sender is told where a token is needed; None: it may pass."""
        if self._is_allowed:
            return None
        refusal = self._keyring.refusal(self._head, self._peer, _CALL)
        self._is_allowed = refusal is None
        return refusal


class CallersDesk:
    """One gateway's. `not_a_queue` is the answer to who asks for a queue of a name that is none."""

    def __init__(
        self,
        routes: Callable[[], Routes],
        intake: Intake,
        keyring: Keyring,
        not_a_queue: Callable[[str], Response],
    ) -> None:
        self.taken = 0
        """Jobs that came over links."""
        self._routes = routes
        self._intake = intake
        self._keyring = keyring
        self._not_a_queue = not_a_queue
        self._new_id = RequestIds()

    def refusal(self, head: RequestHead, peer: str) -> Response | None:
        """What is said to who may open no link, or asks for something else there; None: it may."""
        if head.upgrade.lower() != _PROTOCOL or head.method != b"GET" or head.has_body:
            return error_response(
                400,
                "not_a_link",
                f"Here connections change to {calls.PROTOCOL}, which this request does not ask for.",
                next_step="call /v2/{endpoint}/run or /v2/{endpoint}/runsync",
            )
        if any(routing.route.public for routing in self._routes().jobs.values()):
            return None
        return self._keyring.refusal(head, peer, _CALL)

    def visit(self, head: RequestHead, peer: str) -> Visit:
        """A frame has come over the link that this request has opened."""
        return Visit(self._keyring, head, peer)

    def take(self, submission: Submission, visit: Visit, asker: Asker) -> None:
        """Take one job in. Whatever becomes of it, `asker` hears of it once."""
        try:
            self._take(submission, visit, asker)
        except FlashcoreError as error:
            asker.refused(refusal_of(error))

    def gone(self, endpoint: str) -> Response:
        """The answer to who waited for a job that was removed meanwhile."""
        return refusal_of(job_gone(EndpointName(endpoint)))

    def _take(self, submission: Submission, visit: Visit, asker: Asker) -> None:
        place = visit.places.get(submission.endpoint) or self._place(submission.endpoint, visit, asker)
        if place is None:
            return
        payload, wait = submission.input, submission.wait
        self._intake.check_size(len(payload.data), sealed=payload.media == seal.MEDIA, waits=wait > 0)
        order = Order(place.routing, asked_over_link(submission, self._new_id()), place.preview, visit.by)
        if wait:
            self._intake.call(order, min(wait, LONGEST_WAIT * 1000) / 1000, asker)
        else:
            self._intake.submit(order, asker)
        self.taken += 1

    def _place(self, endpoint: str, visit: Visit, asker: Asker) -> _Place | None:
        """Look an endpoint up; None where `asker` has been told why it may not be called."""
        to = without_suffix(endpoint)
        routing = self._routes().jobs.get(to.name)
        if (routing is None or not routing.route.public) and (refusal := visit.refusal()) is not None:
            asker.refused(refusal)
            return None
        if routing is None:
            asker.refused(self._not_a_queue(to.name))
            return None
        place = visit.places[endpoint] = _Place(routing, to.preview)
        return place
