"""The probe `tcp`: connect to the replica's address, and hang up."""

from __future__ import annotations

import asyncio

from flashcore.builtin.reaching import connection_to, unreached
from flashcore.hookspecs.probes import Answer, Finding, ProbeTarget
from flashcore.model.parts import TcpProbe


class TcpProbing:
    """For what speaks no HTTP; an address may be a Unix socket, too."""

    def __init__(self, options: TcpProbe) -> None:
        del options  # it has none to look at

    async def probe(self, target: ProbeTarget, timeout: float) -> Finding:
        """A connection is well. No connection is neutral while it warms up, and failing afterwards."""
        address = target.running.address
        if address is None:
            return unreached(target, "it has no address")
        try:
            async with asyncio.timeout(timeout), connection_to(address):
                return Finding(Answer.OK)
        except TimeoutError:
            return unreached(target, f"no connection within {timeout:g} s")
        except (OSError, ValueError) as error:
            return unreached(target, error)
