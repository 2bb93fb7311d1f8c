"""RunPod's own package, unmodified, in an environment of its own for each version; a gateway for it to talk to."""

from __future__ import annotations

import asyncio
import fcntl
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import pytest
from tests.gateway.conftest import Running, eventually, gateway_at, jobs_route, layout, side
from tests.gateway.loops import UvLoop

from flashcore.gateway.settings import Settings

__all__ = ["layout"]

HERE = Path(__file__).parent
NEWEST = "2.0.0rc1"
CALM = Settings(heartbeat=4.0, poll_seconds=4.0, reconnect_grace=2.0, sweep_interval=0.2, stop_grace=1.0)
"""Production's order of things, only with shorter waits at the end."""


def pytest_asyncio_loop_factories() -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    """The loop that a gateway's process has."""
    return {"uvloop": UvLoop}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """A worker of the package needs seconds to start."""
    for item in items:
        if item.path.parent == HERE:
            item.add_marker(pytest.mark.slow)


@pytest.fixture(scope="session")
def python_with() -> Callable[[str], Path]:
    """The interpreter of an environment that has a version of the package, made once and kept beside this one."""
    rooms = Path(sys.prefix) / "beside" / "runpod"

    def made(version: str) -> Path:
        room = rooms / version
        python = room / "bin" / "python"
        rooms.mkdir(parents=True, exist_ok=True)
        with _only_one(rooms / f"{version}.lock"):
            if not (room / "made").exists():
                _install(room, f"runpod=={version}")
        return python

    return made


@contextmanager
def _only_one(path: Path) -> Iterator[None]:
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _install(room: Path, package: str) -> None:
    shutil.rmtree(room, ignore_errors=True)
    python, said = str(room / "bin" / "python"), ""
    subprocess.run([sys.executable, "-m", "venv", str(room)], check=True)
    for installer in (
        (sys.executable, "-m", "uv", "pip", "install", "--python", python),
        (python, "-m", "pip", "install"),
    ):
        ran = subprocess.run([*installer, "-q", package], check=False, capture_output=True, text=True)
        if ran.returncode == 0:
            (room / "made").touch()
            return
        said = ran.stderr
    pytest.skip(f"{package} cannot be installed here: {said[-300:]}")


