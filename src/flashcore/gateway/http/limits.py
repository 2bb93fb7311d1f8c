"""How much of anything one client, or one replica, may ask of the gateway."""

from __future__ import annotations

from dataclasses import dataclass, fields


@dataclass(frozen=True, slots=True)
class Limits:
    """Sizes in bytes, times in seconds; each is a bound that a peer meets, never a target.

    Times are looked at by a sweep, so that no request pays for a timer; they end up to `sweep_seconds` late.
    """

    head_bytes: int = 65_536
    """A request's or an answer's line and headers together."""

    header_count: int = 128
    """Header lines in one head."""

    local_body_bytes: int = 20_000_000
    """The body of a request that the gateway answers itself."""

    replay_bytes: int = 65_536
    """As much of a proxied body is kept, so that another replica can be asked; beyond it the choice is final.

    No route sees more of a body before it chooses.
    """

    pipelined_bytes: int = 65_536
    """What a client may send ahead of its turn before it is no longer read from."""

    head_seconds: float = 10.0
    """From a head's first byte to its last."""

    body_seconds: float = 60.0
    """Between two pieces of a request body that the gateway is ready to take."""

    body_rate: float = 240.0
    """Bytes of a request body in a second, as a mean over `pace_seconds`, until its answer begins; 0: any.

    Also of what waits for a client, as a mean over `write_seconds`.
    """

    pace_seconds: float = 20.0
    """Also the time that a body is given at first."""

    peek_seconds: float = 1.0
    """From a head's end until a replica is chosen by what has come of the body, where the route is to see it."""

    write_seconds: float = 60.0
    """How long a peer may take nothing of what waits for it; a client at least `body_rate` times as many bytes."""

    idle_seconds: float = 75.0
    """Between two requests of one client connection."""

    linger_seconds: float = 2.0
    """How long a refused client's bytes are read and dropped, so that it can read why it was refused."""

    parting_seconds: float = 0.5
    """How long a server that ends keeps idle connections open: a request may be on its way, and is answered."""

    connect_seconds: float = 5.0
    """Until a replica accepts a connection."""

    upstream_idle_seconds: float = 4.0
    """How long an unused connection to a replica is kept: shorter than the 5 s after which uvicorn closes its end."""

    upstream_idle_count: int = 128
    """Unused connections kept for one replica."""

    sweep_seconds: float = 0.5
    """Between two looks at the clock."""

    def __post_init__(self) -> None:
        """Refuse a limit that would refuse everything."""
        for field in fields(self):
            if getattr(self, field.name) <= 0 and (field.name != "body_rate" or self.body_rate < 0):
                raise ValueError(f"{field.name} = {getattr(self, field.name)!r}: a limit is more than zero")
