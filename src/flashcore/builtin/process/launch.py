"""What the provider writes down before it starts a process: a crash at any moment leaves a name to search for."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from flashcore.model.codec import CodecError, from_json, to_json
from flashcore.model.names import Digest, EndpointName, InstanceId, ReplicaId, RevisionId


@dataclass(frozen=True, slots=True)
class Launch:
    """One start of one replica, with what it was given of the machine."""

    endpoint: EndpointName
    replica: ReplicaId
    revision: RevisionId
    instance: InstanceId
    artifact: Digest
    """Whose unpacked code it runs."""
    cpus: float = 0.0
    gpus: tuple[int, ...] = ()
    memory: int = 0
    environment: str = ""
    """The folder's name of the Python environment that it runs in; empty for the platform's own."""


def write_launch(path: Path, launch: Launch) -> None:
    """Write it in one step. Raises OSError."""
    draft = path.with_name(f".{path.name}")
    draft.write_text(json.dumps(to_json(launch)), encoding="utf-8")
    draft.replace(path)


def read_launch(path: Path) -> Launch | None:
    """What it says; None when there is none, or it cannot be read."""
    try:
        return from_json(Launch, json.loads(path.read_bytes()))
    except (OSError, ValueError, CodecError):
        return None
