"""What happened, as it is written to the one log in the same commit as what it changed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from flashcore.model.names import EndpointName, ReplicaId, RevisionId


@dataclass(frozen=True, slots=True)
class Event:
    """One transition. `kind` is dotted, as in `replica.ready`, `rollout.step`, `deployment.status`."""

    kind: str
    at: float
    """The `now` that the decision was made with, by the store's clock."""
    endpoint: EndpointName | None = None
    revision: RevisionId | None = None
    replica: ReplicaId | None = None
    message: str = ""
    """One sentence for people."""
    data: Mapping[str, Any] = field(default_factory=dict)
    """Inputs of the decision that cannot be derived, and what a program wants to know."""
