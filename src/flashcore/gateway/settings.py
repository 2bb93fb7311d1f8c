"""What can be set on a gateway. Times in seconds, sizes in bytes."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, fields, replace

from flashcore.gateway.circuit import CircuitRules
from flashcore.model.errors import ConfigurationError

_SWITCHES = frozenset(
    {"poll_pacing", "poll_attendance", "webhook_private", "queued_limit", "stream_limit", "caller_rate", "body_rate"}
)


@dataclass(frozen=True, slots=True)
class Settings:
    """One gateway's numbers; the defaults are those of production."""

    heartbeat: float = 5.0
    """A worker is to say something this often."""
    missed_beats: float = 3.0
    """A worker that was silent for so many heartbeats is given up."""
    lease: float = 30.0
    """How long a job stays with a worker unless its lease is renewed; longer than every grace here."""
    reconnect_grace: float = 10.0
    """How long the jobs of a worker whose connection ended wait for it to come back."""
    unfit_patience: float = 30.0
    """How long a job that fits no revision that serves waits for one that served until a moment ago."""
    hello_patience: float = 8.0
    """How long a worker that no table lists yet is kept waiting before it is sent away: less than it waits itself."""
    poll_seconds: float = 25.0
    """How long a worker that asks for jobs over HTTP is held when there are none."""
    poll_pacing: int = 1
    """0: such a worker is never given more jobs than it asked for, nor made to wait for its next ones."""
    poll_attendance: int = 1
    """0: that all connections of such a worker closed while it asked nothing does not mean that it ended."""
    sweep_interval: float = 1.0
    """Between two looks at what time did to the stored jobs."""
    forget_after: float = 30.0
    """From when an endpoint left the table until its jobs are forgotten."""
    hold_seconds: float = 120.0
    """How long a request waits at the gateway for a replica."""
    waiting_limit: int = 1000
    """Requests of one endpoint that may wait at the gateway."""
    answer_seconds: float = 330.0
    """Until the first byte of a replica's answer, from when all of the request was sent."""
    body_rate: float = 240.0
    """Bytes in a second at which a body comes, or is taken where more of it waits, at least; 0: any."""
    run_bytes: int = 10_000_000
    """Body of `run`."""
    runsync_bytes: int = 20_000_000
    """Body of `runsync`."""
    queued_limit: int = 5_000_000
    """Jobs of one endpoint that may be queued; 0: as many as the disk takes."""
    caller_rate: float = 0.0
    """Jobs that one caller may submit in a second, over 10 s; 0: as many as it likes."""
    stream_limit: int = 1_000_000_000
    """Of one job's stream, what is kept that nobody has read; it fails beyond that. 0: as much as the disk takes."""
    unrecorded_bytes: int = 64_000_000
    """Reported by workers and not stored yet: beyond it no worker is read from that has much of it."""
    retry_share: float = 0.2
    """Replicas asked in place of one that failed, as a share of the requests."""
    circuit_failures: int = 5
    """Failures in a row after which a replica is left alone for a while."""
    circuit_rate: float = 0.5
    """Share of failures among at least 20 requests within 10 s, after which it is left alone, too."""
    circuit_seconds: float = 5.0
    """For how long, the first time; twice as long each time that follows, up to 60 s."""
    circuit_trials: int = 3
    """Requests that it is then sent, all of which have to be answered well."""
    ejected_share: float = 0.5
    """The most of a revision's replicas that are left alone at a time; where more fail, none is."""
    webhook_attempts: int = 3
    """How often a webhook is tried."""
    webhook_pause: float = 10.0
    """Between two of them."""
    webhook_seconds: float = 10.0
    """For each of them."""
    webhook_private: int = 0
    """1: webhooks may go to addresses that are not public, such as those of this machine."""
    signal_interval: float = 0.25
    """Between two reports to the control plane on one endpoint that keeps changing."""
    stop_grace: float = 10.0
    """How long requests under way are waited for when the gateway stops."""

    handover_grace: float = 600.0
    """How long a gateway that was replaced goes on with the requests, streams and WebSockets that replicas are at."""

    def __post_init__(self) -> None:
        """Refuse numbers that would stop everything."""
        for field in fields(self):
            value = getattr(self, field.name)
            if not value >= 0 or (value == 0 and field.name not in _SWITCHES):
                raise ConfigurationError(f"the gateway's setting {field.name} is {value}; it must be more than zero")

    @property
    def circuit_rules(self) -> CircuitRules:
        """When replicas are left alone."""
        return CircuitRules(
            failures=self.circuit_failures,
            rate=self.circuit_rate,
            seconds=self.circuit_seconds,
            trials=self.circuit_trials,
        )

    @property
    def silence(self) -> float:
        """After so many seconds without a word a worker is given up."""
        return self.heartbeat * self.missed_beats


def settings_from(assignments: Iterable[str]) -> Settings:
    """Settings from `name=value` texts over the defaults. Raises ConfigurationError, naming what there is."""
    defaults = Settings()
    known = {field.name: type(getattr(defaults, field.name)) for field in fields(Settings)}
    values: dict[str, float | int] = {}
    for text in assignments:
        name, _, value = text.partition("=")
        if name not in known:
            raise ConfigurationError(
                f"the gateway has no setting {name!r}", next_step=f"set one of {', '.join(sorted(known))}"
            )
        try:
            values[name] = _number(known[name], value)
        except ValueError:
            kind = "a whole number" if known[name] is int else "a number"
            raise ConfigurationError(
                f"the gateway's setting {name} is {kind}, not {value!r}", next_step="correct it under [gateway]"
            ) from None
    return replace(defaults, **values)  # type: ignore[arg-type]  # each value was made by its own field's type


def _number(kind: type, text: str) -> float | int:
    """The number in the text; those of the project's settings come with a decimal point, also whole ones."""
    number = float(text)
    if kind is not int:
        return number
    if not number.is_integer():
        raise ValueError(text)
    return int(number)
