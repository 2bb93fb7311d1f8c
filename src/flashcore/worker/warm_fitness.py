"""Whether a process that has imported somebody's code may be forked: what a fork would break is looked for.

A forked child has the memory of its parent and one thread. Threads are missing in it; sockets, pipes and files are
shared with all its brothers; processes that the code has started are somebody else's children; a GPU's context is dead.
"""

from __future__ import annotations

import gc
import os
import signal
import sys
import tempfile
import time
from pathlib import Path

_HARMLESS = frozenset({"/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom"})

_UNSAFE = {
    "jax": "jax must not be forked once it is imported",
    "ray": "ray must not be forked once it is imported",
    "tensorflow": "tensorflow must not be forked once it is imported",
}
"""Libraries that say so themselves; what they keep is not always to be seen from outside."""

_ENDED_WITHIN = 0.05
"""Seconds: the system has a thread for a moment longer than whoever has joined it."""

_ANONYMOUS = {"eventpoll": "an event loop or a selector", "eventfd": "an event loop", "inotify": "a watch on files"}


def open_descriptors() -> frozenset[int]:
    """The numbers of this process's open descriptors."""
    listed = [*Path("/proc/self/fd").iterdir()]
    return frozenset(int(path.name) for path in listed if path.is_symlink())  # the folder itself was open just now


def why_unfit(before: frozenset[int]) -> str | None:
    """Why this process must not be forked; None if nothing is known. `before`: descriptors that are not the code's."""
    return _threads() or _children() or _signals() or _libraries() or _descriptors(before) or _folders()


def _threads() -> str | None:
    deadline = time.monotonic() + _ENDED_WITHIN
    while (count := len([*Path("/proc/self/task").iterdir()])) > 1:
        if time.monotonic() > deadline:
            return f"{count - 1} threads run after its import, and a fork has none of them"
        time.sleep(0.001)
    return None


def _children() -> str | None:
    try:
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return None
    return "its import has started processes"


def _signals() -> str | None:
    usual = {
        signal.SIGTERM: (signal.SIG_DFL,),
        # A shell has what it starts in the background ignore the keyboard, and whatever that starts inherits it.
        signal.SIGINT: (signal.SIG_DFL, signal.default_int_handler, signal.SIG_IGN),
        signal.SIGCHLD: (signal.SIG_DFL,),
    }
    changed = [number.name for number, handlers in usual.items() if signal.getsignal(number) not in handlers]
    return f"its import handles {', '.join(changed)}" if changed else None


def _libraries() -> str | None:
    for name, reason in _UNSAFE.items():
        if name in sys.modules:
            return reason
    cuda = getattr(sys.modules.get("torch"), "cuda", None)
    return "its import has used a GPU" if cuda is not None and cuda.is_initialized() else None


def _descriptors(before: frozenset[int]) -> str | None:
    for number in sorted(open_descriptors() - before):
        target = str(Path(f"/proc/self/fd/{number}").readlink())
        if target not in _HARMLESS and not _is_mapped(number, target):
            return f"its import keeps {_named(target)} open"
    return None


def _is_mapped(number: int, target: str) -> bool:
    """Whether it is a file that lies in memory for reading, as weights of a model do: that is good to share."""
    flags = Path(f"/proc/self/fdinfo/{number}").read_text(encoding="ascii").split("flags:")[1].split()[0]
    if int(flags, 8) & os.O_ACCMODE != os.O_RDONLY or not target.startswith("/"):
        return False
    return any(line.rstrip("\n").endswith(f" {target}") for line in Path("/proc/self/maps").open(errors="replace"))


def _named(target: str) -> str:
    kind, _, rest = target.partition(":")
    if kind in ("socket", "pipe"):
        return f"a {kind}"
    if kind == "anon_inode":
        return _ANONYMOUS.get(rest.strip("[]"), rest.strip("[]"))
    return "a GPU" if target.startswith(("/dev/nvidia", "/dev/kfd", "/dev/dri")) else target


def _folders() -> str | None:
    # The first replica to end would remove it under the others.
    if any(type(one) is tempfile.TemporaryDirectory for one in gc.get_objects()):
        return "its import has made a temporary directory that ends with the process"
    return None
