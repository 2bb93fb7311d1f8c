"""One caller's link, in the place of an HTTP exchange: frames of jobs in, frames of answers out.

What ends in one turn of the loop goes out in one frame. A caller that does not read is not read from either; once it
has taken nothing for as long as the connection allows, it is cut off. One that sends a frame by drops is told why it is
turned out, as with the bodies of requests.
"""

from __future__ import annotations

import json
from asyncio import AbstractEventLoop
from math import inf
from typing import Any

from flashcore.gateway.callers.desk import CallersDesk
from flashcore.gateway.callers.outbox import Outbox, Room
from flashcore.gateway.http.errors import accident
from flashcore.gateway.http.exchange import Client, Dismissal
from flashcore.gateway.http.head import RequestHead
from flashcore.gateway.http.limits import Limits
from flashcore.gateway.http.pace import BodyPace
from flashcore.gateway.http.respond import Response, error_response, refusal_response
from flashcore.gateway.intake import refusal_of
from flashcore.model.errors import FlashcoreError, ProtocolError
from flashcore.model.job import Job
from flashcore.wire import calls
from flashcore.wire.calls import Refusal, Submission, WrittenAnswer
from flashcore.wire.frames import Frame, FrameDecoder, encode_frame
from flashcore.wire.messages import Kind

MOST_UNDER_WAY = 65_536
"""Calls of one link that have no answer yet."""

MOST_BEGUN = 256 * calls.LARGEST
"""Bytes of frames that are not complete, of all links together. Beyond it the frame that began first ends its link: who
sends at the usual speed is through with a frame long before that."""


_AGAIN = "open another link, and submit again under the same keys"


class _Waiting:
    """One job's caller: the link, and by which number."""

    __slots__ = ("_link", "endpoint", "number", "waits")

    def __init__(self, link: CallerLink, submission: Submission) -> None:
        self._link = link
        self.number = submission.number
        self.endpoint = submission.endpoint
        self.waits = submission.wait > 0

    def told(self, job: Job | None) -> None:
        """The job is kept, has ended, or the time is over."""
        self._link.told(self, job)

    def failed(self, error: Exception) -> None:
        """It is not kept, or nobody knows what became of it."""
        self._link.failed(self, error)

    def refused(self, response: Response) -> None:
        """It is not taken."""
        self._link.refused(self, response)


