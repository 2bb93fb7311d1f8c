"""Commands: a plugin's own sub-commands of `flashcore`.

The record's ref is a `click.Command`; it is imported when the command is run, its summary is shown without.
"""

from __future__ import annotations

from collections.abc import Mapping

from flashcore.hookspecs.markers import hookspec
from flashcore.hookspecs.records import Part

API = range(1, 2)
CAPABILITIES: frozenset[str] = frozenset()


@hookspec
def flashcore_commands() -> Mapping[str, Part]:  # type: ignore[empty-body]  # a hookspec has no body
    """Offer commands by name (hyphens are written as underscores)."""
