"""Opening the registry of a platform: all plugins are found and loaded into this process."""

from __future__ import annotations

import sys

from flashcore.hookspecs import EXTENSION_POINTS
from flashcore.model.errors import PluginError
from flashcore.registry import index
from flashcore.registry.index import Setting
from flashcore.registry.loader import load
from flashcore.registry.local import local_candidate
from flashcore.registry.registry import Registry
from flashcore.registry.reports import PluginReport
from flashcore.registry.scan import scan


def open_registry(setting: Setting) -> Registry:
    """Load the plugins that the setting's policy lets in.

    Those that took down the process that examined them are left out: the kept survey remembers. Raises PluginError
    under a strict policy when a plugin that should work does not.
    """
    known = index.read(setting) or ()
    local = local_candidate(setting.project)
    loaded = load(
        (*scan(setting.path, sys.meta_path), *((local,) if local else ())),
        setting.policy,
        EXTENSION_POINTS,
        crashed={report.origin.key: report.reason for report in known if report.crashed},
    )
    if setting.policy.strict:
        require_healthy(loaded.reports)
    return Registry(loaded)


def require_healthy(reports: tuple[PluginReport, ...]) -> None:
    """Raise PluginError, naming every plugin that should work and does not."""
    ill = [report for report in reports if not report.healthy]
    if not ill:
        return
    listed = "; ".join(f"{report.origin} is {report.state.words}: {report.reason}" for report in ill)
    raise PluginError(
        f"with --strict-plugins every plugin must work: {listed}",
        next_step=ill[0].next_step or "flashcore plugins list",
        plugin=ill[0].origin.name,
        distribution=ill[0].origin.distribution,
        plugins=[str(report.origin) for report in ill],
    )
