"""Where things lie on a local disk: paths only, nothing is made here.

PROJECT/.flashcore/
  build/                 kept build directory, manifest
  artifacts/             archives by sha256
  unpacked/              their content, as replicas on this machine run it
  venvs/                 Python environments by the digest of what is installed in them
  environments/ENV/
    state.db jobs.db     owned by the control plane and by the gateway; jobs.db.* belong to jobs.db
    server.json          pid, ports, url of the running control plane
    starting.json        pid of a control plane that is on its way up
    farewell.json        whether the last control plane that was to end everything did
    gateway.json         port in use, url
    gateway.lock         held by the running gateway
    retired/PID.json     a gateway that was replaced and finishes what it had begun
    table.json           the last routing table that it served by
    access.json          the tokens that it last heard of, without their secrets
    token                0600; the control API's local token
    call.key             0600; signs pickled calls and replies
    webhook.key          0600; signs webhooks
    webhooks/            jobs whose end somebody is still to be told of
    run/                 sockets (elsewhere when the path would be too long for a socket)
    uploads/             archives on their way here
    replicas/ID/         a replica's record, working directory and HOME
    warm/REVISION-*/     the same of a process that replicas are forked from
    logs/                server.log, gateway.log, replicas/ID.log
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path

LOCAL_DIRECTORY = ".flashcore"
MAX_SOCKET_PATH = 100
"""A Unix socket's path holds 108 bytes on Linux, 104 on macOS, with the closing NUL."""

_LONGEST_SOCKET_NAME = 64


@dataclass(frozen=True, slots=True)
class Layout:
    """The paths of one environment of the project at `root`."""

    root: Path
    environment: str

    @property
    def local(self) -> Path:
        """The project's local data."""
        return self.root / LOCAL_DIRECTORY

    @property
    def build(self) -> Path:
        """The kept build directory."""
        return self.local / "build"

    @property
    def artifacts(self) -> Path:
        """The file artifact store."""
        return self.local / "artifacts"

    @property
    def unpacked(self) -> Path:
        """The code of artifacts, one folder each, as replicas on this machine run it."""
        return self.local / "unpacked"

    @property
    def venvs(self) -> Path:
        """Python environments, one folder for each set of requirements."""
        return self.local / "venvs"

    @property
    def home(self) -> Path:
        """Everything of this environment."""
        return self.local / "environments" / self.environment

    @property
    def session_lock(self) -> Path:
        """Held by the `flashcore dev` session that this environment belongs to."""
        return self.home / "dev.lock"

    @property
    def state_db(self) -> Path:
        """The control plane's state."""
        return self.home / "state.db"

    @property
    def jobs_db(self) -> Path:
        """The gateway's jobs."""
        return self.home / "jobs.db"

    @property
    def server_file(self) -> Path:
        """Where the running control plane says how to reach it."""
        return self.home / "server.json"

    @property
    def starting_file(self) -> Path:
        """Which process was started to become the control plane, until it says how to reach it."""
        return self.home / "starting.json"

    @property
    def uploads(self) -> Path:
        """Archives on their way to the control plane, the only one that writes there."""
        return self.home / "uploads"

    @property
    def farewell_file(self) -> Path:
        """Where a control plane that was told to end everything says whether it did."""
        return self.home / "farewell.json"

    @property
    def gateway_file(self) -> Path:
        """Where the running gateway says how to reach it."""
        return self.home / "gateway.json"

    @property
    def retired(self) -> Path:
        """One file for each gateway that was replaced and finishes what it had begun, by its pid."""
        return self.home / "retired"

    @property
    def table_file(self) -> Path:
        """The last routing table that the gateway served by; `table_changes_file` has what changed in it since."""
        return self.home / "table.json"

    @property
    def table_changes_file(self) -> Path:
        """What changed in the routing table since it was written whole, a line for each change."""
        return self.home / "table-changes.jsonl"

    @property
    def access_file(self) -> Path:
        """The tokens that the gateway last heard of; they hold digests, no secrets."""
        return self.home / "access.json"

    @property
    def token(self) -> Path:
        """The control API's local token."""
        return self.home / "token"

    @property
    def call_key(self) -> Path:
        """What signs pickled calls and replies; replicas are given it, callers of this project read it."""
        return self.home / "call.key"

    @property
    def hop_key(self) -> Path:
        """What the keys are made of that requests from the gateway to replicas carry."""
        return self.home / "hop.key"

    @property
    def replicas(self) -> Path:
        """One directory per replica of the process provider."""
        return self.home / "replicas"

    @property
    def warm(self) -> Path:
        """One directory per process that replicas are forked from."""
        return self.home / "warm"

    @property
    def logs(self) -> Path:
        """Log files."""
        return self.home / "logs"

    @property
    def run(self) -> Path:
        """The directory of sockets; in a temporary directory when the project's path is too long for one."""
        near = self.home / "run"
        digest = hashlib.sha256(os.fsencode(near)).hexdigest()[:16]
        name = f"flashcore-{os.getuid()}-{digest}"
        # On macOS the temporary directory has too long a path itself; the last one is short everywhere.
        return next(filter(_fits_sockets, (near, Path(tempfile.gettempdir()) / name)), Path("/tmp") / name)  # noqa: S108 - made private by who makes it

    @property
    def worker_socket(self) -> Path:
        """Where queue workers connect to the gateway."""
        return self.run / "workers.sock"

    @property
    def listeners_socket(self) -> Path:
        """Where the gateway gives its listening sockets to who starts the next one."""
        return self.run / "listeners.sock"

    @property
    def onward_socket(self) -> Path:
        """Where gateways that were replaced send what they do not do themselves any more."""
        return self.run / "onward.sock"

    @property
    def dataplane_socket(self) -> Path:
        """Where the control plane connects to the gateway."""
        return self.run / "dataplane.sock"


def _fits_sockets(folder: Path) -> bool:
    return len(os.fsencode(folder)) + _LONGEST_SOCKET_NAME <= MAX_SOCKET_PATH


def find_project(start: Path) -> Path | None:
    """The nearest directory from `start` upwards that is a flashcore project, None if there is none.

    A project has a flashcore.toml, a pyproject.toml with a [tool.flashcore] table, or local data.
    """
    for folder in (start, *start.parents):
        if (folder / "flashcore.toml").is_file() or (folder / LOCAL_DIRECTORY).is_dir():
            return folder
        pyproject = folder / "pyproject.toml"
        if pyproject.is_file() and "[tool.flashcore" in pyproject.read_text(encoding="utf-8", errors="replace"):
            return folder
    return None
