"""Events as the lines that a person reads while a rollout goes on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from flashcore.cli.reasons import brief

_UNTOLD = frozenset({"revision.created", "replica.created", "replica.starting"})
"""Beginnings whose ends are told."""

_TOLD_ELSEWHERE = frozenset({"deploying", "awaiting_promotion"})
"""Statuses that say what the lines of the rollout and of its replicas say."""


_WITH_REASON = frozenset({"deployment.status", "rollout.restoring", "rollout.failed"})
"""Kinds, beside those of replicas, whose message is a reason."""


class Narrator:
    """Tells the events of one command, each reason once for whom it concerns."""

    def __init__(self) -> None:
        self._told: set[tuple[Any, str]] = set()

    def line(self, event: Mapping[str, Any]) -> str | None:
        """What to say of the next event; None for what is not worth a line."""
        kind, message = str(event["kind"]), str(event.get("message") or "")
        if not kind.startswith("replica.") and kind not in _WITH_REASON:
            return narrate(event)
        reason = (event.get("replica") or event.get("endpoint"), message)
        known = reason in self._told
        self._told.add(reason)
        return narrate({**event, "message": ""} if known else event)


def narrate(event: Mapping[str, Any]) -> str | None:
    """What happened, in a few words; None for what is not worth a line."""
    kind, message = str(event["kind"]), brief(str(event.get("message") or ""))
    if kind in _UNTOLD:
        return None
    subject, _, move = kind.partition(".")
    words = move.replace("_", " ")
    match subject:
        case "replica":
            return f"{words} ({message})" if message else words
        case "deployment" if move == "status":
            return _status(str(event["data"]["status"]), message)
        case "rollout":
            return _rollout(move, event, message)
        case "restart":
            return f"restart {words}" + (f": {message}" if message else "")
        case _:
            return f"{words}: {message}" if message else words


def _status(status: str, message: str) -> str | None:
    if status in _TOLD_ELSEWHERE:
        return None
    words = status.replace("_", " ")
    return f"{words}: {message}" if message else words


def _rollout(move: str, event: Mapping[str, Any], message: str) -> str | None:
    match move:
        case "started":
            return f"rolling out {message.removeprefix('to ')}"
        case "done":
            return f"rolled out: {message}" if message else "rolled out"
        case "traffic" if event["data"].get("percent") is None:
            return None  # by capacity, as always when nobody asks for shares
        case "step" | "traffic":
            return f"{move}: {message}"
        case _:
            words = move.replace("_", " ")
            return f"rollout {words}: {message}" if message else f"rollout {words}"
