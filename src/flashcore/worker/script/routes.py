"""The routes that RunPod's package calls, answered from the tray; `wire.runpod` says what each is for."""

from __future__ import annotations

import json
from collections.abc import Callable
from hmac import compare_digest

from flashcore.model.names import JobId
from flashcore.wire.messages import Assignment
from flashcore.wire.rawjson import NotJson
from flashcore.wire.runpod import (
    Interim,
    Outcome,
    batch_size,
    job_text,
    list_text,
    named_jobs,
    read_chunk,
    read_outcome,
    reads_lists,
)
from flashcore.worker.script.http import Answer, Asked
from flashcore.worker.script.tray import Tray

_TAKEN = Answer(200, b"{}")
_NOTHING = Answer(204)


class SdkRoutes:
    """Answers one script, which has the key. `replace` is called when a handler asks for a new worker."""

    def __init__(self, tray: Tray, key: str, replace: Callable[[], None]) -> None:
        self._tray = tray
        self._key = key.encode()
        self._replace = replace
        self.unfit = ""
        """Which of its own checks the script failed before it asked for anything."""

    async def respond(self, asked: Asked) -> Answer:
        """What the package is to hear."""
        if not compare_digest(asked.headers.get("authorization", "").removeprefix("Bearer ").encode(), self._key):
            return Answer(401, b'{"error":"another process has the key"}')
        _, _, _, verb, *rest = (*asked.path.split("/"), "", "", "")
        job = JobId(rest[1] if len(rest) > 1 else "")
        match verb:
            case "job-take":
                return await self._take(asked, 1)
            case "job-take-batch":
                return await self._take(asked, batch_size(asked.query.get("batch_size", "")))
            case "job-stop":
                stops = await self._tray.next_stops()
                return Answer(200, json.dumps({"jobsToStop": stops}).encode()) if stops else _NOTHING
            case "job-done":
                return self._done(job, asked)
            case "job-stream":
                return await self._stream(job, asked)
            case "ping":
                return self._ping(asked)
            case _:
                return Answer(404, b'{"error":"a worker has no such route"}')

    async def _take(self, asked: Asked, most: int) -> Answer:
        jobs = await self._tray.next_jobs(
            most,
            takes_lists=reads_lists(asked.headers.get("user-agent", "").encode()),
            is_idle=asked.query.get("job_in_progress") == "0",
        )
        if not jobs:
            return _NOTHING
        documents = [_document(job) for job in jobs]
        return Answer(200, documents[0] if len(documents) == 1 and most == 1 else list_text(documents))

    def _done(self, job: JobId, asked: Asked) -> Answer:
        match read_outcome(asked.body):
            case Interim(progress):
                self._tray.progressed(job, progress)
            case Outcome() as outcome:
                self._tray.ended(job, outcome)
                if outcome.replace_worker:
                    self._replace()
        return _TAKEN

    async def _stream(self, job: JobId, asked: Asked) -> Answer:
        try:
            item = read_chunk(asked.body)
        except NotJson as error:
            self._tray.ended(job, Outcome(None, f"a streamed item: {error.message}", replace_worker=False))
        else:
            await self._tray.streamed(job, item)
        return _TAKEN

    def _ping(self, asked: Asked) -> Answer:
        if asked.query.get("status") == "unhealthy":
            self.unfit = ": ".join(filter(None, (asked.query.get("check"), asked.query.get("reason"))))
        else:
            self._tray.works_on(named_jobs(asked.query.get("job_id", "")))
        return _TAKEN


def _document(job: Assignment) -> bytes:
    return job_text(job.id, bytes(job.input.data) or b"null", job.context)
