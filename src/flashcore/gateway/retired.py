"""Gateways that were replaced and finish what they had begun: each says so in a file, for as long as it does.

Three read it. Whoever ends the environment ends them. The gateway in their place counts what replicas are at for them,
so that no replica is given more than it takes. The control plane counts it as load: a replica that serves nobody else
is not idle.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import TracebackType
from typing import Self

from flashcore.gateway.files import make_private_directory, replace_file
from flashcore.model.codec import CodecError, from_json, to_json
from flashcore.model.layout import Layout
from flashcore.model.names import EndpointName, InstanceId, ReplicaId
from flashcore.model.table import EndpointSignals
from flashcore.presence import Presence, own_presence


@dataclass(frozen=True, slots=True)
class Held:
    """One life of a replica, and how many requests it is at for a gateway."""

    endpoint: EndpointName
    replica: ReplicaId
    instance: InstanceId
    count: int


@dataclass(frozen=True, slots=True)
class Rest:
    """What is left for a retired gateway to do."""

    signals: Mapping[EndpointName, EndpointSignals] = field(default_factory=dict)
    """Of those endpoints of which replicas were at anything when it retired."""
    held: tuple[Held, ...] = ()

    @property
    def under_way(self) -> int:
        """Requests that replicas are at, streams and WebSockets among them."""
        return sum(side.in_flight for signals in self.signals.values() for side in signals.sides)


@dataclass(frozen=True, slots=True)
class Retired:
    """One of them."""

    presence: Presence
    rest: Rest = Rest()


class Notice:
    """This process's file, from entering to leaving it."""

    def __init__(self, layout: Layout, version: str) -> None:
        self._file = layout.retired / f"{os.getpid()}.json"
        self._said = Retired(own_presence("", version))

    def __enter__(self) -> Self:
        """From here on `retired_gateways` finds it."""
        make_private_directory(self._file.parent)
        self._write()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """It has ended."""
        with contextlib.suppress(FileNotFoundError):
            self._file.unlink()

    def tell(self, rest: Rest) -> None:
        """This is left now. Raises OSError."""
        if rest != self._said.rest:
            self._said = replace(self._said, rest=rest)
            self._write()

    def _write(self) -> None:
        replace_file(self._file, json.dumps(to_json(self._said)).encode())


def retired_gateways(layout: Layout) -> tuple[Retired, ...]:
    """Those that still run, by pid. What others left that were killed is removed."""
    found = []
    for file in layout.retired.glob("*.json"):
        try:
            one = from_json(Retired, json.loads(file.read_bytes()))
        except (OSError, ValueError, RecursionError, TypeError, CodecError):
            continue  # it has just ended, or is of another version
        if one.presence.alive:
            found.append(one)
        else:
            with contextlib.suppress(FileNotFoundError):
                file.unlink()
    return tuple(sorted(found, key=lambda one: one.presence.pid))


def held_by_all(retired: tuple[Retired, ...]) -> Mapping[EndpointName, Mapping[tuple[ReplicaId, InstanceId], int]]:
    """What replicas are at for all of them together."""
    sums: dict[EndpointName, Counter[tuple[ReplicaId, InstanceId]]] = {}
    for one in (held for each in retired for held in each.rest.held):
        sums.setdefault(one.endpoint, Counter())[one.replica, one.instance] += one.count
    return sums


def said_by_retired(layout: Layout) -> Mapping[EndpointName, tuple[EndpointSignals, ...]]:
    """What each of them says of an endpoint."""
    said: dict[EndpointName, tuple[EndpointSignals, ...]] = {}
    for one in retired_gateways(layout):
        for endpoint, signals in one.rest.signals.items():
            said[endpoint] = (*said.get(endpoint, ()), signals)
    return said
