"""The build's result: every endpoint with its functions, routes and digests. One JSON document, versioned."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from flashcore.model.codec import CodecError, from_json, to_json
from flashcore.model.declaration import Policy, Template
from flashcore.model.errors import BuildError
from flashcore.model.names import Digest, EndpointName

MANIFEST_VERSION = 1
MANIFEST_FILE = "flashcore_manifest.json"


class FunctionKind(Enum):
    """What a function entry is, which decides how it is called."""

    FUNCTION = "function"
    ASYNC_FUNCTION = "async_function"
    GENERATOR = "generator"
    ASYNC_GENERATOR = "async_generator"
    CLASS = "class"


class ParameterKind(Enum):
    """How a parameter takes its argument; Python's own five kinds."""

    POSITIONAL_ONLY = "positional_only"
    POSITIONAL_OR_KEYWORD = "positional_or_keyword"
    VAR_POSITIONAL = "var_positional"
    KEYWORD_ONLY = "keyword_only"
    VAR_KEYWORD = "var_keyword"


@dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter as its source shows it; `annotation` and `default` are source text."""

    name: str
    kind: ParameterKind
    annotation: str | None = None
    default: str | None = None
    schema: Mapping[str, Any] | None = None
    """JSON Schema of what it takes, where the annotation says it."""


@dataclass(frozen=True, slots=True)
class Result:
    """What a function gives, as its source shows it; of a generator, one item."""

    annotation: str
    schema: Mapping[str, Any] | None = None


WEBSOCKET = "WEBSOCKET"
"""What stands for the method of a route that serves WebSockets."""


@dataclass(frozen=True, slots=True)
class Route:
    """An HTTP method (upper case) and path template (`/items/{item_id}`)."""

    method: str
    path: str


@dataclass(frozen=True, slots=True)
class MethodEntry:
    """A public method of a class endpoint."""

    name: str
    kind: FunctionKind
    parameters: tuple[Parameter, ...]
    doc: str = ""
    result: Result | None = None
    """None without an annotation."""


@dataclass(frozen=True, slots=True)
class FunctionEntry:
    """One function or class behind an endpoint. Its identity is where it is defined."""

    name: str
    """The name that callers use, unique within the endpoint."""
    module: str
    """Path of the file from the project's root, with `/`."""
    qualified_name: str
    kind: FunctionKind
    parameters: tuple[Parameter, ...] = ()
    """Of the function, or of the class's constructor; without self."""
    result: Result | None = None
    """None without an annotation, and of a class."""
    methods: tuple[MethodEntry, ...] = ()
    doc: str = ""
    route: Route | None = None
    calls: tuple[EndpointName, ...] = ()
    """Endpoints that it calls, as far as the source shows."""
    line: int = 0


@dataclass(frozen=True, slots=True)
class EndpointEntry:
    """Everything that the platform needs to run one endpoint."""

    name: EndpointName
    resource: str
    template: Template
    policy: Policy
    functions: tuple[FunctionEntry, ...]
    handler: str
    """Path of the generated handler in the artifact."""
    artifact: Digest
    """sha256 of the archive that its replicas run."""
    template_digest: Digest
    policy_digest: Digest
    declared_at: str = ""
    """`file:line` of the declaration."""
    extra: Mapping[str, Any] = field(default_factory=dict)
    """What plugins added, and fields that are not known here."""


@dataclass(frozen=True, slots=True)
class Manifest:
    """All endpoints of one build, sorted by name."""

    app: str
    endpoints: tuple[EndpointEntry, ...]
    flashcore_version: str
    python_version: str
    """Minor version that the artifact was built for, as in "3.11"."""
    manifest_version: int = MANIFEST_VERSION
    extra: Mapping[str, Any] = field(default_factory=dict)
    """What plugins added, and fields that are not known here."""

    def endpoint(self, name: str) -> EndpointEntry | None:
        """The endpoint of that name."""
        return next((entry for entry in self.endpoints if entry.name == name), None)


def manifest_to_json(manifest: Manifest) -> dict[str, Any]:
    """The manifest as plain JSON values."""
    shown: dict[str, Any] = to_json(manifest)
    return shown


def manifest_from_json(value: Any) -> Manifest:
    """Read a manifest. Raises BuildError for one that is newer than this flashcore or does not fit."""
    version = value.get("manifest_version") if isinstance(value, Mapping) else None
    if isinstance(version, int) and version > MANIFEST_VERSION:
        raise BuildError(
            f"the manifest has version {version}; this flashcore reads versions up to {MANIFEST_VERSION}",
            next_step="upgrade flashcore-framework, or build again with this version",
        )
    try:
        return from_json(Manifest, value)
    except CodecError as error:
        raise BuildError(f"the manifest cannot be read: {error}", next_step="build again: flashcore build") from error
