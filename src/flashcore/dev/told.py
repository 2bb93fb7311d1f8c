"""What a session of `flashcore dev` tells of itself, for whoever shows it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from flashcore.model.errors import FlashcoreError
from flashcore.wire.envelope import RemoteFailure


@dataclass(frozen=True, slots=True)
class Served:
    """An endpoint, and what can be called of it: functions, or methods and paths."""

    endpoint: str
    url: str
    callables: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Started:
    """It listens; the first code is on its way."""

    url: str
    environment: str
    token: str
    """Path of the file with the token for `/execute`."""


@dataclass(frozen=True, slots=True)
class Ready:
    """New code answers calls from now on, so many seconds after the change was seen."""

    endpoint: Served
    seconds: float


@dataclass(frozen=True, slots=True)
class Removed:
    """The endpoint is not declared any more."""

    endpoint: str


@dataclass(frozen=True, slots=True)
class Refused:
    """The project cannot be built, or the endpoint cannot be run."""

    error: FlashcoreError
    endpoint: str | None = None
    serving: bool = False
    """There is code from before, which goes on serving."""


@dataclass(frozen=True, slots=True)
class NotStarting:
    """The endpoint's new code does not start."""

    endpoint: str
    reason: str
    serving: bool = False
    """There is code from before, which goes on serving."""


@dataclass(frozen=True, slots=True)
class Called:
    """A call has ended."""

    endpoint: str
    what: str
    """Function, or method and path."""
    outcome: str
    """`completed`, `failed`, `cancelled`, `timed_out`, or an HTTP status."""
    ok: bool
    seconds: float
    result: str | None = None
    """As text: JSON, or Python where it came pickled."""
    failure: RemoteFailure | None = None


@dataclass(frozen=True, slots=True)
class Printed:
    """A line that user code printed or logged, or of a traceback."""

    endpoint: str
    text: str


@dataclass(frozen=True, slots=True)
class Noted:
    """Something that a person should know."""

    text: str


Told = Started | Ready | Removed | Refused | NotStarting | Called | Printed | Noted

Tell = Callable[[Told], None]
"""Takes what is told; returns at once."""
