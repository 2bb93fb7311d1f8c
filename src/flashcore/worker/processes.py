"""Which process of which boot: what tells one life of a pid from the next."""

from __future__ import annotations

import sys
from functools import cache
from pathlib import Path


@cache
def boot_id() -> str:
    """A name for this boot of the machine: equal within one, different after the next. Empty where none can be had."""
    if sys.platform == "linux":
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    return _bsd_boot_id()


def start_ticks(pid: int) -> int | None:
    """When a process started, in the kernel's clock ticks since boot; None where that cannot be known, or it is gone.

    A zombie still has its start time.
    """
    if sys.platform != "linux":
        return None
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    # The second field is the program's name in parentheses, and may hold blanks and parentheses.
    return int(stat.rpartition(")")[2].split()[19])


def _bsd_boot_id() -> str:
    import subprocess

    asked = subprocess.run(["/usr/sbin/sysctl", "-n", "kern.boottime"], capture_output=True, text=True, check=False)
    return asked.stdout.strip()
