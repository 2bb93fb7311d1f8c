"""What a gateway serves, remembered for a while: a gateway that is away for a moment is no reason to forget it.

directory = Directory(Carrier(gateway_url))
found = directory.look()
found.manifest.endpoint("jobs")     found.stale is None, or says why the manifest is an old one
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from flashcore.client.carry import Carrier
from flashcore.client.exchange import Conversation, Request, ask
from flashcore.client.failures import error_of
from flashcore.client.job_calls import credentials
from flashcore.model.codec import CodecError, from_json
from flashcore.model.errors import FlashcoreError, ProtocolError
from flashcore.wire.served import ServedManifest

LIFETIME = 30.0
"""Seconds until a manifest is asked for again."""


@dataclass(frozen=True, slots=True)
class Found:
    """A manifest and how old it is."""

    manifest: ServedManifest
    age: float
    """Seconds since the gateway said so."""
    stale: str | None = None
    """Why there is no newer one, where one was asked for."""


class Directory:
    """Asks a gateway what it serves, at most once in `lifetime` seconds. `clock` counts seconds."""

    def __init__(
        self, carrier: Carrier, lifetime: float = LIFETIME, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._carrier = carrier
        self._lifetime = lifetime
        self._clock = clock
        self._known: tuple[ServedManifest, float] | None = None

    def look(self) -> Found:
        """The manifest: known, asked for, or an old one with the reason. Raises what asking does when none is known."""
        now = self._clock()
        if self._known is not None and now - self._known[1] < self._lifetime:
            return Found(self._known[0], now - self._known[1])
        try:
            manifest = self._carrier.carry(served_manifest())
        except FlashcoreError as error:
            if self._known is None:
                raise
            return Found(self._known[0], now - self._known[1], stale=error.message)
        self._known = (manifest, now)
        return Found(manifest, 0.0)


def served_manifest() -> Conversation[ServedManifest]:
    """Ask once. Raises ProtocolError for an answer that is none."""
    response = yield from ask(Request("GET", "/manifest", headers=credentials()))
    if response.status >= 400:
        raise error_of(response, "GET /manifest")
    import json

    try:
        return from_json(ServedManifest, json.loads(bytes(response.body)))
    except (ValueError, CodecError) as error:
        raise ProtocolError(
            f"the answer to GET /manifest cannot be read: {error}",
            next_step="is FLASHCORE_GATEWAY_URL a flashcore gateway?",
        ) from error
