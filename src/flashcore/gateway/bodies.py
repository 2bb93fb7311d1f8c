"""Answers that are too large to be put together in memory: their parts are sent in slices, when the client has room."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from flashcore.gateway.http.head import Headers
from flashcore.gateway.http.respond import Response
from flashcore.model.job import Payload
from flashcore.wire.spill import SPILLED_FROM

_SLICE = 3 << 16
"""Bytes; a multiple of three, so that slices in base64 make up the whole in base64."""


@dataclass(frozen=True, slots=True)
class Encoded:
    """Bytes that are told in base64."""

    data: bytes | memoryview

    def __len__(self) -> int:
        """Characters."""
        return -(-len(self.data) // 3) * 4


Part: TypeAlias = bytes | memoryview | Encoded


def is_large(*payloads: Payload | None) -> bool:
    """Whether an answer with these is better sent in slices."""
    return any(payload is not None and len(payload.data) > SPILLED_FROM for payload in payloads)


def sliced(headers: Headers, parts: Sequence[Part]) -> Response:
    """An answer whose body is all these parts, one after another."""
    return Response(200, headers, _slices(parts), length=sum(map(len, parts)))


async def _slices(parts: Sequence[Part]) -> AsyncIterator[bytes]:
    for part in parts:
        data = memoryview(part.data if isinstance(part, Encoded) else part)
        for at in range(0, len(data), _SLICE):
            piece = data[at : at + _SLICE]
            yield base64.b64encode(piece) if isinstance(part, Encoded) else bytes(piece)
            # A client that reads as fast as it is written to would have the loop for itself.
            await asyncio.sleep(0)
