"""An immutable version of what an endpoint's replicas run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from flashcore.model.declaration import Template
from flashcore.model.manifest import EndpointEntry, FunctionEntry
from flashcore.model.names import Digest, EndpointName, RevisionId


@dataclass(frozen=True, slots=True)
class RevisionContent:
    """What the id is the digest of. `env` is the template's, amended by plugins when the revision was made."""

    endpoint: EndpointName
    resource: str
    template: Template
    functions: tuple[FunctionEntry, ...]
    handler: str
    artifact: Digest
    python_version: str
    env: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Revision:
    """A revision as the control plane keeps it. `number` counts up within the endpoint, for people."""

    id: RevisionId
    content: RevisionContent
    number: int
    created_at: float


def content_of(entry: EndpointEntry, python_version: str, env: Mapping[str, str]) -> RevisionContent:
    """The revision content that a manifest's entry asks for, with the environment as amended."""
    return RevisionContent(
        endpoint=entry.name,
        resource=entry.resource,
        template=entry.template,
        functions=entry.functions,
        handler=entry.handler,
        artifact=entry.artifact,
        python_version=python_version,
        env=dict(env),
    )


def short(revision: RevisionId) -> str:
    """The first 12 characters, as people see it."""
    return revision[:12]
