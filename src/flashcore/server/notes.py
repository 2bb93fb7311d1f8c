"""What a person should know of a platform beyond the state of its deployments."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator

from flashcore.composition import Platform
from flashcore.gateway.retired import retired_gateways
from flashcore.registry.doctor import RESTART, restart_findings
from flashcore.registry.index import read, setting_of_process
from flashcore.registry.reports import State
from flashcore.server.gateways import GatewayKeeper
from flashcore.server.silence import is_silent


async def platform_notes(platform: Platform, keeper: GatewayKeeper) -> list[str]:
    """One sentence each, empty when all is well."""
    return [
        *_state_notes(platform),
        *await _silence_notes(platform, keeper),
        *_gateway_notes(platform, keeper),
        *platform.manifests.notes(),
        *_settings_notes(platform),
        *_plugin_notes(platform),
    ]


def _state_notes(platform: Platform) -> Iterator[str]:
    trouble = platform.ledger.backend.trouble
    if trouble is not None:
        yield f"the state cannot be written, and nothing new is decided until it can: {trouble}"


async def _silence_notes(platform: Platform, keeper: GatewayKeeper) -> list[str]:
    present = keeper.present
    if present is None or not await is_silent(present.url) or not present.alive:
        return []
    log = platform.project.layout.logs / "gateway.log"
    said = f"the gateway (pid {present.pid}) does not answer, and calls wait; its log is {log}"
    return [f"{said}; if it hangs, end it (kill -9 {present.pid}): another one is started, with all jobs"]


def _gateway_notes(platform: Platform, keeper: GatewayKeeper) -> Iterator[str]:
    if keeper.present is None:
        yield (
            "the gateway is being replaced" if keeper.is_replacing else "the gateway does not run; it is being started"
        )
    for one in retired_gateways(platform.project.layout):
        yield f"gateway {one.presence.pid} was replaced and finishes what it had begun: {one.rest.under_way} requests"
    for gateway in platform.dataplane.gateways():
        if gateway.refused > gateway.applied:
            yield f"gateway {gateway.gateway} refuses table {gateway.refused}: {gateway.reason}"
        if gateway.trouble:
            yield f"gateway {gateway.gateway} cannot keep jobs: {gateway.trouble}"


def _settings_notes(platform: Platform) -> Iterator[str]:
    changes = platform.configured.changes()
    if changes:
        yield f"{changes} ({RESTART})"


def _plugin_notes(platform: Platform) -> Iterator[str]:
    for report in platform.registry.reports:
        if report.state not in (State.ACTIVE, State.DISABLED):
            yield f"plugin {report.origin} is {report.state.words}: {report.reason}"
    setting = setting_of_process(sys.argv[1:], os.environ, platform.project.root)
    # Only what is known already: a survey that had to be made would hold up everybody who asks for the status.
    for finding in restart_findings(platform.registry.versions(), read(setting) or platform.registry.reports):
        yield f"{finding.message} ({finding.next_step})" if finding.next_step else finding.message
