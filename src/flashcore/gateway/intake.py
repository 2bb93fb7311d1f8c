"""Takes jobs in, whichever way they are asked for: the same limits, the same accounts, the same queue."""

from __future__ import annotations

from typing import NamedTuple

from flashcore.gateway.allowance import TooManyJobs
from flashcore.gateway.answers import error_answer, too_many
from flashcore.gateway.broker import Broker
from flashcore.gateway.calling import Caller
from flashcore.gateway.http.respond import Response, error_response
from flashcore.gateway.jobids import JobIds
from flashcore.gateway.routes import JobsRouting
from flashcore.gateway.settings import Settings
from flashcore.gateway.submission import Asked, InvalidSubmission, new_job
from flashcore.model.errors import FlashcoreError
from flashcore.wire import seal

RUNSYNC_RETENTION = 60.0
"""Seconds; as long as a caller may wait, the result is there to be read by somebody who comes a little later."""

LONGEST_WAIT = 300.0
"""Seconds that a caller may have an answer held."""


class TooLarge(InvalidSubmission):
    """An input over the limit."""

    code = "body_too_large"


def refusal_of(error: FlashcoreError) -> Response:
    """The answer to a caller whose job is not taken, or not there."""
    if isinstance(error, TooLarge):
        return error_response(413, error.code, error.message, **error.data)
    return too_many(error) if isinstance(error, TooManyJobs) else error_answer(error)


class Order(NamedTuple):
    """A job that somebody asks an endpoint for."""

    routing: JobsRouting
    asked: Asked
    preview: bool
    by: str
    """Whose account it is on."""


class Intake:
    """One gateway's."""

    def __init__(self, broker: Broker, settings: Settings) -> None:
        self._broker = broker
        self._settings = settings
        self._ids = JobIds()

    @property
    def largest(self) -> int:
        """The most bytes that a request about jobs may have, where it is not sealed."""
        return max(self._settings.run_bytes, self._settings.runsync_bytes)

    def most_bytes(self, *, sealed: bool, waits: bool) -> int:
        """The most bytes that a request for a job may have; fewer where nobody waits for its end."""
        settings = self._settings
        return seal.LARGEST_JOB if sealed else settings.runsync_bytes if waits else settings.run_bytes

    def check_size(self, size: int, *, sealed: bool, waits: bool) -> None:
        """Raise TooLarge for an input of more bytes than are taken, in the words that a body is refused in."""
        limit = self.most_bytes(sealed=sealed, waits=waits)
        if size > limit:
            raise TooLarge(f"the body has {size} bytes, {limit} are allowed", size=size, limit=limit)

    def submit(self, order: Order, caller: Caller) -> None:
        """Tell `caller` of the job once it is kept. Raises InvalidSubmission, NotFound or TooManyJobs."""
        routing = order.routing
        new = new_job(routing, order.asked, self._ids.for_run(), routing.route.result_retention, preview=order.preview)
        self._broker.allowance.take(routing.route.name, order.by)
        self._broker.submit_for(new, caller)

    def call(self, order: Order, seconds: float, caller: Caller) -> None:
        """Tell `caller` of the job once it has ended, or after so many seconds. Raises as `submit`."""
        routing = order.routing
        retention = min(routing.route.result_retention, max(RUNSYNC_RETENTION, seconds))
        new = new_job(routing, order.asked, self._ids.for_runsync(), retention, preview=order.preview)
        self._broker.allowance.take(routing.route.name, order.by)
        self._broker.call(new, seconds, caller)
