"""What a person should know of a platform beyond the state of its deployments."""

from __future__ import annotations

from collections.abc import Iterator

from flashcore.composition import Platform
from flashcore.registry.reports import State
from flashcore.server.gateways import GatewayKeeper


def platform_notes(platform: Platform, keeper: GatewayKeeper) -> list[str]:
    """One sentence each, empty when all is well."""
    return [*_gateway_notes(platform, keeper), *_plugin_notes(platform)]


def _gateway_notes(platform: Platform, keeper: GatewayKeeper) -> Iterator[str]:
    if keeper.present is None:
        yield "the gateway does not run; it is being started"
    for gateway in platform.dataplane.gateways():
        if gateway.refused > gateway.applied:
            yield f"gateway {gateway.gateway} refuses table {gateway.refused}: {gateway.reason}"


def _plugin_notes(platform: Platform) -> Iterator[str]:
    for report in platform.registry.reports:
        if report.state not in (State.ACTIVE, State.DISABLED):
            yield f"plugin {report.origin} is {report.state.value}: {report.reason}"
