"""From a fork of the warm parent to a replica: whatever was the parent's becomes its own."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from pathlib import Path

from flashcore.worker.logs import LogFile, Output
from flashcore.worker.runtime import Runtime
from flashcore.worker.settings import read_settings
from flashcore.worker.warm_environ import EnvironmentBlock, encode_environment
from flashcore.worker.warm_parent import Birth


@dataclass(frozen=True, slots=True)
class Inheritance:
    """What a parent has ready for its children."""

    handler: Path
    output: Output
    """Installed before the code was imported: what the code made of its own for logging leads there."""
    block: EnvironmentBlock
    environment: bytes
    """What all children have in it."""
    filling: tuple[object, ...]
    """What fills the gaps in memory that is shared (see `warm_memory`)."""


def become_replica(birth: Birth, inherited: Inheritance) -> int:
    """Be the replica, to its end; returns its exit status. Raises ConfigurationError, OSError.

    What the import has put into `os.environ` stays, as it does in a replica that imports the code itself.
    """
    os.setsid()
    own = {**birth.fork.environment, "FLASHCORE_READY_FD": str(birth.ready)}
    os.environ.update(own)
    inherited.block.write(inherited.environment + encode_environment(own))
    inherited.block.write_command(b"flashcore.worker.warm", b"flashcore.worker")
    settings = read_settings(os.environ)
    if settings.log is not None:
        write_to(settings.log)
    inherited.output.continue_in(LogFile(settings.log, settings.log_limit))
    os.chdir(birth.fork.work)
    seed()
    return Runtime(settings, inherited.output).run(inherited.handler)


def write_to(log: Path) -> None:
    """Have stdout and stderr, of C libraries too, go to this file from now on. Raises OSError."""
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    for stream in (1, 2):
        os.dup2(descriptor, stream)
    os.close(descriptor)


def seed() -> None:
    """Give generators of random numbers that all replicas would share a state of their own; Python's has one by now."""
    numpy = sys.modules.get("numpy.random")
    if numpy is not None and hasattr(numpy, "seed"):
        numpy.seed()
    torch = sys.modules.get("torch")
    if torch is not None and hasattr(torch, "seed"):
        torch.seed()
