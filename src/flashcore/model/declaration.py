"""What a user declares of an endpoint, in two halves: the template (what runs) and the policy (how it is run).

A change of the template makes a new revision and is rolled out; a change of the policy is applied in place.
The fields here are the only list of an endpoint's settings: the client's constructors, the scanner, the manifest
and the revision all carry these two values whole.
"""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from flashcore.model.errors import InvalidDeclaration
from flashcore.model.parts import PartRef

MAX_REPLICAS = 10_000

_MEMORY = re.compile(r"\s*\d+(?:\.\d+)?\s*(?:[kKMGT]i?)?[bB]?\s*")
_NO_NAME = frozenset("=\0")


@dataclass(frozen=True, slots=True)
class Volume:
    """Storage that outlives replicas, mounted at `path`; `source` is a directory or a provider's volume id."""

    source: str
    path: str
    read_only: bool = False


@dataclass(frozen=True, slots=True)
class Template:
    """What a replica runs. Every field is part of the revision's digest."""

    max_concurrency: int = 1
    """Calls that one replica works on at the same time."""
    cpu: float | None = None
    """CPUs per replica; None: not counted."""
    memory: str | None = None
    """Memory per replica, as in "512Mi" or "4Gi"."""
    gpu: str | None = None
    """Kind of GPU, in the provider's words; "any" for no preference."""
    gpu_count: int = 0
    dependencies: tuple[str, ...] = ()
    """Python requirements (PEP 508)."""
    system_dependencies: tuple[str, ...] = ()
    python_version: str | None = None
    """As in "3.12"; None: the version that built the artifact."""
    env: Mapping[str, str] = field(default_factory=dict)
    secrets: tuple[str, ...] = ()
    """Names only; values come from the control plane when a replica starts."""
    volumes: tuple[Volume, ...] = ()
    include: tuple[str, ...] = ()
    """Extra files of the project, as glob patterns from its root."""
    datacenter: tuple[str, ...] = ()
    image: str | None = None
    """The container image that replicas start from, where the provider has such."""
    template: str | None = None
    """The provider's own template that replicas start from, by the provider's name for it."""
    script: str | None = None
    """The project's file that replicas run as it is, by its path from the root, where the resource type has one."""
    warm: bool = True
    """Whether replicas may be forked from a parent that has imported the code."""
    provider: PartRef | None = None
    """Which provider runs it, with options that travel to it untouched; None: the platform's."""
    plugins: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """Options of plugins, by plugin name, untouched."""
    extra: Mapping[str, Any] = field(default_factory=dict)
    """Fields that a newer version wrote; kept as they are."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """How many replicas there may be."""

    minimum: int
    maximum: int


@dataclass(frozen=True, slots=True)
class ProbePolicy:
    """When a replica counts as healthy; times in seconds, thresholds in consecutive answers."""

    interval: float = 10.0
    timeout: float = 5.0
    success_threshold: int = 2
    failure_threshold: int = 3
    liveness_factor: int = 3
    """x failure_threshold further failures, counted afresh once unhealthy: failed."""
    pending_factor: int = 10
    """x failure_threshold attempts without becoming healthy: failed, where no initial delay rules."""
    failed_terminal: bool = False
    """True: a failed replica is never probed again."""
    disabled: bool = False
    """True: it is never asked, and healthy at its own word that it is ready."""


@dataclass(frozen=True, slots=True)
class Policy:
    """How an endpoint is run. No field is part of the revision's digest."""

    replicas: Bounds = Bounds(1, 1)
    strategy: PartRef = PartRef("rolling")
    gates: Mapping[str, tuple[PartRef, ...]] = field(default_factory=dict)
    """Gates by checkpoint name; all of a checkpoint's gates must pass."""
    scaler: PartRef | None = None
    routing: PartRef | None = None
    probe: PartRef | None = None
    health: ProbePolicy = ProbePolicy()
    initial_delay: float = 600.0
    """Seconds from the moment the process runs within which a replica must become ready."""
    termination_grace: float = 30.0
    """Seconds that a stopping replica has for what it is working on."""
    idle_timeout: float = 60.0
    """Seconds without work before the scaler may go below what was needed."""
    execution_timeout: float = 600.0
    """Seconds that one call may run; of a request, until its answer begins, and no more than `answer_seconds` (330)."""
    ttl: float = 86_400.0
    """Seconds that a job may take from submission to its end."""
    result_retention: float = 1_800.0
    max_attempts: int = 2
    progress_deadline: float = 600.0
    """Seconds without progress after which a rollout has failed; waiting for a gate does not count."""
    auto_rollback: bool = True
    revision_history: int = 10
    undo_window: int = 0
    """Going back asks no gate when fewer than this many revisions lie between."""
    public: bool = False
    """Whether anybody may call it who reaches the gateway, without a token."""
    extra: Mapping[str, Any] = field(default_factory=dict)
    """Fields that a newer version wrote; kept as they are."""


