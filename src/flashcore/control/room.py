"""Whether there is room for what is asked for, as far as its provider knows: for people, who may insist."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from flashcore.canonical import digest
from flashcore.control.operations import chosen
from flashcore.control.readmodel import DeploymentView
from flashcore.control.services import Services
from flashcore.hookspecs.providers import KnowsRoom
from flashcore.model.errors import Refused
from flashcore.model.manifest import EndpointEntry, Manifest
from flashcore.model.names import EndpointName, RevisionId
from flashcore.model.revision import Revision, content_of


def require_room_to_scale(services: Services, view: DeploymentView, count: int) -> None:
    """Raise Refused when so many replicas are too many. Of fewer than are wanted already nothing is said."""
    if count <= view.goal or not view.revisions:
        return
    doubt = _doubt(services, view.revisions[0], count)
    if doubt:
        raise Refused(
            f"{view.endpoint}: {doubt}",
            next_step="choose fewer, or insist: --force (force in the API)",
            endpoint=view.endpoint,
        )


def require_room_to_deploy(
    services: Services, manifest: Manifest, names: Iterable[str] | None, views: Mapping[EndpointName, DeploymentView]
) -> None:
    """Raise Refused, with all of them, when there are endpoints whose first replicas can never be placed.

    What is deployed already, and wants no more than it has, may stay as somebody insisted that it be. Raises NotFound.
    """
    doubts = tuple(_doubts(services, manifest, names, views))
    if doubts:
        raise Refused(
            "; ".join(doubts),
            next_step="lower what they need (cpu, memory, gpu_count, replicas), or insist: --force (force in the API)",
        )


def _doubts(
    services: Services, manifest: Manifest, names: Iterable[str] | None, views: Mapping[EndpointName, DeploymentView]
) -> Iterator[str]:
    for entry in chosen(manifest, names):
        # Also an endpoint that begins with none is to have one when it is called.
        count, view = max(1, entry.policy.replicas.minimum), views.get(entry.name)
        if view is not None and count <= view.goal and view.revisions[:1] and _needs_no_more(view.revisions[0], entry):
            continue
        doubt = _doubt(services, _revision(manifest, entry, services.clock.now()), count)
        if doubt:
            yield f"endpoint {entry.name!r}: {doubt}"


def _doubt(services: Services, revision: Revision, count: int) -> str:
    provider = services.watcher_of(revision.content.template.provider).provider
    return provider.doubt(revision, count) if isinstance(provider, KnowsRoom) else ""


def _needs_no_more(newest: Revision, entry: EndpointEntry) -> bool:
    was, now = newest.content.template, entry.template
    return (was.cpu, was.memory, was.gpu, was.gpu_count) == (now.cpu, now.memory, now.gpu, now.gpu_count)


def _revision(manifest: Manifest, entry: EndpointEntry, now: float) -> Revision:
    """What would be deployed, as far as it says what it needs."""
    content = content_of(entry, manifest.python_version, entry.template.env)
    return Revision(RevisionId(digest(content)), content, 0, now)
