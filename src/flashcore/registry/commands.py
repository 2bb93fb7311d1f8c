"""The commands that plugins add to the command line: listed from the survey, imported when they are run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flashcore.hookspecs import EXTENSION_POINTS
from flashcore.registry.blame import plugin_error
from flashcore.registry.importing import import_hooks
from flashcore.registry.references import resolve
from flashcore.registry.rejection import told
from flashcore.registry.reports import Offer, PluginReport
from flashcore.registry.scan import Candidate
from flashcore.registry.shape import shortcoming

if TYPE_CHECKING:
    import click


def load_command(report: PluginReport, offer: Offer) -> click.Command:
    """Import a plugin's command. Raises PluginError, which names the plugin."""
    file = report.source if report.origin.distribution is None else None
    candidate = Candidate(report.origin, report.module, report.source, file=file)
    try:
        local = import_hooks(candidate).require(candidate) if file is not None else None
        command: click.Command = resolve(offer.part.ref, local)
    except (Exception, SystemExit) as error:  # importing runs a plugin's code, which may raise anything
        raise plugin_error(report.origin, str(offer), f"{offer.part.ref} does not resolve: {told(error)}") from error
    problem = shortcoming(EXTENSION_POINTS["commands"], command)
    if problem:
        raise plugin_error(report.origin, str(offer), f"{offer.part.ref} {problem}")
    return command
