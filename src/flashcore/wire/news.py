"""What a data plane tells those who listen to it: not what is, but where to look."""

from __future__ import annotations

from dataclasses import dataclass

from flashcore.model.names import EndpointName


@dataclass(frozen=True, slots=True)
class News:
    """What changed since a listener looked last: of thousands of endpoints nobody can look at all each time."""

    endpoints: frozenset[EndpointName] = frozenset()
    """Those of which a gateway said something."""
    gateways: bool = False
    """One took a table over or refused it, has trouble, came or went."""
