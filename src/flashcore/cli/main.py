"""The `flashcore` command. Nothing of a plugin is imported to list commands or to print help."""

from __future__ import annotations

import sys
from collections.abc import Mapping

import click

import flashcore
from flashcore.cli.lazy import LazyCommand, LazyGroup

_COMMANDS: Mapping[str, LazyCommand] = {
    "init": LazyCommand("flashcore.cli.init:init", "Make a new project, or a new plugin."),
    "build": LazyCommand("flashcore.cli.build:build", "Scan the project and write manifest, handlers and artifacts."),
    "deploy": LazyCommand("flashcore.cli.deploy:deploy", "Build, and roll out what changed."),
    "status": LazyCommand("flashcore.cli.status:status", "Show what is deployed and how it is."),
    "call": LazyCommand("flashcore.cli.call:call", "Call an endpoint."),
    "logs": LazyCommand("flashcore.cli.logs:logs", "Show what replicas print."),
    "scale": LazyCommand("flashcore.cli.scale:scale", "Set the number of replicas of an endpoint."),
    "undeploy": LazyCommand("flashcore.cli.undeploy:undeploy", "Drain and remove endpoints."),
    "server": LazyCommand("flashcore.cli.server:server", "Start, stop and inspect the local platform."),
    "plugins": LazyCommand("flashcore.cli.plugins:plugins", "List, show and check plugins."),
    "doctor": LazyCommand("flashcore.cli.doctor:doctor", "Look for what is wrong with this installation and project."),
}


class Root(LazyGroup):
    """The top-level group: the built-in commands, then those of plugins, from the index of plugins."""

    def offered(self) -> Mapping[str, LazyCommand]:
        """Built-in commands win over a plugin's of the same name."""
        return {**_plugin_commands(), **_COMMANDS}


@click.group(cls=Root, lazy=_COMMANDS, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(flashcore.__version__, prog_name="flashcore")
def cli() -> None:
    """Turn decorated Python functions into endpoints and ship new versions without dropping a request."""


def main() -> None:
    """Run the command line."""
    cli(args=sys.argv[1:], prog_name="flashcore")


def _plugin_commands() -> Mapping[str, LazyCommand]:
    return {}
