"""What a replica's process takes of the machine."""

from __future__ import annotations

import psutil

LEAST_MEMORY = 16 << 20
"""Bytes that a replica takes of its own at the least: an interpreter with nothing in it, forked from a warm parent."""


def memory_of(pid: int) -> int:
    """Bytes that would be free if the process ended; 0 for one that has ended, or that may not be looked at."""
    try:
        return int(psutil.Process(pid).memory_full_info().uss)
    except psutil.Error:
        return 0
