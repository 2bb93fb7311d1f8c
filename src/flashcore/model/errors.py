"""Every error that flashcore raises on purpose.

FlashcoreError
├── UsageError                what the caller wrote cannot be meant
│   ├── InvalidName           a name that is no DNS label, is reserved, or is too long
│   ├── InvalidDeclaration    an endpoint's settings contradict each other or are out of range
│   ├── UnknownPart           no plugin offers a part of that name
│   ├── InvalidOptions        a part's options do not fit its schema
│   ├── Unserializable        a value cannot be sent; says which part of it
│   └── ConfigurationError    flashcore.toml, a variable or a flag
├── BuildError                the project cannot be built: scan, manifest, handlers, artifact
├── NotFound                  no such endpoint, revision, replica or job
├── Refused                   the platform understood and will not do it now
│   ├── IllegalMove           a state does not allow that move
│   └── Conflict              somebody else changed it first
├── Unavailable               nothing that could answer is ready, or the server is not running
├── DeadlineExceeded          it did not happen in time
├── StateError                the stored state cannot be used
│   ├── StateTooNew           written by a newer flashcore
│   └── StateCorrupt          unreadable; never overwritten
├── StorageFull               the disk (or quota) is full; nothing was half-written
├── StreamFull                more of a job's stream is kept than may be, since nobody reads it as fast as it comes
├── PluginError               a plugin failed; carries plugin, distribution and part
├── ProtocolError             a peer said something that the protocol does not know
│   └── IncompatiblePeer      no common protocol version
│       └── PythonMismatch    pickles are exchanged between equal minor versions of Python only
├── Unauthorized              no token, or one that is not valid here
│   └── SignatureRefused      a pickled call or reply whose signature does not hold: nothing of it was unpickled
├── CannotUnpickle            a signed message that cannot be read here: something is not installed
└── RemoteError               the user's function raised; carries the remote traceback

Each message says what happened, to which thing, why, and what to do next; what a program needs is in attributes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar


class FlashcoreError(Exception):
    """The root of the tree. `next_step` says what a person can do about it."""

    code: ClassVar[str] = "error"
    """Stable machine-readable name, the same in JSON answers of the API and the CLI."""

    def __init__(self, message: str, *, next_step: str | None = None, **data: Any) -> None:
        super().__init__(message)
        self.message = message
        self.next_step = next_step
        self.data = data

    def __str__(self) -> str:
        """The message, and the next step on a line of its own."""
        return f"{self.message}\n  next: {self.next_step}" if self.next_step else self.message

    def as_json(self) -> dict[str, Any]:
        """The error as the API and `--json` show it."""
        shown: dict[str, Any] = {"code": self.code, "message": self.message}
        if self.next_step:
            shown["next_step"] = self.next_step
        if self.data:
            shown["data"] = {key: value if _is_plain(value) else str(value) for key, value in self.data.items()}
        return shown


class UsageError(FlashcoreError):
    """What the caller wrote cannot be meant."""

    code = "usage"


class InvalidName(UsageError):
    """A name that is no DNS label, is reserved, or is too long."""

    code = "invalid_name"


class InvalidDeclaration(UsageError):
    """An endpoint's settings contradict each other or are out of range."""

    code = "invalid_declaration"


class UnknownPart(UsageError):
    """No active plugin offers a part of that name."""

    code = "unknown_part"


class InvalidOptions(UsageError):
    """A part's options do not fit its schema."""

    code = "invalid_options"


class Unserializable(UsageError):
    """A value cannot be sent. `path` says which part of it, as in `args[1]['model'].lock`."""

    code = "unserializable"

    @property
    def path(self) -> str:
        """Where in the value it stands."""
        return str(self.data.get("path", ""))


class ConfigurationError(UsageError):
    """flashcore.toml, an environment variable or a flag cannot be used."""

    code = "configuration"


class BuildError(FlashcoreError):
    """The project cannot be built. `places` are `file:line:column` strings."""

    code = "build"


class NotFound(FlashcoreError):
    """No such endpoint, revision, replica or job."""

    code = "not_found"


class Refused(FlashcoreError):
    """The platform understood the request and will not do it in this state."""

    code = "refused"


class IllegalMove(Refused):
    """A state does not allow that move."""

    code = "illegal_move"


class Conflict(Refused):
    """Somebody else changed it first; read again and decide again."""

    code = "conflict"


class Unavailable(FlashcoreError):
    """Nothing that could answer is ready, or the server is not running."""

    code = "unavailable"


class DeadlineExceeded(FlashcoreError):
    """It did not happen in time."""

    code = "deadline_exceeded"


class StateError(FlashcoreError):
    """The stored state cannot be used."""

    code = "state"


class StateTooNew(StateError):
    """The state was written by a newer flashcore."""

    code = "state_too_new"


class StateCorrupt(StateError):
    """The state is unreadable. It is never overwritten."""

    code = "state_corrupt"


class StorageFull(FlashcoreError):
    """The disk or the quota is full. Nothing was half-written."""

    code = "storage_full"


class StreamFull(FlashcoreError):
    """More of a job's stream is kept for its readers than may be."""

    code = "stream_full"


class PluginError(FlashcoreError):
    """A plugin failed. `data` holds `plugin`, `distribution` and, where known, `part`."""

    code = "plugin"


class ProtocolError(FlashcoreError):
    """A peer said something that the protocol does not know."""

    code = "protocol"


class IncompatiblePeer(ProtocolError):
    """Two processes have no protocol version in common."""

    code = "incompatible_peer"


class PythonMismatch(IncompatiblePeer):
    """Pickles are exchanged between equal minor versions of Python only."""

    code = "python_mismatch"


class Unauthorized(FlashcoreError):
    """No token, or one that is not valid here."""

    code = "unauthorized"


class SignatureRefused(Unauthorized):
    """A pickled call or reply whose signature does not hold. Nothing of it was unpickled."""

    code = "signature_refused"


class CannotUnpickle(FlashcoreError):
    """A pickled message whose signature holds, and which cannot be read here."""

    code = "cannot_unpickle"


class RemoteError(FlashcoreError):
    """The user's function raised in its replica.

    `type_name` is the remote exception's class name, `remote_traceback` its traceback as text.
    """

    code = "remote_error"

    def __init__(self, message: str, *, type_name: str = "Exception", remote_traceback: str = "", **data: Any) -> None:
        super().__init__(message, type_name=type_name, **data)
        self.type_name = type_name
        self.remote_traceback = remote_traceback

    def __str__(self) -> str:
        """The remote type and message, then the remote traceback where it says more."""
        head, trace = f"{self.type_name}: {self.message}", self.remote_traceback.rstrip()
        return f"{head}\n--- remote traceback ---\n{trace}" if trace not in ("", head.rstrip()) else head


def error_from_json(said: Mapping[str, Any]) -> FlashcoreError:
    """The error that another process described with `as_json`, as an object of the same class where it is known."""
    cls = _class_of(str(said.get("code", "")))
    message, data = (
        str(said.get("message", "unknown error")),
        {"next_step": said.get("next_step"), **said.get("data", {})},
    )
    try:
        return cls(message, **data)
    except TypeError:
        # A class with a constructor of its own cannot be made from what was said of it.
        return FlashcoreError(message, **data)


def _class_of(code: str) -> type[FlashcoreError]:
    pending: list[type[FlashcoreError]] = [FlashcoreError]
    while pending:
        cls = pending.pop()
        if cls.code == code:
            return cls
        pending += cls.__subclasses__()
    return FlashcoreError


def _is_plain(value: object) -> bool:
    return value is None or isinstance(value, str | int | float | bool | list | tuple | dict)
