"""Events as the lines that a person reads while a rollout goes on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_UNTOLD = frozenset({"revision.created", "replica.created", "replica.starting"})
"""Beginnings whose ends are told."""


def narrate(event: Mapping[str, Any]) -> str | None:
    """What happened, in a few words; None for what is not worth a line."""
    kind, message = str(event["kind"]), str(event.get("message") or "").strip()
    if kind in _UNTOLD:
        return None
    subject, _, move = kind.partition(".")
    words = move.replace("_", " ")
    match subject:
        case "replica":
            return f"{words} ({message})" if message else words
        case "deployment" if move == "status":
            status = str(event["data"]["status"]).replace("_", " ")
            return f"{status}: {message}" if message else status
        case _:
            return f"{subject} {words}: {message}" if message else f"{subject} {words}"
