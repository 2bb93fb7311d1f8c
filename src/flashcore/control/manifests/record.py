"""What is remembered of an endpoint that was deployed because a manifest has it."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

from flashcore.canonical import digest
from flashcore.control.store import Kind
from flashcore.model.manifest import EndpointEntry
from flashcore.model.names import Digest, EndpointName, RevisionId


@dataclass(frozen=True, slots=True)
class Failure:
    """Why something could not be done. Times are by the store's clock."""

    wanted: Digest | None
    """What was to be deployed; None for a removal."""
    code: str
    message: str
    at: float
    attempts: int
    retry_at: float | None
    """When it is tried again; None while another attempt is under way."""


@dataclass(frozen=True, slots=True)
class ManagedEndpoint:
    """One endpoint. What was good stays on record while something newer is tried."""

    endpoint: EndpointName
    applied: Digest | None = None
    """What was handed to the controller last."""
    revision: RevisionId | None = None
    """The revision that this was."""
    good: Digest | None = None
    """What became ready last."""
    failure: Failure | None = None
    leaving: bool = False
    """It is in the manifest no more, and was told to go."""
    temporary: bool = False
    """It belongs to a test, and goes with the control plane that began it."""


MANAGED: Kind[ManagedEndpoint] = Kind("managed", ManagedEndpoint, lambda managed: managed.endpoint)


def digest_of(entry: EndpointEntry, python_version: str) -> Digest:
    """By this two entries are told apart: everything in them but where they were declared."""
    return digest((python_version, dataclasses.replace(entry, declared_at="")))
