"""The use of a plugin's part in a declaration, and the declaration forms of the built-in ones.

`Rolling(max_surge=2)` in user code is a plain value: the options of the part named `rolling`. A third party's
`Canary(5)` is known only by name and arguments until the platform resolves it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class PartRef:
    """A part by name, with the arguments as they were written; they are checked when it is resolved."""

    name: str
    args: tuple[Any, ...] = ()
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Rolling:
    """Replace replicas a few at a time; numbers are counts, strings like "25%" are shares of the goal.

    A share of surge rounds up, a share of unavailable rounds down; if both come to 0, unavailable becomes 1.
    """

    max_surge: int | str = "25%"
    max_unavailable: int | str = "25%"


@dataclass(frozen=True, slots=True)
class BlueGreen:
    """Start all of the new revision beside the old one, then move the traffic in one step.

    `auto_promote=False` waits for a person, `promote_delay` waits that many seconds, `keep_old` keeps the old
    side warm for that many seconds after promotion.
    """

    auto_promote: bool = True
    promote_delay: float = 0.0
    keep_old: float = 0.0


@dataclass(frozen=True, slots=True)
class Recreate:
    """Stop the old revision, then start the new one: there is a gap, for what cannot run twice."""


@dataclass(frozen=True, slots=True)
class Manual:
    """A gate that passes when a person promotes."""


@dataclass(frozen=True, slots=True)
class Delay:
    """A gate that passes after `seconds` at its checkpoint."""

    seconds: float


@dataclass(frozen=True, slots=True)
class HttpProbe:
    """GET `path` on the replica: 200-399 is a success, 204 while it warms up is neutral."""

    path: str = "/ping"


@dataclass(frozen=True, slots=True)
class TcpProbe:
    """Connect to the replica's address."""


@dataclass(frozen=True, slots=True)
class ExecProbe:
    """Run a command beside the replica; exit status 0 is a success."""

    command: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """The replica's own connection says that it lives."""


@dataclass(frozen=True, slots=True)
class QueueDelay:
    """Scale a queue so that the oldest job waits at most `seconds`."""

    seconds: float = 4.0


@dataclass(frozen=True, slots=True)
class RequestCount:
    """Scale a load-balanced endpoint to `requests` in flight per replica."""

    requests: int = 4


@dataclass(frozen=True, slots=True)
class Fixed:
    """Always the minimum number of replicas, or the number that a person set."""


@dataclass(frozen=True, slots=True)
class HashRouting:
    """Send requests with the same value of header `header` to the same replica, with bounded load."""

    header: str = "x-flashcore-key"
    bound: float = 1.25


@dataclass(frozen=True, slots=True)
class StickyRouting:
    """Keep a caller, known by header `header`, on its replica until it was idle for `idle_timeout` seconds."""

    header: str = "x-flashcore-session"
    idle_timeout: float = 600.0


BUILTIN_FORMS: Mapping[type, str] = {
    Rolling: "rolling",
    BlueGreen: "blue_green",
    Recreate: "recreate",
    Manual: "manual",
    Delay: "delay",
    HttpProbe: "http",
    TcpProbe: "tcp",
    ExecProbe: "exec",
    Heartbeat: "heartbeat",
    QueueDelay: "queue_delay",
    RequestCount: "request_count",
    Fixed: "fixed",
    HashRouting: "hash",
    StickyRouting: "sticky",
}
"""The name under which each built-in declaration form is registered."""
