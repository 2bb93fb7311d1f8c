"""What a pass over a manifest has to do: a function of what is wanted, what is remembered, and what is there."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from enum import Enum

from flashcore.control.manifests.record import ManagedEndpoint
from flashcore.model.names import Digest, EndpointName


class Action(Enum):
    """What is done with one endpoint."""

    DEPLOY_NEW = "new"
    DEPLOY_CHANGED = "changed"
    DEPLOY_AGAIN = "again"
    """It could not be deployed, or did not come up, and its time has come."""
    PUT_BACK = "missing"
    """Somebody took it down though the manifest has it."""
    REMOVE = "removed"
    FORGET = "gone"
    """Nothing is left of what was removed."""
    LEAVE = "unchanged"
    WAIT = "waiting"
    """It failed and is tried again later, or what had its name is still being taken down."""


_DEPLOYS = frozenset({Action.DEPLOY_NEW, Action.DEPLOY_CHANGED, Action.DEPLOY_AGAIN, Action.PUT_BACK})


@dataclass(frozen=True, slots=True)
class Step:
    """One endpoint, and what is to be done with it."""

    endpoint: EndpointName
    action: Action

    @property
    def deploys(self) -> bool:
        """Whether the controller is to be told to run it."""
        return self.action in _DEPLOYS


@dataclass(frozen=True, slots=True)
class Present:
    """What is deployed: by name, and which of it is being taken down."""

    endpoints: frozenset[EndpointName] = frozenset()
    leaving: frozenset[EndpointName] = frozenset()


def plan(
    wanted: Mapping[EndpointName, Digest],
    known: Mapping[EndpointName, ManagedEndpoint],
    present: Present,
    now: float,
    spared: Collection[EndpointName] = (),
) -> tuple[Step, ...]:
    """The steps, by name. What is in no record was deployed by somebody else and is never removed.

    `spared` is not touched at all: the endpoint that the control plane itself is.
    How well anything is plays no part: a call that fails, or a replica that is ill, is the controller's to answer.
    """
    steps = (*_wanted(wanted, known, present, now), *_unwanted(wanted, known, present))
    return tuple(sorted((step for step in steps if step.endpoint not in spared), key=lambda step: step.endpoint))


def _wanted(
    wanted: Mapping[EndpointName, Digest],
    known: Mapping[EndpointName, ManagedEndpoint],
    present: Present,
    now: float,
) -> Iterator[Step]:
    for name, digest in wanted.items():
        yield Step(name, _action(name, digest, known.get(name), present, now))


def _action(name: EndpointName, digest: Digest, record: ManagedEndpoint | None, present: Present, now: float) -> Action:
    if name in present.leaving:
        return Action.WAIT
    failure = record.failure if record is not None else None
    if failure is not None and failure.wanted == digest and failure.retry_at is not None:
        return Action.DEPLOY_AGAIN if now >= failure.retry_at else Action.WAIT
    if record is None or record.applied is None or record.leaving:
        return Action.DEPLOY_NEW
    if record.applied != digest:
        return Action.DEPLOY_CHANGED
    return Action.LEAVE if name in present.endpoints else Action.PUT_BACK


def _unwanted(
    wanted: Mapping[EndpointName, Digest], known: Mapping[EndpointName, ManagedEndpoint], present: Present
) -> Iterator[Step]:
    for name in known.keys() - wanted.keys():
        if name not in present.endpoints or known[name].applied is None:
            # What never got as far as being deployed is not ours to take down: it may be somebody else's by that name.
            yield Step(name, Action.FORGET)
        elif name in present.leaving and known[name].leaving:
            yield Step(name, Action.WAIT)
        else:
            yield Step(name, Action.REMOVE)
