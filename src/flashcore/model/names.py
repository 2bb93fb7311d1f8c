"""The names of things, and which of them can exist."""

from __future__ import annotations

import re
import secrets
from dataclasses import dataclass
from typing import NewType

from flashcore.model.errors import InvalidName

EndpointName = NewType("EndpointName", str)
RevisionId = NewType("RevisionId", str)
"""sha256 hex digest of the canonical form of a revision; people see the first 12 characters."""
ReplicaId = NewType("ReplicaId", str)
InstanceId = NewType("InstanceId", str)
"""One life of a replica's process; a replica that is started again has a new one."""
JobId = NewType("JobId", str)
WorkerId = NewType("WorkerId", str)
"""Who holds a job: the replica id and instance id of one life of a worker, joined by `/`."""
Digest = NewType("Digest", str)
"""sha256 as 64 lower-case hex digits."""

MAX_ENDPOINT_NAME = 40
"""Leaves room for `--preview` and a replica suffix within the 63 characters of a DNS label."""

RESERVED_ENDPOINT_NAMES = frozenset({"v2", "api", "metrics", "manifest", "ping"})
_LABEL = re.compile(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?")

_AGAIN = "~"
"""Before what tells the ids of one life of a replica apart."""


def endpoint_name(text: str) -> EndpointName:
    """Check an endpoint's name: a DNS label of at most 40 characters, not reserved, without `--`.

    Raises InvalidName, which says what is wrong and proposes a name where one is near.
    """
    reason = _reason_against(text)
    if reason is None:
        return EndpointName(text)
    near = _near_label(text)
    hint = f"call it {near!r}" if near and near != text and _reason_against(near) is None else "choose another name"
    raise InvalidName(f"endpoint name {text!r} cannot be used: {reason}", next_step=hint, name=text)


def scope_part(text: str, what: str) -> str:
    """Check the name of an app or environment (`what` says which): a DNS label of at most 40 characters."""
    if _LABEL.fullmatch(text) and len(text) <= MAX_ENDPOINT_NAME:
        return text
    raise InvalidName(
        f"{what} name {text!r} cannot be used: lower-case letters, digits and inner hyphens only, at most 40 of them",
        next_step=f"call it {_near_label(text)!r}" if _near_label(text) else "choose another name",
        name=text,
    )


@dataclass(frozen=True, slots=True)
class Scope:
    """The app and the environment that every stored key is under."""

    app: str
    environment: str

    def __post_init__(self) -> None:
        """Refuse names that could not be part of a key, a folder and a DNS name."""
        scope_part(self.app, "app")
        scope_part(self.environment, "environment")

    @property
    def prefix(self) -> str:
        """The start of every key of this scope, with the closing slash."""
        return f"{self.app}/{self.environment}/"


def new_replica_id(endpoint: EndpointName, revision: RevisionId) -> ReplicaId:
    """A fresh replica id; fits a DNS label for every legal endpoint name."""
    return ReplicaId(f"{endpoint}-{revision[:6]}-{secrets.token_hex(4)}")


def is_id_of(text: str, endpoint: EndpointName) -> bool:
    """Whether a replica of the endpoint may have that id: of no other endpoint, and a name that a file may have."""
    own = text.removeprefix(f"{endpoint}-")
    return own != text and own.count("-") == 1 and _LABEL.fullmatch(text) is not None


def new_instance_id() -> InstanceId:
    """A fresh id for one life of a replica's process."""
    return InstanceId(secrets.token_hex(8))


def worker_id(replica: ReplicaId, instance: InstanceId) -> WorkerId:
    """The id under which one life of a replica holds jobs."""
    return WorkerId(f"{replica}/{instance}")


def another_id(worker: WorkerId) -> WorkerId:
    """One more id of that life of a replica: jobs that are closed to the others are not closed to this one."""
    return WorkerId(f"{worker.partition(_AGAIN)[0]}{_AGAIN}{secrets.token_hex(3)}")


def life_of(worker: WorkerId) -> tuple[ReplicaId, InstanceId]:
    """Whose id that is."""
    replica, _, instance = worker.partition(_AGAIN)[0].partition("/")
    return ReplicaId(replica), InstanceId(instance)


def _reason_against(text: str) -> str | None:
    if not text:
        return "it is empty"
    if len(text) > MAX_ENDPOINT_NAME:
        return f"it has {len(text)} characters, {MAX_ENDPOINT_NAME} are allowed"
    if not _LABEL.fullmatch(text):
        return "only lower-case letters, digits and inner hyphens are allowed"
    if "--" in text:
        return "'--' is reserved for previews"
    if text in RESERVED_ENDPOINT_NAMES:
        return "the name is reserved for the platform's own routes"
    return None


def _near_label(text: str) -> str:
    spaced = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "-", text)
    return re.sub(r"[^a-z0-9]+", "-", spaced.lower()).strip("-")[:MAX_ENDPOINT_NAME].strip("-")
