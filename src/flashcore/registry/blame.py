"""Errors that name the plugin behind them."""

from __future__ import annotations

from flashcore.model.errors import PluginError
from flashcore.registry.reports import FRAMEWORK, Origin


def plugin_error(origin: Origin, part: str, reason: str) -> PluginError:
    """That `part` (`strategy 'canary'`, a hook) of that plugin cannot be used, and why."""
    return PluginError(
        f"{part} of {origin} cannot be used: {reason}",
        next_step=remedy(origin),
        plugin=origin.name,
        distribution=origin.distribution,
        version=origin.version,
        part=part,
    )


def remedy(origin: Origin) -> str:
    """What a person can do about a plugin that does not work."""
    if origin.built_in:
        return f"pip install --force-reinstall {FRAMEWORK}"
    if origin.distribution is None:
        return f"correct {origin.name.removeprefix('local:')}, or switch it off: --no-plugin {origin.name}"
    return f"pip install --upgrade {origin.distribution}, or switch it off: --no-plugin {origin.name}"
