"""Who has which CPUs and GPUs of this machine. Only what is declared counts; the operating system shares the rest."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from flashcore.model.declaration import Template
from flashcore.model.names import ReplicaId

_GPU_DEVICE = re.compile(r"nvidia\d+")


@dataclass(frozen=True, slots=True)
class Need:
    """What one replica declares."""

    cpus: float = 0.0
    gpus: int = 0


@dataclass(frozen=True, slots=True)
class Share:
    """What one replica has. GPUs are the machine's numbers for them."""

    cpus: float = 0.0
    gpus: tuple[int, ...] = ()


class NotEnough(Exception):
    """The machine has not, or has not now, what a replica needs; the message says what is missing."""


def need_of(template: Template) -> Need:
    """What a template declares; a kind of GPU without a count is one."""
    return Need(template.cpu or 0.0, template.gpu_count or (1 if template.gpu else 0))


class Ledger:
    """Counts what replicas have. `cpus` and `gpus` None: what this machine has."""

    def __init__(self, cpus: float | None = None, gpus: int | None = None) -> None:
        self._cpus = float(_machine_cpus() if cpus is None else cpus)
        self._gpus = _machine_gpus() if gpus is None else tuple(range(gpus))
        self._shares: dict[ReplicaId, Share] = {}

    @property
    def shares(self) -> Mapping[ReplicaId, Share]:
        """Who has what."""
        return self._shares

    def take(self, replica: ReplicaId, need: Need) -> Share:
        """Give a replica what it needs. Raises NotEnough."""
        used = sum(share.cpus for share in self._shares.values())
        if need.cpus > self._cpus - used + 1e-9:
            raise NotEnough(f"not enough CPUs: {need.cpus:g} needed, {self._cpus - used:g} of {self._cpus:g} free")
        taken = {gpu for share in self._shares.values() for gpu in share.gpus}
        free = [gpu for gpu in self._gpus if gpu not in taken]
        if need.gpus > len(free):
            raise NotEnough(f"not enough GPUs: {need.gpus} needed, {len(free)} of {len(self._gpus)} free")
        return self.note(replica, Share(need.cpus, tuple(free[: need.gpus])))

    def note(self, replica: ReplicaId, share: Share) -> Share:
        """Count what a replica has already, from an earlier life of the control plane."""
        self._shares[replica] = share
        return share

    def give_back(self, replica: ReplicaId) -> None:
        """The replica has nothing any more."""
        self._shares.pop(replica, None)


def _machine_cpus() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


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
