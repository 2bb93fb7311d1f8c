"""Canonical JSON (RFC 8785) and the digests made from it: the same value has the same digest in any language."""

from __future__ import annotations

import hashlib
from typing import Any

import rfc8785

from flashcore.model.codec import to_json
from flashcore.model.names import Digest


def canonical_bytes(value: Any) -> bytes:
    """The canonical form of a value that model.codec can encode. Raises rfc8785.CanonicalizationError otherwise."""
    return rfc8785.dumps(to_json(value))


def digest(value: Any) -> Digest:
    """sha256 of the canonical form."""
    return Digest(hashlib.sha256(canonical_bytes(value)).hexdigest())