@dataclass(slots=True)
class Sdk:
    """One version of the package, a gateway, and the endpoint `shop` on it."""

    python: Path
    running: Running
    folder: Path

    def start_worker(self, name: str = "w1", **environment: str) -> subprocess.Popen[bytes]:
        """Start a worker, as RunPod's cloud does."""
        home = self.folder / name
        home.mkdir(exist_ok=True)
        self.beginnings.mkdir(exist_ok=True)
        with (home / "out").open("wb") as out:
            return self._popen(home, name, environment, out)

    def _popen(self, home: Path, name: str, environment: Mapping[str, str], out: IO[bytes]) -> subprocess.Popen[bytes]:
        base = f"{self.running.gateway.url}/v2/shop"
        return subprocess.Popen(
            [self.python, HERE / "worker_script.txt"],
            cwd=home,
            env={
                "PATH": os.environ["PATH"],
                "HOME": str(home),
                "BEGUN": str(self.beginnings),
                "RUNPOD_WEBHOOK_GET_JOB": f"{base}/job-take/$ID?gpu=LOCAL",
                "RUNPOD_WEBHOOK_POST_OUTPUT": f"{base}/job-done/$RUNPOD_POD_ID/$ID?gpu=LOCAL",
                "RUNPOD_WEBHOOK_POST_STREAM": f"{base}/job-stream/$RUNPOD_POD_ID/$ID?gpu=LOCAL",
                "RUNPOD_WEBHOOK_PING": f"{base}/ping/$RUNPOD_POD_ID?gpu=LOCAL",
                "RUNPOD_PING_INTERVAL": "1000",
                "RUNPOD_AI_API_KEY": "a-key",
                "RUNPOD_POD_ID": name,
                "RUNPOD_SKIP_AUTO_SYSTEM_CHECKS": "true",
                "RUNPOD_SKIP_GPU_CHECK": "true",
                **environment,
            },
            start_new_session=True,
            stdout=out,
            stderr=subprocess.STDOUT,
        )

    async def client(self, what: str, *arguments: Any) -> Any:
        """What the package's own client sees."""
        command = [self.python, HERE / "client_script.txt", f"{self.running.gateway.url}/v2", "shop", what]
        process = await asyncio.create_subprocess_exec(
            *map(str, command), *map(json.dumps, arguments), stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        out, err = await process.communicate()
        assert process.returncode == 0, err.decode()
        return json.loads(out.splitlines()[-1])

    async def run(self, value: dict[str, Any], **more: Any) -> str:
        """Submit a job; its id."""
        return str((await self.running.post("/v2/shop/run", {"input": value, **more})).json["id"])

    @property
    def beginnings(self) -> Path:
        """Where handlers put a file for each job that they begin, named as the job."""
        return self.folder / "beginnings"

    def hold(self, does: str = "hold") -> dict[str, Any]:
        """The input of a job that does not end before `go_on`."""
        return {"do": does, "until": str(self.folder / "go-on")}

    def go_on(self) -> None:
        """Let jobs end that hold, those that come later included."""
        (self.folder / "go-on").touch()

    async def ended(self, job: str) -> Any:
        """The job once it has its final state."""
        while True:
            shown = (await self.running.get(f"/v2/shop/status-sync/{job}?wait=15000")).json
            if shown["status"] not in {"IN_QUEUE", "IN_PROGRESS"}:
                return shown

    async def begun(self, job: str) -> Any:
        """The job once its handler is at work, who says so itself: the gateway knows it a moment before the worker."""
        await eventually((self.beginnings / job).exists)
        shown = (await self.running.get(f"/v2/shop/status/{job}")).json
        assert shown["status"] != "IN_QUEUE"
        return shown

    async def halt_at_rest(self, worker: subprocess.Popen[bytes]) -> None:
        """Halt the one worker, pings excepted, at a moment when it has no question open."""
        while True:
            await eventually(lambda: not self._questions())
            worker.send_signal(signal.SIGSTOP)
            await asyncio.to_thread(os.waitid, os.P_PID, worker.pid, os.WSTOPPED)
            # What it had sent by then is read no later than this is.
            await self.running.get("/ping")
            if not self._questions():
                return
            worker.send_signal(signal.SIGCONT)

    def _questions(self) -> list[str]:
        """The questions of workers that the gateway holds."""
        shared = self.running.gateway.http._shared  # noqa: SLF001 - what is asked is seen nowhere else
        paths = [one.asked.path.decode() for one in shared.connections if one.asked is not None]
        return [path for path in paths if "/job-take" in path or "/job-stop" in path]

    async def kill(self, worker: subprocess.Popen[bytes]) -> None:
        """Kill the worker, and what pings for it not; it has ended when this returns."""
        worker.kill()
        await asyncio.to_thread(worker.wait)


@pytest.fixture
async def sdk(
    layout: Any, tmp_path: Path, request: pytest.FixtureRequest, python_with: Callable[[str], Path]
) -> AsyncIterator[Sdk]:
    """A version of the package, the newest unless the test is parametrized; whatever was started is ended."""
    python = await asyncio.to_thread(python_with, getattr(request, "param", NEWEST))
    async with gateway_at(layout, CALM) as running:
        running.serve(jobs_route("shop", side(revision="r" * 64)))
        yield Sdk(python, running, tmp_path)


@pytest.fixture
async def workers() -> AsyncIterator[list[subprocess.Popen[bytes]]]:
    """Put what was started in here."""
    started: list[subprocess.Popen[bytes]] = []
    yield started
    for process in started:
        # The package's pinging child stays behind otherwise.
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