class CallerLink:
    """An Exchange that lasts as long as the connection."""

    __slots__ = (
        "_client",
        "_decoder",
        "_desk",
        "_ended",
        "_head",
        "_holds",
        "_is_begun",
        "_is_due",
        "_is_gone",
        "_is_held",
        "_is_leaving",
        "_limits",
        "_loop",
        "_outbox",
        "_pace",
        "_stops_at",
        "_waiting",
    )

    def __init__(self, client: Client, head: RequestHead, links: Links) -> None:
        self._client = client
        self._desk = links.desk
        self._limits = links.limits
        self._loop = links.loop
        self._ended = links.ended
        self._holds = links.holds
        self._head = head
        self._decoder = FrameDecoder(calls.LIMITS)
        self._waiting: dict[int, _Waiting] = {}
        self._outbox = Outbox(links.room)
        self._pace: BodyPace | None = None
        self._stops_at = inf
        self._is_begun = self._is_due = self._is_held = self._is_leaving = self._is_gone = False

    # -- from the client connection --------------------------------------------------------------------------------

    @property
    def is_ours(self) -> bool:
        """Some of its calls have no answer yet."""
        return bool(self._waiting)

    def start(self) -> None:
        """Nothing is to be said first."""
        self._set_deadline()

    def receive(self, data: bytes) -> None:
        """Some bytes came."""
        try:
            for frame in self._decoder.feed(data):
                if self._is_begun:
                    self._is_begun, self._pace = False, None
                    self._holds(self, 0)
                self._take(frame)
        except ProtocolError as error:
            self._turn_out(400, "bad_frame", error.message, error.next_step)
            return
        if self._decoder.pending:
            self._keep_pace(len(data))
        self._set_deadline()

    def receive_end(self) -> None:
        """A link has no end but the connection's."""

    def hold_output(self) -> None:
        """The caller reads slower than it is written to: nothing more is written, and nothing read."""
        self._is_held = True
        self._client.hold_input()
        if self._pace is not None:
            self._pace.hold(self._loop.time())
        self._set_deadline()

    def release_output(self) -> None:
        """It has room again."""
        self._is_held = False
        self._client.release_input()
        if self._pace is not None:
            self._pace.release(self._loop.time())
        self._stops_at = self._loop.time() + self._limits.body_seconds
        self._flush()

    def expire(self) -> None:
        """It is idle, has stopped within a frame, or may be too slow with it."""
        now = self._loop.time()
        if not self._decoder.pending:
            self._end()
        elif now >= self._stops_at:
            self._turn_out(408, "request_timeout", "The rest of a frame did not come in time.", _AGAIN)
        elif self._pace is not None and self._pace.is_too_slow(now):
            limits = self._limits
            rate = f"{limits.body_rate:g} bytes a second over {limits.pace_seconds:g} s"
            self._turn_out(408, "frame_too_slow", f"A frame came more slowly than {rate}.", _AGAIN)
        else:
            self._set_deadline()

    def end_input(self) -> bool:
        """A caller that closes its side is one that left."""
        return False

    def leave(self) -> bool:
        """Send new jobs elsewhere, and end with the last answer."""
        if not self._is_leaving:
            self._is_leaving = True
            self._client.write(encode_frame(calls.going_frame()))
        return bool(self._waiting or self._outbox)

    def dismiss(self, why: Dismissal) -> bool:
        """Tell it of every call that it waits for, and end. Its jobs go on."""
        for waiting in list(self._waiting.values()):
            self.refused(waiting, why.answer)
        self._write()
        self._client.write(encode_frame(calls.going_frame(_error_of(why.answer))))
        self.abandon()
        self._client.part()
        return True

    def retire(self) -> None:
        """Its caller opens the next one at the next gateway; this one ends with what there is to say."""
        if not self.leave():
            self._end()

    def abandon(self) -> None:
        """The caller is gone. Its jobs go on."""
        self._is_gone = True
        self._holds(self, 0)
        self._ended(self)
        self._waiting.clear()
        self._outbox.clear()

    @property
    def under_way(self) -> int:
        """Calls without an answer."""
        return len(self._waiting)

    # -- from the jobs ---------------------------------------------------------------------------------------------

    def told(self, waiting: _Waiting, job: Job | None) -> None:
        """Answer with the job as it is."""
        if job is None:
            self.refused(waiting, self._desk.gone(waiting.endpoint))
        elif self._let_go(waiting):
            self._answer(waiting, job)
            self._plan_flush()

    def failed(self, waiting: _Waiting, error: Exception) -> None:
        """Say what went wrong; what is no error of ours is a crash."""
        if isinstance(error, FlashcoreError):
            self.refused(waiting, refusal_of(error))
        else:
            self._loop.call_exception_handler({"message": "a call over a link failed", "exception": error})
            self.refused(waiting, refusal_response(accident(error)))

    def refused(self, waiting: _Waiting, response: Response) -> None:
        """Say what would be said over HTTP."""
        if self._let_go(waiting):
            self._outbox.refuse(_refusal(waiting.number, response))
            self._plan_flush()

    def _answer(self, waiting: _Waiting, job: Job) -> None:
        outbox = self._outbox
        try:
            if waiting.waits:
                outbox.add_whole(waiting.number, job)
            else:
                outbox.add_brief(waiting.number, job)
        except Exception as error:  # noqa: BLE001 - an answer that cannot be made is this caller's alone to hear
            self._cannot_show(waiting.number, error)
        if outbox.size >= calls.LARGEST:
            self._write()  # a frame is full: who reads has no need of more room here

    def _let_go(self, waiting: _Waiting) -> bool:
        """Whether somebody still waits for it."""
        if self._waiting.get(waiting.number) is not waiting:
            return False
        del self._waiting[waiting.number]
        return True

    # -- frames in -------------------------------------------------------------------------------------------------

    def _take(self, frame: Frame) -> None:
        if frame.kind == Kind.SUBMIT:
            self._take_jobs(calls.read_submissions(frame))
        elif frame.kind == Kind.FORGET:
            for number in calls.read_forgotten(frame):
                self._waiting.pop(number, None)
            if self._is_leaving:
                self._plan_flush()  # that may have been all that the end waited for
        else:
            raise ProtocolError(f"a caller sends no frame of kind {frame.kind}")

    def _take_jobs(self, submissions: list[Submission]) -> None:
        visit = self._desk.visit(self._head, self._client.peer)
        waiting = self._waiting
        for submission in submissions:
            number = submission.number
            if number in waiting:
                raise ProtocolError(f"two calls under way have the number {number}")
            asker = waiting[number] = _Waiting(self, submission)
            if self._is_leaving or len(waiting) > MOST_UNDER_WAY:
                asker.refused(_leaving() if self._is_leaving else _crowded())
                continue
            try:
                self._desk.take(submission, visit, asker)
            except Exception as error:  # noqa: BLE001 - one job's crash is not the others'; the loop hears of it
                asker.failed(error)

    # -- frames out ------------------------------------------------------------------------------------------------

    def _plan_flush(self) -> None:
        if not self._is_due:
            self._is_due = True
            self._loop.call_soon(self._flush)

    def _flush(self) -> None:
        self._is_due = False
        self._write()
        if self._is_gone:
            return
        if self._is_leaving and not (self._waiting or self._outbox):
            self._end()
        else:
            self._set_deadline()

    def _write(self) -> None:
        """Whatever there is to say, for as long as the caller takes it: `write` itself may find that it does not."""
        outbox = self._outbox
        while outbox.has_answers and not self._is_held:
            self._write_answers(outbox.next_answers())
        while outbox.has_refusals and not self._is_held:
            self._client.write(encode_frame(calls.refusals_frame(outbox.next_refusals())))

    def _write_answers(self, answers: list[WrittenAnswer]) -> None:
        """In one frame; each by itself where one of them fits none: what workers say of a job is anything."""
        try:
            frame = calls.encode_answers(answers)
        except ValueError as error:
            if len(answers) == 1:
                self._cannot_show(answers[0].number, error)
            else:
                for answer in answers:
                    self._write_answers([answer])
        else:
            self._client.write(frame)

    def _cannot_show(self, number: int, error: Exception) -> None:
        self._loop.call_exception_handler({"message": "a job cannot be shown", "exception": error})
        self._outbox.refuse(_refusal(number, refusal_response(accident(error))))

    # -- its end ---------------------------------------------------------------------------------------------------

    def _keep_pace(self, size: int) -> None:
        """Count what came of a frame that is not complete."""
        limits, pending, now = self._limits, self._decoder.pending, self._loop.time()
        self._stops_at = now + limits.body_seconds
        if not self._is_begun:
            self._is_begun = True
            if limits.body_rate:
                self._pace = BodyPace(limits.body_rate * limits.pace_seconds, limits.pace_seconds, now)
            size = pending
        if self._pace is not None:
            self._pace.came(size)
        self._holds(self, pending)

    def _set_deadline(self) -> None:
        """A link on which nothing is under way ends some time; so does one that stops within a frame, or nearly.

        One that is held has the connection's own watch: as it is not read from, its caller cannot go on.
        """
        if self._is_held:
            self._client.answer_by(inf)
        elif self._decoder.pending:
            self._client.answer_by(self._stops_at if self._pace is None else min(self._stops_at, self._pace.due))
        elif self._waiting or self._outbox:
            self._client.answer_by(inf)
        else:
            self._client.answer_by(self._loop.time() + self._limits.idle_seconds)

    def _end(self) -> None:
        self.abandon()
        self._client.cut()

    def crowd_out(self) -> None:
        """End it: its frame has waited for its end longer than any other, and there is no room for so many."""
        self._turn_out(503, "too_much_begun", "Too many bytes of frames wait for the rest of them.", _AGAIN)

    def _turn_out(self, status: int, code: str, message: str, next_step: str | None) -> None:
        """End it for what the caller does. What it has submitted is kept, and so are the results."""
        more = {} if next_step is None else {"next_step": next_step}
        error = error_response(status, code, message, (), **more)
        self._client.write(encode_frame(calls.going_frame(_error_of(error))))
        self.abandon()
        self._client.turn_out(code)


