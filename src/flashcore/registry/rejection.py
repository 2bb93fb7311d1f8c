"""Why a plugin does not take part: raised where that is found out, recorded where plugins are loaded."""

from __future__ import annotations

from flashcore.registry.reports import State


class Rejected(Exception):
    """A plugin cannot be active. The message is one sentence, the next step is for a person."""

    def __init__(self, state: State, reason: str, next_step: str) -> None:
        super().__init__(reason)
        self.state = state
        self.reason = reason
        self.next_step = next_step


def broken(reason: str, next_step: str = "report it to the plugin's author, or switch it off") -> Rejected:
    """The plugin does something that it must not do."""
    return Rejected(State.BROKEN, reason, next_step)


def incompatible(reason: str, next_step: str) -> Rejected:
    """The plugin is made for another version."""
    return Rejected(State.INCOMPATIBLE, reason, next_step)


def told(error: BaseException) -> str:
    """An exception in one line, as a reason shows it."""
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
