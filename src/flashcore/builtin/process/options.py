"""What can be configured of the provider `process`: [plugins.process] in flashcore.toml."""

from __future__ import annotations

from dataclasses import dataclass

from flashcore.worker.settings import DEFAULT_LOG_LIMIT


@dataclass(frozen=True, slots=True)
class ProcessOptions:
    """Times in seconds, sizes in bytes."""

    cpus: float | None = None
    """CPUs to share out among replicas that declare them; None: those of this machine."""
    gpus: int | None = None
    """GPUs to share out; None: those of this machine."""
    memory: int | None = None
    """Bytes of memory to share out among replicas that declare some; None: that of this machine."""
    warm: bool = True
    """Whether replicas may be forked from a process that has imported their code, where that is safe."""
    install_within: float = 1800.0
    """What the installation of an endpoint's dependencies may take."""
    unused_environments: float = 7 * 86_400.0
    """How long an environment of dependencies that no replica runs in is kept."""
    hello_within: float = 60.0
    """What a started process has until it says who it is; user code is imported after that."""
    log_limit: int = DEFAULT_LOG_LIMIT
    """Of one replica's log before it is rotated; one older file is kept beside it."""
    kept_logs: int = 100
    """Logs of replicas that are gone, newest first, that are kept."""