@dataclass(frozen=True, slots=True)
class Declaration:
    """One endpoint as its author wrote it. `resource` is the name of a resource type."""

    name: str
    resource: str
    template: Template = Template()
    policy: Policy = Policy()


def settings_of(cls: type[Template | Policy]) -> frozenset[str]:
    """The names that a user may set on that half."""
    return frozenset(f.name for f in dataclasses.fields(cls)) - {"extra"}


def problems(declaration: Declaration) -> Iterator[str]:
    """What is wrong with a declaration whatever its resource type, one sentence each."""
    yield from _replica_problems(declaration.policy.replicas)
    yield from _number_problems(declaration.template, {"max_concurrency": 1, "gpu_count": 0, "cpu": 0})
    yield from _number_problems(
        declaration.policy,
        {
            "initial_delay": 0,
            "termination_grace": 0,
            "idle_timeout": 0,
            "execution_timeout": 0,
            "ttl": 0,
            "result_retention": 0,
            "max_attempts": 1,
            "progress_deadline": 0,
            "revision_history": 1,
            "undo_window": 0,
        },
    )
    yield from _health_problems(declaration.policy.health)
    yield from _form_problems(declaration.template)
    both = sorted(set(declaration.template.env) & set(declaration.template.secrets))
    if both:
        yield f"{both[0]!r} is set in env and named in secrets"


def require_sound(declaration: Declaration, where: str = "") -> Declaration:
    """Return the declaration, or raise InvalidDeclaration with every problem and `where` it was written."""
    found = list(problems(declaration))
    if not found:
        return declaration
    place = f" ({where})" if where else ""
    raise InvalidDeclaration(
        f"endpoint {declaration.name!r}{place}: " + "; ".join(found),
        next_step="correct the settings of the declaration",
        endpoint=declaration.name,
        problems=found,
        where=where,
    )


def _replica_problems(bounds: Bounds) -> Iterator[str]:
    if bounds.minimum < 0:
        yield f"replicas cannot be fewer than 0, not {bounds.minimum}"
    if bounds.maximum < bounds.minimum:
        yield f"the most replicas ({bounds.maximum}) are fewer than the least ({bounds.minimum})"
    if bounds.maximum > MAX_REPLICAS:
        yield f"at most {MAX_REPLICAS} replicas are allowed, not {bounds.maximum}"


def _form_problems(template: Template) -> Iterator[str]:
    if template.memory is not None and not _MEMORY.fullmatch(template.memory):
        yield f"memory must be an amount as in '512Mi' or '4Gi', not {template.memory!r}"
    for name in (*template.env, *template.secrets):
        if not name or not _NO_NAME.isdisjoint(name):
            yield f"{name!r} cannot be the name of an environment variable"
    for name, value in template.env.items():
        if "\0" in value:
            yield f"the value of {name!r} in env cannot have a NUL in it"
    paths = [volume.path for volume in template.volumes]
    for path in paths:
        if not path.startswith("/") or "\0" in path:
            yield f"a volume's path must begin with a slash, not {path!r}"
    for path in sorted({path for path in paths if paths.count(path) > 1}):
        yield f"there are two volumes at {path!r}"


def _number_problems(half: Template | Policy, least: Mapping[str, float]) -> Iterator[str]:
    for name, floor in least.items():
        value = getattr(half, name)
        if value is not None and not (value >= floor and math.isfinite(value)):
            yield f"{name} must be at least {floor}, not {value}"


def _health_problems(health: ProbePolicy) -> Iterator[str]:
    for name in ("interval", "timeout"):
        seconds = getattr(health, name)
        if not (seconds > 0 and math.isfinite(seconds)):
            yield f"health.{name} must be a number of seconds greater than 0, not {seconds}"
    for name in ("success_threshold", "failure_threshold", "liveness_factor", "pending_factor"):
        count = getattr(health, name)
        if not (isinstance(count, int) and count > 0):
            yield f"health.{name} must be a whole number greater than 0, not {count}"
