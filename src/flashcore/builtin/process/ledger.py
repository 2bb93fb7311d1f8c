"""Who has which CPUs, memory and GPUs of this machine. Only what is declared counts; the system shares the rest."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import psutil

from flashcore.model.declaration import Template
from flashcore.model.errors import InvalidDeclaration
from flashcore.model.names import ReplicaId

_GPU_DEVICE = re.compile(r"nvidia\d+")
_QUANTITY = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([kKMGT]i?)?[bB]?\s*")
_UNITS = {"": 1, "k": 10**3, "M": 10**6, "G": 10**9, "T": 10**12, "ki": 2**10, "Mi": 2**20, "Gi": 2**30, "Ti": 2**40}
_CGROUP_LIMIT = Path("/sys/fs/cgroup/memory.max")


@dataclass(frozen=True, slots=True)
class Need:
    """What one replica declares. Memory in bytes."""

    cpus: float = 0.0
    gpus: int = 0
    memory: int = 0


@dataclass(frozen=True, slots=True)
class Share:
    """What one replica has. GPUs are the machine's numbers for them."""

    cpus: float = 0.0
    gpus: tuple[int, ...] = ()
    memory: int = 0


class NotEnough(Exception):
    """The machine has not, or has not now, what a replica needs; the message says what is missing."""


def need_of(template: Template) -> Need:
    """What a template declares; a kind of GPU without a count is one. Raises InvalidDeclaration."""
    gpus = template.gpu_count or (1 if template.gpu else 0)
    return Need(template.cpu or 0.0, gpus, read_memory(template.memory) if template.memory else 0)


def read_memory(text: str) -> int:
    """Bytes, of "512Mi", "4Gi", "2G", "1.5GiB" or "1000000". Raises InvalidDeclaration."""
    found = _QUANTITY.fullmatch(text)
    if found is None:
        raise InvalidDeclaration(f"memory={text!r} is no amount of memory", next_step='write it as in "512Mi" or "4Gi"')
    number, unit = found.groups(default="")
    return round(float(number) * _UNITS[unit.replace("K", "k")])


class Ledger:
    """Counts what replicas have. `cpus`, `gpus` and `memory` (bytes) None: what this machine has."""

    def __init__(self, cpus: float | None = None, gpus: int | None = None, memory: int | None = None) -> None:
        self._cpus = float(_machine_cpus() if cpus is None else cpus)
        self._gpus = _machine_gpus() if gpus is None else tuple(range(gpus))
        self._memory = _machine_memory() if memory is None else memory
        self._shares: dict[ReplicaId, Share] = {}

    @property
    def shares(self) -> Mapping[ReplicaId, Share]:
        """Who has what."""
        return self._shares

    def take(self, replica: ReplicaId, need: Need) -> Share:
        """Give a replica what it needs, all of it or nothing. Raises NotEnough."""
        shares = self._shares.values()
        cpus = max(0.0, self._cpus - sum(share.cpus for share in shares))
        if need.cpus > cpus + 1e-9:
            raise NotEnough(f"not enough CPUs: {need.cpus:g} needed, {cpus:g} of {self._cpus:g} free")
        memory = max(0, self._memory - sum(share.memory for share in shares))
        if need.memory > memory:
            amounts = f"{_shown(need.memory)} needed, {_shown(memory)} of {_shown(self._memory)} free"
            raise NotEnough(f"not enough memory: {amounts}")
        taken = {gpu for share in shares for gpu in share.gpus}
        gpus = [gpu for gpu in self._gpus if gpu not in taken]
        if need.gpus > len(gpus):
            raise NotEnough(f"not enough GPUs: {need.gpus} needed, {len(gpus)} of {len(self._gpus)} free")
        return self.note(replica, Share(need.cpus, tuple(gpus[: need.gpus]), need.memory))

    def note(self, replica: ReplicaId, share: Share) -> Share:
        """Count what a replica has already, from an earlier life of the control plane."""
        self._shares[replica] = share
        return share

    def doubt(self, need: Need, count: int, memory: int) -> str:
        """Why so many replicas are more than the machine can have, whoever has something now; empty when they fit.

        `memory` is what one takes, in bytes, where nothing is declared.
        """
        if need.cpus * count > self._cpus + 1e-9:
            return f"{count} replicas need {need.cpus * count:g} CPUs, and this machine has {self._cpus:g}"
        if need.gpus * count > len(self._gpus):
            return f"{count} replicas need {need.gpus * count} GPUs, and this machine has {len(self._gpus)}"
        each = need.memory or memory
        if each * count > self._memory:
            takes = "need" if need.memory else f"take about {_shown(memory)} each,"
            return f"{count} replicas {takes} {_shown(each * count)}, and this machine has {_shown(self._memory)}"
        return ""

    def give_back(self, replica: ReplicaId) -> None:
        """The replica has nothing any more."""
        self._shares.pop(replica, None)


def _shown(memory: int) -> str:
    return f"{memory / 2**30:.3g} GiB" if memory >= 2**30 else f"{memory / 2**20:.4g} MiB"


def _machine_cpus() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _machine_memory() -> int:
    """Bytes of this machine, or of the container that this process is in."""
    total = int(psutil.virtual_memory().total)
    try:
        return min(total, int(_CGROUP_LIMIT.read_text(encoding="ascii")))
    except (OSError, ValueError):  # there is no limit, or no such file
        return total


def _machine_gpus() -> tuple[int, ...]:
    """NVIDIA's, as far as this process may see them."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        return tuple(int(number) for number in visible.split(",") if number.strip().isdigit())
    try:
        found = [path.name for path in Path("/dev").iterdir() if _GPU_DEVICE.fullmatch(path.name)]
    except OSError:
        return ()
    return tuple(sorted(int(name.removeprefix("nvidia")) for name in found))
