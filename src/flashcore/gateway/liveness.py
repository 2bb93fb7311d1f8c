"""Whether a worker whose connection ended can come back: on the same machine the process tells sooner than a timer."""

from __future__ import annotations

import psutil

from flashcore.wire.hello import Identity


def process_is_gone(identity: Identity, this_boot: str) -> bool:
    """Whether the worker's process has ended, as far as that can be seen from here; False where it cannot."""
    if not this_boot or identity.boot_id != this_boot:
        return False
    try:
        return psutil.Process(identity.pid).status() in (psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD)
    except psutil.NoSuchProcess:
        return True
    except (psutil.Error, ValueError):  # it is not there to be seen, or what was said is no process id
        return False
