"""What a call means: JSON for everybody, sealed packages from those who have the key. Nothing unsigned is unpickled."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from flashcore.model.errors import SignatureRefused
from flashcore.model.job import Payload
from flashcore.wire import seal, sealed
from flashcore.wire.memory import memory_for
from flashcore.wire.pickles import BESIDE


class Opener:
    """Reads the calls of one endpoint. For one thread."""

    def __init__(self, endpoint: str, key: seal.SigningKey | None) -> None:
        self._endpoint = endpoint
        self._key = key
        self._nonces = seal.Nonces()

    @classmethod
    def of_process(cls, environ: Mapping[str, str]) -> Opener:
        """That of the replica which this process is."""
        return cls(environ.get("FLASHCORE_ENDPOINT", ""), sealed.key_in(environ))

    def input(self, payload: Payload, job: str) -> Any:
        """A job's input: a JSON value or a SealedCall; an attempt at the same job may have it again.

        Raises ValueError for what is neither, and what `unseal` raises.
        """
        if payload.media == seal.MEDIA:
            # Arrays lie in what is given here, and functions may want to work on them in their place.
            return self.call(_own(payload.data), job)
        if payload.media != "application/json":
            raise ValueError(f"the input is {payload.media}; this worker reads application/json and {seal.MEDIA}")
        return json.loads(bytes(payload.data))

    def call(self, data: seal.Bytes, holder: str) -> sealed.SealedCall:
        """A sealed call; nothing of it is unpickled yet. Raises what `unseal` does, SignatureRefused for a replay."""
        if self._key is None:
            raise SignatureRefused(
                "a pickled call came, and this replica has no key to check it with",
                next_step="deploy again, or call with JSON: set FLASHCORE_CALL_KEY to nothing at the caller",
                reason="no key",
            )
        call = sealed.open_call(self._key, self._endpoint, data)
        self._nonces.take(call.package, holder)
        return call


def _own(data: bytes | memoryview) -> seal.Bytes:
    """The same in memory that can be written to, where there can be arrays in it."""
    if len(data) < BESIDE:
        return data
    memory = memory_for(len(data))
    memory[:] = data
    return memory
