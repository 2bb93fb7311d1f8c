"""A gateway and real replicas for calls to go to, without a control plane: for tests and measurements of calling."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from flashcore.model.codec import to_json
from flashcore.model.layout import Layout
from flashcore.model.manifest import FunctionEntry
from flashcore.model.names import EndpointName, InstanceId, ReplicaId, RevisionId
from flashcore.model.parts import PartRef
from flashcore.model.table import EndpointRoute, ReplicaRoute, RoutingTable, SideRoute
from flashcore.presence import read_presence
from flashcore.wire.hello import Stage
from flashcore.wire.sealed import KEY_VARIABLE
from flashcore.worker.record import read_record

_WITHIN = 60.0
_REVISION = RevisionId("0" * 64)
_INSTANCE = InstanceId("life-1")
_HANDLER = """\
import json
from pathlib import Path
from flashcore.worker.{module} import {factory}
from flashcore.worker.load import load_functions
{name} = {factory}(load_functions(Path({root!r}), json.loads({entries!r})))
"""
_KINDS = {"jobs": ("handler", "create_handler", "handler"), "http": ("lb", "create_app", "app")}


@dataclass(frozen=True, slots=True)
class Served:
    """One endpoint: its functions below `root`, `jobs` or `http`, and how many calls at a time."""

    name: str
    ingress: str
    root: Path
    functions: Sequence[FunctionEntry]
    slots: int = 4


@dataclass(slots=True)
class Stand:
    """A running gateway with one replica of each endpoint. `folder` has a short path: sockets lie in it."""

    folder: Path
    served: Sequence[Served]
    key: str = ""
    """What replicas check sealed calls with; without it they take JSON alone."""
    url: str = ""
    _gateway: subprocess.Popen[bytes] | None = None
    _replicas: list[subprocess.Popen[bytes]] = field(default_factory=list)

    @property
    def layout(self) -> Layout:
        """Where everything lies."""
        return Layout(self.folder, "test")

    @property
    def gateway_pid(self) -> int:
        """The process id of the gateway, 0 where none was started."""
        return 0 if self._gateway is None else self._gateway.pid

    @property
    def replica_pids(self) -> tuple[int, ...]:
        """The process ids of the replicas, in the order of `served`."""
        return tuple(replica.pid for replica in self._replicas)

    def log_of(self, endpoint: str) -> str:
        """What the endpoint's replica has written."""
        return (self.folder / endpoint / "log").read_text()

    def start(self) -> None:
        """Start everything and wait until calls can be made."""
        self.layout.home.mkdir(parents=True)
        self.layout.run.mkdir(mode=0o700, exist_ok=True)
        table = RoutingTable(1, tuple(map(self._route, self.served)))
        self.layout.table_file.write_text(json.dumps(to_json(table)))
        self.start_gateway()
        self._replicas = [self._replica(one) for one in self.served]
        for one, process in zip(self.served, self._replicas, strict=True):
            _until(lambda one=one: self._is_ready(one), process, lambda one=one: self.log_of(one.name))  # type: ignore[misc]  # mypy has no types for such defaults

    def start_gateway(self) -> None:
        """Start the gateway, on the port that it had."""
        self.layout.gateway_file.unlink(missing_ok=True)
        port = self.url.rpartition(":")[2] or "0"
        log = self.folder / "gateway.log"
        with log.open("ab") as output:
            self._gateway = subprocess.Popen(
                [
                    *(sys.executable, "-P", "-m", "flashcore.gateway", "--layout", str(self.folder), "--env", "test"),
                    *("--jobs", f"sqlite:///{self.layout.jobs_db}", "--port", port, "--strict-port", "--no-plugins"),
                ],
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        _until(self.layout.gateway_file.exists, self._gateway, log.read_text)
        presence = read_presence(self.layout.gateway_file)
        self.url = "" if presence is None else presence.url

    def kill_gateway(self) -> None:
        """End the gateway as a crash does."""
        if self._gateway is not None:
            _kill(self._gateway)

    def stop(self) -> None:
        """End everything at once."""
        for process in self._replicas:
            _kill(process)
        self.kill_gateway()

    def _route(self, one: Served) -> EndpointRoute:
        address = f"unix:{self.folder / one.name / 'http'}" if one.ingress == "http" else None
        replica = ReplicaRoute(ReplicaId(f"{one.name}-1"), _INSTANCE, address, one.slots)
        side = SideRoute(_REVISION, None, (replica,), preview=False)
        return EndpointRoute(
            *(EndpointName(one.name), one.ingress, (side,)),
            routing=PartRef("p2c"),
            execution_timeout=600.0,
            ttl=3600.0,
            result_retention=1800.0,
            max_attempts=2,
        )

    def _is_ready(self, one: Served) -> bool:
        record = read_record(self.folder / one.name / "replica.json")
        return record is not None and record.status.stage is Stage.READY

    def _replica(self, one: Served) -> subprocess.Popen[bytes]:
        folder = self.folder / one.name
        folder.mkdir()
        module, factory, name = _KINDS[one.ingress]
        entries = json.dumps([to_json(entry) for entry in one.functions])
        handler = folder / "handler_tested.py"
        handler.write_text(
            _HANDLER.format(module=module, factory=factory, name=name, root=str(one.root), entries=entries)
        )
        with (folder / "log").open("wb") as log:
            return subprocess.Popen(
                [sys.executable, "-P", "-m", "flashcore.worker", "--handler", str(handler)],
                env=self._environment(one, folder),
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def _environment(self, one: Served, folder: Path) -> dict[str, str]:
        return {
            **{name: os.environ[name] for name in ("PATH", "PYTHONPATH") if name in os.environ},
            **({KEY_VARIABLE: self.key} if self.key else {}),
            "FLASHCORE_GATEWAY_URL": self.url,
            "FLASHCORE_ENDPOINT": one.name,
            "FLASHCORE_REPLICA": f"{one.name}-1",
            "FLASHCORE_INSTANCE": _INSTANCE,
            "FLASHCORE_REVISION": _REVISION,
            "FLASHCORE_CONTROL_SOCKET": str(folder / "control"),
            "FLASHCORE_HTTP_SOCKET": str(folder / "http"),
            "FLASHCORE_WORKER_SOCKET": str(self.layout.worker_socket),
            "FLASHCORE_RECORD": str(folder / "replica.json"),
            "FLASHCORE_SLOTS": str(one.slots),
        }


@contextmanager
def standing(folder: Path, served: Sequence[Served], key: str = "") -> Iterator[Stand]:
    """A stand that runs within the block."""
    stand = Stand(folder, served, key)
    try:
        stand.start()
        yield stand
    finally:
        stand.stop()


def _until(true: Callable[[], bool], process: subprocess.Popen[bytes], log: Callable[[], str]) -> None:
    deadline = time.monotonic() + _WITHIN
    while not true():
        if process.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError(f"it did not start:\n{log()}")
        time.sleep(0.01)  # files give no signal


def _kill(process: subprocess.Popen[bytes]) -> None:
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
