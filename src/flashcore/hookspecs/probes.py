"""Probes: ask one replica whether it is well. Thresholds, intervals and consequences belong to the core.

How unlike probes satisfy it:

* http, tcp: connect to `target.running.address`, a Unix socket beside us or a port elsewhere.
* exec: asks the provider to run a command beside the replica; refused at deploy where the provider cannot.
* heartbeat: looks at what the replica said last over its own connection, without I/O.
* for a provider that tells health itself (a cloud's API): what the provider observed is in `target.running`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Protocol

from flashcore.hookspecs.markers import hookspec
from flashcore.hookspecs.providers import Provider, Running
from flashcore.hookspecs.records import Part
from flashcore.model.names import EndpointName, ReplicaId

API = range(1, 2)
CAPABILITIES = frozenset({"exec"})
"""`exec`: needs a provider with `exec_probe`."""


class Answer(Enum):
    """What one probe found."""

    OK = "ok"
    FAILING = "failing"
    NEUTRAL = "neutral"
    """It is still loading, or too busy to say: counts neither way."""


@dataclass(frozen=True, slots=True)
class ProbeTarget:
    """The replica that is asked."""

    endpoint: EndpointName
    replica: ReplicaId
    running: Running
    provider: Provider
    headers: Mapping[str, str] = field(default_factory=dict)
    """To be sent with a request over HTTP: by them the replica knows that the control plane asks."""


@dataclass(frozen=True, slots=True)
class Finding:
    """An answer, with what a person wants to know of it (a status code, an error) or an empty text."""

    answer: Answer
    detail: str = ""


class Probe(Protocol):
    """One way of asking. Stateless; many probes of one part run at the same time."""

    async def probe(self, target: ProbeTarget, timeout: float) -> Finding:
        """Ask once. Ends within `timeout` seconds, cleans up when cancelled; an exception counts as FAILING."""
        ...


@hookspec
def flashcore_probes() -> Mapping[str, Part]:  # type: ignore[empty-body]  # a hookspec has no body
    """Offer probes by the name that a declaration uses."""
