"""A process that may open no more files."""

from __future__ import annotations

import os
import resource
from collections.abc import Generator
from contextlib import contextmanager


@contextmanager
def no_file_can_be_opened() -> Generator[None, None, None]:
    """In this process; those that are open stay so."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    first_free = os.dup(0)
    os.close(first_free)
    resource.setrlimit(resource.RLIMIT_NOFILE, (first_free, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
