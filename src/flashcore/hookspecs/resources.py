"""Resource types: the kinds of endpoint that can be declared, `queue` and `load_balanced` among them.

A resource type says what a declaration of its kind may hold and which other parts serve it. It does nothing itself:
the engine asks it for names and passes the declaration on whole. It is made without arguments, at any time, and each
one says the same: the build asks it, and the controller keeps what it heard with the deployment.

User code declares it by the class that the record's `declares` names, a subclass of `client.endpoints.Endpoint` whose
`resource` is the type's name. The build reads declarations and does not run them, so that the class has neither a
constructor nor settings of its own.

How unlike types satisfy it:

* queue: ingress JOBS, several functions, `heartbeat`, scaled by how long jobs wait.
* worker_script: ingress JOBS, no function and one script; its `problems` refuse what the script itself decides.
* load_balanced: ingress HTTP, one route each, `http`, scaled by requests in flight.
* a scheduled job: ingress JOBS; its handler is the queue's, and a plugin's own process submits when the time comes.
* an app of another framework (any ASGI object): ingress HTTP; its handler generator imports that object, and its
  `problems` demand exactly one function.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Protocol

from flashcore.hookspecs.markers import hookspec
from flashcore.hookspecs.records import Part
from flashcore.model.declaration import Declaration
from flashcore.model.manifest import FunctionEntry
from flashcore.model.parts import PartRef

API = range(1, 2)
CAPABILITIES: frozenset[str] = frozenset()


class Ingress(Enum):
    """How calls reach the replicas of an endpoint of this type."""

    JOBS = "jobs"
    """Through the job API and the queue."""
    HTTP = "http"
    """As HTTP requests under `/{endpoint}/...`."""


@dataclass(frozen=True, slots=True)
class Defaults:
    """The parts that serve an endpoint whose declaration names no other."""

    handler: str
    """Name of the handler generator."""
    probe: PartRef
    scaler: PartRef
    routing: PartRef


class ResourceType(Protocol):
    """One kind of endpoint."""

    @property
    def ingress(self) -> Ingress:
        """How calls reach it."""
        ...

    @property
    def defaults(self) -> Defaults:
        """What serves it unless the declaration says otherwise. Options are JSON values; the scaler is not unfit."""
        ...

    @property
    def unfit_scalers(self) -> frozenset[str]:
        """Names of scalers that see nothing of it, and are refused at build; anybody else's may be declared."""
        ...

    def problems(self, declaration: Declaration, functions: tuple[FunctionEntry, ...]) -> Iterator[str]:
        """What is wrong with a declaration of this type, beyond what is wrong with any; one sentence each.

        A sentence goes on from "endpoint 'x': " and has no full stop. Equal declarations have equal ones; nothing is
        raised, whatever is declared.
        """
        ...


@hookspec
def flashcore_resource_types() -> Mapping[str, Part]:  # type: ignore[empty-body]  # a hookspec has no body
    """Offer resource types by the name that a declaration carries."""
