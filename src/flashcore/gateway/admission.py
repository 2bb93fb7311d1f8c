"""Whether a worker that says hello may come in. Pure: a hello, the routes and the books give a verdict."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from flashcore.gateway.books import Books
from flashcore.gateway.routes import Routes
from flashcore.model.errors import IncompatiblePeer
from flashcore.model.names import worker_id
from flashcore.wire.hello import Hello
from flashcore.wire.versions import PROTOCOL, agree

_LONGEST = 10_000
"""Characters of a worker's names, which have some dozens: it waits with them, and they are written to the log."""


@dataclass(frozen=True, slots=True)
class Admitted:
    """It comes in. `listed`: and may have work; else it only hands in what it has."""

    protocol: int
    listed: bool


@dataclass(frozen=True, slots=True)
class Unknown:
    """No table lists it yet: one that is on its way may. `reason` is told when none came."""

    reason: str


@dataclass(frozen=True, slots=True)
class TurnedAway:
    """It will never come in."""

    reason: str


Verdict: TypeAlias = Admitted | Unknown | TurnedAway


def admit(hello: Hello, routes: Routes, books: Books) -> Verdict:
    """The verdict on a worker, by the table of now."""
    who = hello.identity
    length = sum(map(len, (who.endpoint, who.replica, who.instance, who.revision, who.boot_id)))
    if length > _LONGEST:
        return TurnedAway(f"a worker's names have {length} characters; {_LONGEST} are the most")
    try:
        protocol = agree(PROTOCOL, who.protocol, f"replica {who.replica}")
    except IncompatiblePeer as error:
        return TurnedAway(str(error))
    routing = routes.jobs.get(who.endpoint)
    if routing is not None and routing.lists(who.replica, who.instance, who.revision):
        return Admitted(protocol, listed=True)
    known = books.get(worker_id(who.replica, who.instance))
    if known is not None and known.attempts:
        return Admitted(protocol, listed=False)
    listed = None if routing is None else routing.listed.get(who.replica)
    if listed is not None and listed[0] != who.instance:
        return TurnedAway(f"instance {listed[0]} of replica {who.replica} has taken the place of {who.instance}")
    return Unknown(f"no replica {who.replica} (instance {who.instance}) is listed for endpoint {who.endpoint}")
