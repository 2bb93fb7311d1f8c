"""Sends what is owed. A job's end is on disk before it is told, and what is told is what a status request would say."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import logging
import secrets
import time
from asyncio import Task
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from flashcore.gateway.documents import status_body
from flashcore.gateway.files import make_private_directory, replace_file
from flashcore.gateway.webhooks.destination import Destination, look_up, place_of
from flashcore.gateway.webhooks.spool import Spool
from flashcore.gateway.webhooks.turns import Room, Turn, Turns
from flashcore.model.errors import Refused, StateError, StorageFull
from flashcore.model.job import Job, NewJob
from flashcore.model.names import JobId

_log = logging.getLogger(__name__)

SIGNATURE = "X-Flashcore-Signature"
_SHORTEST_KEY = 16
_TRACE = ("traceparent", "tracestate")
ROOM = Room()
"""A receiver that does not answer takes nearly a minute for each job, in which others are told."""
_LOOKED_UP = 32
"""Jobs at a time of which an earlier gateway owed the webhook, and nobody knows yet where it goes."""


@dataclass(frozen=True, slots=True)
class Patience:
    """How it is tried."""

    attempts: int
    pause: float
    """Seconds between two attempts."""
    seconds: float
    """For one attempt."""
    private: bool
    """Whether addresses that are not public may be called."""


class Webhooks:
    """Belongs to one event loop. `find` gives a job as it is now."""

    def __init__(self, folder: Path, patience: Patience, find: Callable[[JobId], Awaitable[Job | None]]) -> None:
        self._folder = folder
        self._spool = Spool(folder / "webhooks")
        self._patience = patience
        self._find = find
        self._owed: dict[JobId, str] = {}
        """By job, the place that is told; of what an earlier gateway owed, no place that is known."""
        self._sending: dict[JobId, Task[None]] = {}
        self._again: set[JobId] = set()
        self._retried: set[JobId] = set()
        """Jobs that are being queued again at this moment."""
        self._looking = asyncio.Semaphore(_LOOKED_UP)
        self._turns = Turns(ROOM)

    async def start(self) -> None:
        """Go on where the last gateway stopped."""
        self._owed.update(dict.fromkeys(await asyncio.to_thread(self._spool.owed), ""))
        self.look()

    async def close(self) -> None:
        """What was not sent is sent by the next gateway."""
        self._again.clear()
        for task in self._sending.values():
            task.cancel()
        await asyncio.gather(*self._sending.values(), return_exceptions=True)

    async def owe(self, new: NewJob) -> None:
        """The job is about to be accepted. Raises StorageFull when that could not be kept."""
        if new.webhook is None:
            return
        try:
            await asyncio.to_thread(self._keep, new.id)
        except OSError as error:
            raise StorageFull(f"a webhook cannot be kept: {error}", next_step="free some space") from error
        self._owed[new.id] = place_of(new.webhook)

    @asynccontextmanager
    async def retrying(self, new: NewJob) -> AsyncIterator[None]:
        """The job is queued again within the block: its next end is owed before, and nothing told of its last one.

        Raises StorageFull when that could not be kept; nothing has changed then.
        """
        was_owed = new.id in self._owed
        self._retried.add(new.id)
        try:
            await self._fall_silent(new.id)
            await self.owe(new)
            yield
        except StorageFull:
            if not was_owed:
                await self._settle(new.id)
            raise
        finally:
            self._retried.discard(new.id)
            self.ended(new.id)  # it may have, before it was known to be queued

    async def _fall_silent(self, job: JobId) -> None:
        """Tell nothing more of its end: that is true no longer in a moment."""
        self._again.discard(job)
        if (telling := self._sending.get(job)) is not None:
            if job in self._owed:
                telling.cancel()  # one that was told is being struck off the disk, which nothing can stop
            await asyncio.wait((telling,))

    def _keep(self, job: JobId) -> None:
        # The key first: one that could not be made later, for lack of room, would leave the end of the job untold.
        webhook_key(self._folder)
        self._spool.add(job)

    async def forgive(self, new: NewJob) -> None:
        """The job was not accepted."""
        if new.webhook is not None:
            await self._settle(new.id)

    def ended(self, job: JobId) -> None:
        """The job has its final state. On the path of every job: cheap."""
        if job not in self._owed or job in self._retried:
            return
        if job in self._sending:
            # That one may have looked a moment too early.
            self._again.add(job)
            return
        task = self._sending[job] = asyncio.get_running_loop().create_task(self._deliver(job))
        task.add_done_callback(lambda _: self._through(job))

    def _through(self, job: JobId) -> None:
        self._sending.pop(job, None)
        if job in self._again:
            self._again.discard(job)
            self.ended(job)

    def look(self) -> None:
        """Any of them may have ended."""
        for job in sorted(self._owed):
            self.ended(job)

    async def _deliver(self, job_id: JobId) -> None:
        try:
            async with self._turns.at(await self._place(job_id)) as turn:
                job = await self._find(job_id)
                if job is not None and not job.status.final:
                    return
                if job is not None and job.new.webhook is not None:
                    await self._try(job, job.new.webhook, turn)
                await self._settle(job_id)
        except (StateError, StorageFull) as error:
            _log.warning("the webhook of job %s waits for the store: %s", job_id, error.message)

    async def _place(self, job_id: JobId) -> str:
        """Where it goes; of what an earlier gateway owed, the job says it."""
        place = self._owed.get(job_id, "")
        if not place:
            async with self._looking:
                job = await self._find(job_id)
            if job is not None and job.new.webhook is not None:
                place = place_of(job.new.webhook)
                if job_id in self._owed:
                    self._owed[job_id] = place
        return place

    async def _try(self, job: Job, url: str, turn: Turn) -> None:
        body = status_body(job)
        for attempt in range(1, self._patience.attempts + 1):
            trouble = await self._post(job.new, url, body)
            turn.went_well = trouble is None
            if trouble is None:
                return
            _log.warning(
                "the webhook of job %s, attempt %d of %d: %s", job.id, attempt, self._patience.attempts, trouble
            )
            if attempt < self._patience.attempts:
                await asyncio.sleep(self._patience.pause)

    async def _post(self, job: NewJob, url: str, body: bytes) -> str | None:
        """None when it was taken, otherwise what went wrong."""
        # Most gateways never send one, and the client is large.
        import httpx2

        try:
            # The client's own limit is for each piece that comes: one byte now and then would never run into it.
            async with asyncio.timeout(self._patience.seconds):
                to = await look_up(url, private=self._patience.private)
                async with httpx2.AsyncClient(trust_env=False, follow_redirects=False, timeout=None) as http:
                    request = http.build_request("POST", to.url, content=body, headers=self._headers(job, to, body))
                    request.extensions["sni_hostname"] = to.name
                    # Of the answer the status is all that is looked at: its body may have no end.
                    answer = await http.send(request, stream=True)
                    await answer.aclose()
        except Refused as error:
            return f"{error.message}; {error.next_step}"
        except TimeoutError:
            return f"it was not answered within {self._patience.seconds:g} s"
        except (OSError, httpx2.HTTPError, httpx2.InvalidURL) as error:
            return f"{type(error).__name__}: {error}"
        return None if 200 <= answer.status_code < 300 else f"it was answered with {answer.status_code}"

    def _headers(self, job: NewJob, to: Destination, body: bytes) -> dict[str, str]:
        return {
            **{name: job.context[name] for name in _TRACE if name in job.context},
            "Host": to.host,
            "Content-Type": "application/json",
            "X-Flashcore-Job": job.id,
            SIGNATURE: signature(webhook_key(self._folder), time.time(), body),
        }

    async def _settle(self, job: JobId) -> None:
        self._owed.pop(job, None)
        await asyncio.to_thread(self._spool.remove, job)


def webhook_key(folder: Path) -> bytes:
    """The key that webhooks of an environment are signed with: `webhook.key` in its folder.

    It is made where it is not there, or is cut short: anybody could sign with an empty one. Raises OSError.
    """
    path = folder / "webhook.key"
    try:
        key = bytes.fromhex(path.read_text("ascii"))
    except FileNotFoundError:
        return _new_key(path)
    except ValueError:
        key = b""
    if len(key) >= _SHORTEST_KEY:
        return key
    new = _new_key(path)
    _log.error("%s held no key of %d bytes or more: receivers of webhooks need the new one", path, _SHORTEST_KEY)
    return new


def _new_key(path: Path) -> bytes:
    key = secrets.token_bytes(32)
    make_private_directory(path.parent)
    replace_file(path, key.hex().encode(), synced=True)
    return key


def signature(key: bytes, now: float, body: bytes) -> str:
    """`t=SECONDS,v1=HEX`: an HMAC-SHA256 of `SECONDS.BODY`. Who checks it compares the time with a clock, too."""
    stamp = str(int(now))
    return f"t={stamp},v1={hmac.new(key, stamp.encode() + b'.' + body, hashlib.sha256).hexdigest()}"
