"""Where the things of one replica lie."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from flashcore.model.layout import Layout
from flashcore.model.names import ReplicaId
from flashcore.worker.record import RECORD_FILE


@dataclass(frozen=True, slots=True)
class ReplicaPlaces:
    """Paths of one replica; nothing is made here."""

    layout: Layout
    replica: ReplicaId

    @property
    def folder(self) -> Path:
        """Everything of it but sockets and log; removed when it is gone."""
        return self.layout.replicas / self.replica

    @property
    def work(self) -> Path:
        """Its working directory."""
        return self.folder / "work"

    @property
    def home(self) -> Path:
        """Its HOME."""
        return self.folder / "home"

    @property
    def launch(self) -> Path:
        """What the provider wrote down before it started the process."""
        return self.folder / "launch.json"

    @property
    def record(self) -> Path:
        """What the process writes of itself."""
        return self.folder / RECORD_FILE

    @property
    def log(self) -> Path:
        """Its output; kept for a while after it is gone."""
        return log_of(self.layout, self.replica)

    @property
    def control_socket(self) -> Path:
        """Where it answers its provider. The name is short: a socket's path must not be long."""
        return self.layout.run / f"{self.replica}.s"

    @property
    def http_socket(self) -> Path:
        """Where it answers requests, if it does."""
        return self.layout.run / f"{self.replica}.h"


def logs_folder(layout: Layout) -> Path:
    """The logs of all replicas."""
    return layout.logs / "replicas"


def log_of(layout: Layout, replica: ReplicaId) -> Path:
    """The log of one replica."""
    return logs_folder(layout) / f"{replica}.log"


def older(log: Path) -> Path:
    """The part of a log that was rotated away."""
    return log.with_name(f"{log.name}.1")
