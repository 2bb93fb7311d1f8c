"""The environment and the command that others see of this process, which a fork alone does not change.

The system shows whoever asks (`/proc/PID/environ`, `ps e`) the memory that a process was started with. A forked replica
writes its own variables there: it is found, and what it leaves behind is found, by the same variables as a spawned one.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

ROOM = "FLASHCORE_ROOM"
"""A variable that is only there to make the memory large enough for what is written later."""

MARK = "FLASHCORE_WARM"
"""A variable by which a warm parent is found, and what its import has started; replicas do not have it."""

_MEMORY = "/proc/self/mem"


@dataclass(frozen=True, slots=True)
class EnvironmentBlock:
    """Where this process's first environment lies in its memory; the same in a forked child.

    A child only asks the system for what it does here: Python code that runs for the first time in a fork takes pages
    out of what is shared, and files by paths run a lot of it.
    """

    command: int
    """Where its command begins."""
    words: bytes
    """The command as it lies there."""
    start: int
    end: int

    @classmethod
    def of_this_process(cls) -> EnvironmentBlock:
        """Raises OSError, ValueError where the system does not tell."""
        # The second field is the program's name in parentheses, and may hold blanks and parentheses.
        fields = Path("/proc/self/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
        words = Path("/proc/self/cmdline").read_bytes()
        return cls(command=int(fields[45]), words=words, start=int(fields[47]), end=int(fields[48]))

    def write(self, shown: bytes) -> None:
        """Show these variables from now on. Raises OSError, also when there is no room for them."""
        room = self.end - self.start
        if len(shown) >= room:
            raise OSError(f"an environment of {len(shown)} bytes does not fit into {room}")
        _write(self.start, shown.ljust(room, b"\0"))

    def write_command(self, old: bytes, new: bytes) -> None:
        """Show a command with another word in it, which is no longer, from now on. Raises OSError."""
        shown = self.words.replace(b"\0%b\0" % old, b"\0%b\0" % new, 1)
        _write(self.command, shown.ljust(len(self.words), b"\0"))


def _write(place: int, content: bytes) -> None:
    memory = os.open(_MEMORY, os.O_RDWR)
    try:
        os.pwrite(memory, content, place)
    finally:
        os.close(memory)


def encode_environment(environ: Mapping[str, str]) -> bytes:
    """As it lies in memory."""
    return b"".join(os.fsencode(f"{name}={value}\0") for name, value in environ.items())


def replace_environment(block: EnvironmentBlock, environ: Mapping[str, str]) -> None:
    """Have exactly these variables, for this process's code and for whoever looks at it. Raises OSError.

    No variable lies in the block any more then as far as the C library knows, so that it may be written over.
    """
    os.environ.clear()
    os.environ.update(environ)
    block.write(encode_environment(environ))
