"""What a replica is told at its start: all of it in FLASHCORE_* variables, so that no argument shows in a process list.

    FLASHCORE_ENDPOINT         name of the endpoint
    FLASHCORE_REPLICA          replica id
    FLASHCORE_INSTANCE         id of this life of the replica
    FLASHCORE_REVISION         revision id
    FLASHCORE_CONTROL_SOCKET   path of the Unix socket to make and listen on for the provider
    FLASHCORE_RECORD           path of the record to write
    FLASHCORE_HTTP_SOCKET      path of the Unix socket for HTTP (needed by load-balanced endpoints)
    FLASHCORE_WORKER_SOCKET    path of the gateway's socket for queue workers (needed by queue-based endpoints)
    FLASHCORE_SLOTS            calls at the same time, 1
    FLASHCORE_GRACE            seconds for what is running after SIGTERM, 30
    FLASHCORE_LOG              path of the file that stdout and stderr go to, to be rotated; not rotated without
    FLASHCORE_LOG_LIMIT        bytes of the log before it is rotated, 10 MB; one older file is kept
    FLASHCORE_LAUNCH           path of the provider's own note of this start (JSON with `instance`): a process that
                               finds it gone, or about another life, is no longer wanted and ends
    FLASHCORE_HOP_KEY          what requests over HTTP have to carry in x-flashcore-hop; without it all are let in
    FLASHCORE_EXECUTION_TIMEOUT  seconds that a request may run; without it any time. A job says its own
    FLASHCORE_READY_FD         file descriptor to write one byte to when the control socket listens

Others that user code or the client reads (FLASHCORE_GATEWAY_URL, FLASHCORE_ENV) pass untouched.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from flashcore.model.errors import ConfigurationError
from flashcore.model.names import EndpointName, InstanceId, ReplicaId, RevisionId

T = TypeVar("T")

DEFAULT_LOG_LIMIT = 10_000_000


@dataclass(frozen=True, slots=True)
class WorkerSettings:
    """The variables above, read."""

    endpoint: EndpointName
    replica: ReplicaId
    instance: InstanceId
    revision: RevisionId
    control_socket: Path
    record: Path
    http_socket: Path | None = None
    worker_socket: Path | None = None
    slots: int = 1
    grace: float = 30.0
    log: Path | None = None
    log_limit: int = DEFAULT_LOG_LIMIT
    launch: Path | None = None
    ready_fd: int | None = None
    hop_key: str = ""
    execution_timeout: float = 0.0


def read_settings(environ: Mapping[str, str]) -> WorkerSettings:
    """The settings in `environ`. Raises ConfigurationError naming the variable that is missing or cannot be read."""
    return WorkerSettings(
        endpoint=EndpointName(_needed(environ, "ENDPOINT")),
        replica=ReplicaId(_needed(environ, "REPLICA")),
        instance=InstanceId(_needed(environ, "INSTANCE")),
        revision=RevisionId(_needed(environ, "REVISION")),
        control_socket=Path(_needed(environ, "CONTROL_SOCKET")),
        record=Path(_needed(environ, "RECORD")),
        http_socket=_optional(environ, "HTTP_SOCKET", Path, None),
        worker_socket=_optional(environ, "WORKER_SOCKET", Path, None),
        slots=_optional(environ, "SLOTS", int, 1),
        grace=_optional(environ, "GRACE", float, 30.0),
        log=_optional(environ, "LOG", Path, None),
        log_limit=_optional(environ, "LOG_LIMIT", int, DEFAULT_LOG_LIMIT),
        launch=_optional(environ, "LAUNCH", Path, None),
        ready_fd=_optional(environ, "READY_FD", int, None),
        hop_key=_optional(environ, "HOP_KEY", str, ""),
        execution_timeout=_optional(environ, "EXECUTION_TIMEOUT", float, 0.0),
    )


def _needed(environ: Mapping[str, str], name: str) -> str:
    value = environ.get(f"FLASHCORE_{name}")
    if not value:
        raise ConfigurationError(
            f"FLASHCORE_{name} is not set",
            next_step="a worker is started by a provider; see flashcore.worker.settings for what it needs",
        )
    return value


def _optional(environ: Mapping[str, str], name: str, read: Callable[[str], T], default: T) -> T:
    value = environ.get(f"FLASHCORE_{name}")
    if not value:
        return default
    try:
        return read(value)
    except ValueError as error:
        raise ConfigurationError(f"FLASHCORE_{name}={value!r} cannot be read: {error}") from error
