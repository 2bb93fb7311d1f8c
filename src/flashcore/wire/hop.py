"""The last hop: how a replica tells that a request for it comes from the gateway, or from who asks if it is well.

Each revision has a key of its own, made of a secret that the platform keeps to itself: who has one replica's key, that
replica's code among them, cannot speak to the replicas of another revision past the gateway.
"""

from __future__ import annotations

import hashlib
import hmac
from pathlib import Path

HOP_HEADER = b"x-flashcore-hop"
KEY_VARIABLE = "FLASHCORE_HOP_KEY"

REFUSED = b"refused"
"""The header's value in the answer to who has another key, or none: a gateway tells it from the application's own."""


def hop_key(secret: str, revision: str) -> str:
    """The key of a revision's replicas."""
    return hmac.new(secret.encode(), b"flashcore hop " + revision.encode(), hashlib.sha256).hexdigest()


def hop_secret(file: Path) -> str:
    """What keys are made of; empty where there is none: then nobody asks for keys."""
    try:
        return file.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError):
        return ""
