"""Starting a replica's process: its folders, its environment, its output, and nothing of the control plane's own."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from flashcore.builtin.process.launch import Launch, write_launch
from flashcore.builtin.process.places import ReplicaPlaces
from flashcore.hookspecs.providers import Hints
from flashcore.model.revision import RevisionContent
from flashcore.worker.control import require_own_directory

_PASSED_ON = frozenset(
    {
        *("PATH", "LANG", "LANGUAGE", "TZ", "USER", "LOGNAME", "TMPDIR", "VIRTUAL_ENV"),
        *("LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "CUDA_HOME", "CUDA_PATH", "SSL_CERT_FILE", "SSL_CERT_DIR"),
        *("REQUESTS_CA_BUNDLE", "http_proxy", "https_proxy", "no_proxy", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY"),
    }
)
"""Variables of this machine that a replica needs as much as the control plane does. Nothing else is passed on."""

_PASSED_ON_PREFIXES = ("LC_", "NVIDIA_")


@dataclass(frozen=True, slots=True)
class Start:
    """Everything that one start needs."""

    launch: Launch
    content: RevisionContent
    code: Path
    """The artifact's folder."""
    hints: Hints
    log_limit: int
    python: str
    """The interpreter."""

    @property
    def handler(self) -> Path:
        """The file that is run."""
        return self.code / self.content.handler


def prepare_places(start: Start, places: ReplicaPlaces) -> None:
    """Make the replica's folders and note the start, so that nothing starts that nobody would find again.

    Blocks for milliseconds. Raises OSError.
    """
    require_own_directory(places.layout.run)
    for folder in (places.work, places.home, places.log.parent):
        folder.mkdir(parents=True, exist_ok=True)
    write_launch(places.launch, start.launch)


def spawn(start: Start, places: ReplicaPlaces, ready: int, remark: str) -> subprocess.Popen[bytes]:
    """Start the process, in a session and group of its own. Blocks for milliseconds. Raises OSError.

    One byte is written to descriptor `ready` when the replica listens. The log begins with the remark.
    """
    prepare_places(start, places)
    with places.log.open("ab") as log:
        if remark:
            log.write(f"flashcore: {remark}\n".encode())
            log.flush()
        return subprocess.Popen(
            # -P: the working directory is the replica's to fill, not a place to import from.
            [start.python, "-P", "-m", "flashcore.worker", "--handler", str(start.handler)],
            env=environment(start, places, os.environ) | {"FLASHCORE_READY_FD": str(ready)},
            cwd=places.work,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
            pass_fds=(ready,),
        )


def environment(start: Start, places: ReplicaPlaces, machine: Mapping[str, str]) -> dict[str, str]:
    """What the process sees. Later ones win: machine, revision, platform, secrets, and what the worker must have."""
    return {
        **_of_machine(machine),
        "HOME": str(places.home),
        **_gpus(start.launch),
        **start.content.env,
        **start.hints.env,
        **start.hints.secrets,
        **_of_worker(start, places),
        "PYTHONPATH": os.pathsep.join(filter(None, (str(start.code), start.content.env.get("PYTHONPATH")))),
    }


def _of_machine(machine: Mapping[str, str]) -> dict[str, str]:
    return {
        name: value for name, value in machine.items() if name in _PASSED_ON or name.startswith(_PASSED_ON_PREFIXES)
    }


def _gpus(launch: Launch) -> dict[str, str]:
    return {"CUDA_VISIBLE_DEVICES": ",".join(map(str, launch.gpus))} if launch.gpus else {}


def _of_worker(start: Start, places: ReplicaPlaces) -> dict[str, str]:
    launch = start.launch
    return {
        "FLASHCORE_ENDPOINT": launch.endpoint,
        "FLASHCORE_REPLICA": launch.replica,
        "FLASHCORE_INSTANCE": launch.instance,
        "FLASHCORE_REVISION": launch.revision,
        "FLASHCORE_CONTROL_SOCKET": str(places.control_socket),
        "FLASHCORE_HTTP_SOCKET": str(places.http_socket),
        "FLASHCORE_WORKER_SOCKET": str(places.layout.worker_socket),
        "FLASHCORE_LAUNCH": str(places.launch),
        "FLASHCORE_RECORD": str(places.record),
        "FLASHCORE_SLOTS": str(start.content.template.max_concurrency),
        "FLASHCORE_GRACE": str(start.hints.grace),
        "FLASHCORE_LOG": str(places.log),
        "FLASHCORE_LOG_LIMIT": str(start.log_limit),
    }
