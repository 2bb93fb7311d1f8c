"""What makes a forked replica small."""

from __future__ import annotations

import subprocess
import sys

PREPARED = """
import sys
from flashcore.worker.warm_memory import POOL, fill_gaps

def pools_of(size):
    made = [bytes(size - 33) for _ in range(20)]
    return len({id(one) // POOL for one in made})

# Many pools of each size, and one place in fifty of them is free.
old = [bytes(size - 33) for size in (64, 256, 512) for _ in range(3000)]
del old[::50]
"""


def ran(code: str) -> str:
    """What it prints, where there are gaps in the memory."""
    return subprocess.run([sys.executable, "-c", PREPARED + code], check=True, capture_output=True, text=True).stdout


def test_new_objects_lie_in_new_pools() -> None:
    """They are in one pool or two of each size, where without the filling they lie wherever there was a free place."""
    count = "print(*(pools_of(size) for size in (64, 256, 512)))"

    assert max(map(int, ran(f"gaps = fill_gaps()\n{count}").split())) <= 2


def test_another_allocator_is_left_alone() -> None:
    """It has no pools to fill."""
    code = "from flashcore.worker.warm_memory import fill_gaps; print(len(fill_gaps()))"
    environ = {"PYTHONMALLOC": "malloc"}
    told = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, env=environ)

    assert told.stdout.strip() == "0"
