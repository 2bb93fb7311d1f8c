"""Redis and Postgres for benchmarks: servers in a folder of their own, which listen on a socket there alone."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

START_WITHIN = 20.0


class NoServer(Exception):
    """It cannot be had here; the text says why."""


@contextlib.contextmanager
def redis_server(folder: Path, *, synced: bool) -> Iterator[str]:
    """The path of a Redis' socket; `synced`: what is answered is on disk, else nothing is. Raises NoServer."""
    program = shutil.which("redis-server")
    if program is None:
        raise NoServer("there is no redis-server here")
    folder.mkdir()
    path = folder / "socket"
    kept = ("--appendonly", "yes", "--appendfsync", "always") if synced else ("--appendonly", "no")
    command = [program, "--port", "0", "--unixsocket", str(path), "--dir", str(folder), "--save", "", *kept]
    with _running(command, path.exists, None):
        yield str(path)


@contextlib.contextmanager
def postgres_server(folder: Path) -> Iterator[str]:
    """The folder of a Postgres' socket, for the user `bench`; commits are synced, as by default. Raises NoServer."""
    programs = _postgres_programs()
    # It refuses to run as root.
    user = "nobody" if os.geteuid() == 0 else None
    folder.mkdir()
    if user is not None:
        shutil.chown(folder, user)
        folder.parent.chmod(0o711)
    data = folder / "data"
    made = subprocess.run(
        [programs / "initdb", "-D", data, "-U", "bench", "-A", "trust", "--no-sync"],
        check=False, capture_output=True, text=True, user=user, cwd=folder,
    )  # fmt: skip
    if made.returncode:
        raise NoServer(f"Postgres cannot be set up: {made.stderr.strip()[-300:]}")
    command = [str(programs / "postgres"), "-D", str(data), "-k", str(folder), "-c", "listen_addresses="]
    with _running(command, (folder / ".s.PGSQL.5432").exists, user):
        yield str(folder)


def _postgres_programs() -> Path:
    """The folder with the newest Postgres' programs."""
    found = shutil.which("initdb")
    installed = [path for path in Path("/usr/lib/postgresql").glob("*/bin") if (path / "initdb").exists()]
    if found is not None:
        return Path(found).resolve().parent
    if not installed:
        raise NoServer("there is no Postgres here")
    return max(installed, key=lambda path: float(path.parent.name))


@contextlib.contextmanager
def _running(command: list[str], is_up: Callable[[], bool], user: str | None) -> Iterator[None]:
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, user=user)
    try:
        until = time.monotonic() + START_WITHIN
        while not is_up():
            if process.poll() is not None or time.monotonic() > until:
                raise NoServer(f"{command[0]} does not come up")
            time.sleep(0.02)
        yield
    finally:
        process.terminate()
        process.wait()
