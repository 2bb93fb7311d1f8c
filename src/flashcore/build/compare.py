"""What differs between two manifests: by digest which endpoints, and field by field what in them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any

from flashcore.model.codec import to_json
from flashcore.model.manifest import EndpointEntry, Manifest


class Fate(Enum):
    """What has become of an endpoint."""

    NEW = "new"
    CHANGED = "changed"
    REMOVED = "removed"
    SAME = "same"


@dataclass(frozen=True, slots=True)
class Difference:
    """One value that is another one; None where there was or is none."""

    path: str
    """As in `policy.replicas.maximum`, or `functions.embed.parameters`."""
    old: Any
    new: Any


@dataclass(frozen=True, slots=True)
class Comparison:
    """One endpoint, before and after."""

    endpoint: str
    fate: Fate
    rolls: bool
    """Whether deploying it makes a new revision; a change of policy alone is applied in place."""
    differences: tuple[Difference, ...] = ()


def compare(old: Manifest, new: Manifest) -> tuple[Comparison, ...]:
    """All endpoints of both manifests, by name."""
    before = {entry.name: entry for entry in old.endpoints}
    after = {entry.name: entry for entry in new.endpoints}
    versions = (old.python_version, new.python_version)
    return tuple(_compared(name, before.get(name), after.get(name), versions) for name in sorted({*before, *after}))


def _compared(name: str, old: EndpointEntry | None, new: EndpointEntry | None, versions: tuple[str, str]) -> Comparison:
    if old is None:
        return Comparison(name, Fate.NEW, rolls=True)
    if new is None:
        return Comparison(name, Fate.REMOVED, rolls=False)
    rolls = versions[0] != versions[1] or _revision_of(old) != _revision_of(new)
    if not rolls and old.policy_digest == new.policy_digest:
        return Comparison(name, Fate.SAME, rolls=False)
    found = [Difference("python_version", *versions)] if versions[0] != versions[1] else []
    return Comparison(name, Fate.CHANGED, rolls, (*found, *_differences(_shown(old), _shown(new), "")))


def _revision_of(entry: EndpointEntry) -> tuple[Any, ...]:
    return entry.resource, entry.template_digest, entry.artifact, entry.handler, entry.functions


def _shown(entry: EndpointEntry) -> Mapping[str, Any]:
    shown: dict[str, Any] = to_json(entry)
    shown["functions"] = {one["name"]: one for one in shown["functions"]}
    for unstable in ("declared_at", "template_digest", "policy_digest"):  # they say where, or that, and never what
        shown.pop(unstable)
    return shown


def _differences(old: Any, new: Any, path: str) -> Iterator[Difference]:
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        for key in sorted({*old, *new}):
            yield from _differences(old.get(key), new.get(key), f"{path}.{key}".lstrip("."))
    elif old != new:
        yield Difference(path, old, new)
