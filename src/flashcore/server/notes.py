"""What a person should know of a platform beyond the state of its deployments."""

from __future__ import annotations

from flashcore.composition import Platform
from flashcore.registry.reports import State
from flashcore.server.gateways import GatewayKeeper


def platform_notes(platform: Platform, keeper: GatewayKeeper) -> list[str]:
    """One sentence each, empty when all is well."""
    notes = []
    if keeper.present is None:
        notes.append("the gateway does not run; it is being started")
    for report in platform.registry.reports:
        if report.state not in (State.ACTIVE, State.DISABLED):
            notes.append(f"plugin {report.origin} is {report.state.value}: {report.reason}")
    for gateway in platform.dataplane.gateways():
        if gateway.refused > gateway.applied:
            notes.append(f"gateway {gateway.gateway} refuses table {gateway.refused}: {gateway.reason}")
    return notes
