"""The script's process: what it sees, what it prints, how it ended."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping
from typing import IO

from flashcore.worker.dependencies import DEPENDENCIES
from flashcore.worker.logs import Output
from flashcore.worker.script.declared import WorkerScript
from flashcore.worker.settings import WorkerSettings

_PIECE = 1 << 16
_KEPT = 4096
_LOOKED_AT = 5
"""Lines: whatever was printed long before the end did not cause it."""

_UNLESS_SET = {
    # They want 4 GB of free memory and a public name server. The script's own checks are run in any case.
    "RUNPOD_SKIP_AUTO_SYSTEM_CHECKS": "true",
    "RUNPOD_SKIP_GPU_CHECK": "true",
    # Its own setting shows each question and each ping.
    "RUNPOD_LOG_LEVEL": "INFO",
    "PYTHONUNBUFFERED": "1",
}


class Child:
    """One run of the script. Started when it is made, from the main thread. Raises OSError."""

    def __init__(self, script: WorkerScript, environ: Mapping[str, str], output: Output) -> None:
        self._output = output
        self._printed = b""
        self._process = subprocess.Popen(
            [sys.executable, str(script.path)],
            env=dict(environ),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        self._printing = threading.Thread(target=self._pass_on, name="flashcore-script-output", daemon=True)
        self._printing.start()

    def wait(self) -> int:
        """Return when it has ended: its exit status, or the negative number of the signal that ended it."""
        status = self._process.wait()
        self._printing.join(1.0)  # what it left running may hold the pipe open
        return status

    def terminate(self) -> None:
        """SIGTERM, once it has nothing to do any more."""
        self._process.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """SIGKILL. What it started itself ends with the replica."""
        self._process.kill()

    @property
    def last_words(self) -> str:
        """What it printed last, if that is a line for people: the end of a traceback, as a rule."""
        lines = self._printed.decode("utf-8", "replace").splitlines()
        telling = [line for line in lines[-_LOOKED_AT:] if line and not line.startswith((" ", "\t", "{"))]
        return telling[-1] if telling else ""

    def _pass_on(self) -> None:
        """What it prints goes through here, because a log file that was rotated would not be its own any more."""
        pipe: IO[bytes] | None = self._process.stdout
        while pipe is not None and (piece := os.read(pipe.fileno(), _PIECE)):
            os.write(1, piece)
            self._output.file.wrote(len(piece))
            self._printed = (self._printed + piece)[-_KEPT:]


def environment(
    script: WorkerScript, settings: WorkerSettings, machine: Mapping[str, str], port: int, key: str
) -> dict[str, str]:
    """What RunPod's cloud would set, with the addresses of this replica."""
    base = f"http://127.0.0.1:{port}/v2/{settings.endpoint}"
    folders = [str(script.root), str(script.root / DEPENDENCIES), machine.get("PYTHONPATH", "")]
    return {
        **_UNLESS_SET,
        **_calls(machine),
        **machine,
        # `gpu` as in the cloud: the package puts its own parameters behind it with an ampersand.
        "RUNPOD_WEBHOOK_GET_JOB": f"{base}/job-take/$ID?gpu=LOCAL",
        "RUNPOD_WEBHOOK_POST_OUTPUT": f"{base}/job-done/$RUNPOD_POD_ID/$ID?gpu=LOCAL",
        "RUNPOD_WEBHOOK_POST_STREAM": f"{base}/job-stream/$RUNPOD_POD_ID/$ID?gpu=LOCAL",
        "RUNPOD_WEBHOOK_PING": f"{base}/ping/$RUNPOD_POD_ID?gpu=LOCAL",
        "RUNPOD_AI_API_KEY": key,
        "RUNPOD_POD_ID": settings.replica,
        "RUNPOD_ENDPOINT_ID": settings.endpoint,
        "PYTHONPATH": os.pathsep.join(filter(None, dict.fromkeys(os.pathsep.join(folders).split(os.pathsep)))),
    }


def _calls(machine: Mapping[str, str]) -> dict[str, str]:
    """Where the package's client inside the script finds this platform's endpoints."""
    gateway = machine.get("FLASHCORE_GATEWAY_URL")
    return {"RUNPOD_ENDPOINT_BASE_URL": f"{gateway.rstrip('/')}/v2"} if gateway else {}
