"""A project on a real platform, for tests: the real command line, real processes, real sockets."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import textwrap
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

COMMAND_TIMEOUT = 90.0


@dataclass(frozen=True, slots=True)
class Ran:
    """A command that has ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """Its one JSON document."""
        return json.loads(self.out)


@dataclass(slots=True)
class ProjectUnderTest:
    """A project in a folder of its own."""

    root: Path
    environment: Mapping[str, str] = field(default_factory=dict)
    python: str = sys.executable
    """The interpreter whose `flashcore` is run."""

    def write(self, name: str, text: str) -> None:
        """Write a file of the project."""
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(text), encoding="utf-8")

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """Start `flashcore ...` in the project."""
        return subprocess.Popen(
            [
                self.python,
                "-P",
                "-m",
                "flashcore",
                *arguments,
            ],  # as the installed command does: not with the folder it is in
            cwd=self.root,
            env={**os.environ, "FLASHCORE_GATEWAY_PORT": "0", "FLASHCORE_API_PORT": "0", **self.environment},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, *arguments: str) -> Ran:
        """Run `flashcore ...` to its end."""
        with self.start(*arguments) as process:
            out, err = process.communicate(timeout=COMMAND_TIMEOUT)
        return Ran(process.returncode, out, err)

    def must(self, *arguments: str) -> Ran:
        """Run a command that has to succeed; what it said is shown when it does not."""
        ran = self.run(*arguments)
        if ran.code != 0:
            raise AssertionError(f"flashcore {' '.join(arguments)}: {ran.code}\n{ran.out}\n{ran.err}\n{self.logs()}")
        return ran

    def logs(self) -> str:
        """The ends of all log files, for the message of a test that fails."""
        found = sorted((self.root / ".flashcore").rglob("*.log"))
        return "\n".join(f"--- {path.name}\n{path.read_text(errors='replace')[-3000:]}" for path in found)

    def processes(self) -> list[psutil.Process]:
        """Every process of ours that has to do with this project."""
        found = []
        for process in psutil.process_iter():
            try:
                words = [*process.cmdline(), process.cwd(), *process.environ().values()]
            except (psutil.NoSuchProcess, psutil.AccessDenied, psutil.ZombieProcess):
                continue
            if process.pid != os.getpid() and any(str(self.root) in word for word in words):
                found.append(process)
        return found

    def running(self, module: str) -> list[psutil.Process]:
        """Those that `python -m MODULE` began; before those that it has just forked."""
        return [process for process in self.processes() if module in _words(process)]

    def end(self) -> None:
        """SIGKILL for every process, also for those that others start meanwhile, until none is left."""
        while found := self.processes():
            for process in found:
                with contextlib.suppress(psutil.NoSuchProcess):  # some end by themselves, when those before them have
                    process.kill()
            psutil.wait_procs(found, timeout=0.1)

    def url(self) -> str:
        """The gateway's address."""
        presence = json.loads((self.root / ".flashcore/environments/production/gateway.json").read_text())
        return str(presence["url"])


def _words(process: psutil.Process) -> list[str]:
    """Of its command line; none when it has ended since it was found."""
    try:
        return process.cmdline()
    except psutil.NoSuchProcess:
        return []