class Links:
    """All links of one gateway."""

    def __init__(
        self, desk: CallersDesk, limits: Limits, loop: AbstractEventLoop, most_begun: int = MOST_BEGUN
    ) -> None:
        self.desk = desk
        self.limits = limits
        self.loop = loop
        self.room = Room()
        self._open: set[CallerLink] = set()
        self._begun: dict[CallerLink, int] = {}
        """Bytes that came of frames that are not complete, by link; the first began first."""
        self._bytes_begun = 0
        self._most_begun = most_begun

    def __len__(self) -> int:
        """How many are open."""
        return len(self._open)

    @property
    def under_way(self) -> int:
        """Calls over all of them that have no answer yet."""
        return sum(link.under_way for link in self._open)

    def refusal(self, head: RequestHead, peer: str) -> Response | None:
        """What is said to who may open none; None: it may."""
        return self.desk.refusal(head, peer)

    def begin(self, head: RequestHead, client: Client) -> CallerLink:
        """One more."""
        link = CallerLink(client, head, self)
        self._open.add(link)
        return link

    def holds(self, link: CallerLink, size: int) -> None:
        """So much has come of the frame that a link is receiving; 0: it is complete, or nobody waits for the rest."""
        self._bytes_begun += size - self._begun.get(link, 0)
        if size:
            self._begun[link] = size
        else:
            self._begun.pop(link, None)
        while self._bytes_begun > self._most_begun:
            next(iter(self._begun)).crowd_out()

    def ended(self, link: CallerLink) -> None:
        """One less."""
        self._open.discard(link)


def _refusal(number: int, response: Response) -> Refusal:
    after = next((float(value) for name, value in response.headers if name == b"retry-after"), None)
    body = response.body
    return Refusal(number, response.status, after, body if isinstance(body, bytes) else b"")


def _error_of(response: Response) -> dict[str, Any]:
    error: dict[str, Any] = json.loads(response.body if isinstance(response.body, bytes) else b"{}")
    return error


def _leaving() -> Response:
    """To who had not read yet that this link takes nothing more."""
    return error_response(
        calls.MISDIRECTED, "link_going", "This link takes no more jobs.", next_step="submit over another one"
    )


def _crowded() -> Response:
    return error_response(
        429,
        "too_many_calls",
        f"{MOST_UNDER_WAY} calls of one link wait for their answers, which is the limit.",
        ((b"retry-after", b"1"),),
        next_step="wait for some of them, or open another link",
    )
