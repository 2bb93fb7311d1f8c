"""Gateways that were replaced and finish what they had begun: each says so in a file, for as long as it does.

Three read it. Whoever ends the environment ends them. The gateway in their place counts what replicas are at for them,
so that no replica is given more than it takes. The control plane counts it as load: a replica that serves nobody else
is not idle.

The file says besides whose word no longer counts that it is the environment's gateway. The address that it wrote down
stays, as it is the next one's too: who looks for it meanwhile has it.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from flashcore.gateway.files import make_private_directory, replace_file
from flashcore.model.codec import CodecError, from_json, to_json
from flashcore.model.layout import Layout
from flashcore.model.names import EndpointName, InstanceId, ReplicaId
from flashcore.model.table import EndpointSignals
from flashcore.presence import Presence, own_presence, read_presence


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
    left: Rest | None = None
    """None until it has made room: it has the environment's lock still."""
    before: Rest | None = None
    """What was left as it did."""

    @property
    def rest(self) -> Rest:
        """What is left, as far as it has said."""
        return self.left or Rest()


class Notice:
    """This process's file, once it is posted."""

    def __init__(self, layout: Layout, version: str) -> None:
        self._file = layout.retired / f"{os.getpid()}.json"
        self._said = Retired(own_presence("", version))
        self._is_posted = False

    @property
    def is_posted(self) -> bool:
        """Whether this process is being replaced, or has been."""
        return self._is_posted

    def post(self) -> None:
        """From here on `retired_gateways` finds this process. Raises OSError, and Refused: then it does not."""
        make_private_directory(self._file.parent)
        self._write(self._said)
        self._is_posted = True

    def take_down(self) -> None:
        """It has ended."""
        with contextlib.suppress(FileNotFoundError):
            self._file.unlink()

    def tell(self, rest: Rest) -> None:
        """It has made room, and this is left now. Raises OSError."""
        if rest != self._said.left:
            said = replace(self._said, left=rest, before=self._said.before or rest)
            self._write(said)
            self._said = said

    def _write(self, said: Retired) -> None:
        replace_file(self._file, json.dumps(to_json(said)).encode())


def serving_gateway(layout: Layout) -> Presence | None:
    """The environment's gateway, as it says itself; None where there is none, and where it has been asked to retire."""
    present = read_presence(layout.gateway_file)
    if present is None or not present.alive:
        return None
    return None if present.pid in {one.presence.pid for one in retired_gateways(layout)} else present


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
