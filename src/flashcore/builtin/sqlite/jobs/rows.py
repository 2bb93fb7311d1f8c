"""Jobs as rows: what each column holds, in both directions."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from flashcore.builtin.sqlite.jobs.entry import PLACES, STATUSES, Loaded, Shelved
from flashcore.builtin.sqlite.jobs.stands import is_apart, stand_of
from flashcore.model import job_steps
from flashcore.model.job import Job, NewJob, Payload, Unfit
from flashcore.model.names import EndpointName
from flashcore.wire.compact import compact_encoder

_encode = compact_encoder()

JOB_COLUMNS = (
    "n",
    "id",
    "e",
    "key",
    "submitted_at",
    "ttl",
    "execution_timeout",
    "retention",
    "webhook",
    "max_attempts",
    "context",
    "media",
    "input",
    "blob",
)
STATE_COLUMNS = (
    "n",
    "e",
    "pin",
    "priority",
    "lane",
    "round",
    "status",
    "due",
    "attempt",
    "charged",
    "worker",
    "revision",
    "leased_until",
    "started_at",
    "finished_at",
    "error",
    "refused",
    "version",
    "unfit",
    "streamed",
)
CHANGING_STATE_COLUMNS = tuple(column for column in STATE_COLUMNS if column not in ("n", "e", "priority", "lane"))

ACCOUNT_COLUMNS = (
    "e",
    "name",
    "round",
    "in_queue",
    "in_progress",
    "completed",
    "failed",
    "cancelled",
    "timed_out",
    "retried",
    "low",
    "touched",
)

_SELECT = """
select
  s.n, s.e, s.round, j.id, endpoint.name, j.media, j.blob, {input}, s.lane, j.ttl, j.execution_timeout, j.retention,
  s.priority, j.key, s.pin, j.webhook, j.max_attempts, j.context,
  s.status, j.submitted_at, s.attempt, s.charged, s.worker, s.revision, s.leased_until, s.started_at, s.finished_at,
  o.media, o.blob, {output}, s.error, p.media, p.blob, {progress}, s.refused, s.version, s.unfit, s.streamed
from state s
join job j on j.n = s.n
join endpoint on endpoint.e = s.e
left join outcome o on o.k = 2 * s.n
left join outcome p on p.k = 2 * s.n + 1
"""


def select_jobs(most_inline: int) -> str:
    """The start of a select of jobs, to which a `where` is added; larger payloads are left out."""
    bounded = "case when length({0}) <= {1} then {0} end"
    return _SELECT.format(
        input=bounded.format("j.input", most_inline),
        output=bounded.format("o.data", most_inline),
        progress=bounded.format("p.data", most_inline),
    )


def job_row(n: int, e: int, job: Job) -> tuple[Any, ...]:
    """A job that was submitted, in the order of JOB_COLUMNS."""
    new = job.new
    return (
        n,
        new.id,
        e,
        new.idempotency_key,
        job.submitted_at,
        new.ttl,
        new.execution_timeout,
        new.retention,
        new.webhook,
        new.max_attempts,
        _encode(dict(new.context)) if new.context else None,
        *payload_columns(new.input),
    )


def state_row(n: int, e: int, round_: int, job: Job) -> tuple[Any, ...]:
    """What changes of a job, in the order of STATE_COLUMNS."""
    new = job.new
    return (
        n,
        e,
        (stand_of(job) if job.unfit else new.pin) or "",
        new.priority,
        new.lane,
        round_,
        PLACES[job.status],
        job_steps.expires_at(job) if job.finished_at is None else job_steps.forgotten_at(job),
        job.attempt,
        job.charged,
        job.worker,
        job.revision,
        job.leased_until,
        job.started_at,
        job.finished_at,
        job.error,
        "\n".join(sorted(job.refused_workers)) or None if job.refused_workers else None,
        job.version,
        json.dumps([[unfit.revision, unfit.takes, unfit.reason] for unfit in job.unfit]) if job.unfit else None,
        job.streamed,
    )


def payload_columns(payload: Payload) -> tuple[str, bytes | memoryview | None, str | None]:
    """Media, bytes, and the name of the file that holds them instead."""
    if isinstance(payload, Shelved):
        return payload.media, None, payload.digest
    return payload.media, payload.data, None


def loaded(row: tuple[Any, ...]) -> Loaded:
    """The job of a row of `select_jobs`."""
    (n, e, round_, identity, endpoint, media, blob, data, lane, ttl, execution_timeout, retention) = row[:12]
    (priority, key, pin, webhook, max_attempts, context, status, submitted_at, attempt, charged) = row[12:22]
    (worker, revision, leased_until, started_at, finished_at) = row[22:27]
    (output_media, output_blob, output, error, progress_media, progress_blob, progress) = row[27:34]
    (refused, version, unfit, streamed) = row[34:]
    new = NewJob(
        identity,
        EndpointName(endpoint or ""),
        _payload(media, data, blob),
        lane,
        ttl,
        execution_timeout,
        retention,
        priority,
        key,
        None if not pin or is_apart(pin) else pin,
        webhook,
        max_attempts,
        _context(context),
    )
    job = Job(
        new,
        STATUSES[status],
        submitted_at,
        attempt,
        charged,
        worker,
        revision,
        leased_until,
        started_at,
        finished_at,
        None if output_media is None else _payload(output_media, output, output_blob),
        error,
        None if progress_media is None else _payload(progress_media, progress, progress_blob),
        frozenset(refused.split("\n")) if refused else frozenset(),
        version,
        tuple(Unfit(*known) for known in json.loads(unfit)) if unfit else (),
        streamed,
    )
    return Loaded(n, e, round_, job)


def _payload(media: str, data: bytes | None, blob: str | None) -> Payload:
    return Payload(data, media) if data is not None else Shelved(media=media, digest=blob)


def _context(stored: str | None) -> Mapping[str, str]:
    context: Mapping[str, str] = json.loads(stored) if stored else {}
    return context
