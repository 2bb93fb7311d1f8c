"""The `flashcore` command. Nothing of a plugin is imported to list commands or to print help."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

import click

import flashcore
from flashcore.cli.lazy import LazyCommand, LazyGroup, load
from flashcore.model.errors import ConfigurationError, PluginError
from flashcore.model.layout import find_project
from flashcore.registry.index import commands_of, problems_of, setting_of_process, survey
from flashcore.registry.reports import PluginReport

_COMMANDS: Mapping[str, LazyCommand] = {
    "init": LazyCommand("flashcore.cli.init:init", "Make a new project, or a new plugin."),
    "build": LazyCommand("flashcore.cli.build:build", "Scan the project and write manifest, handlers and artifacts."),
    "dev": LazyCommand("flashcore.cli.dev:dev", "Run the project here, and anew at each change of its code."),
    "lock": LazyCommand("flashcore.cli.lock:lock", "Pin the packages that endpoints depend on, with their hashes."),
    "manifest": LazyCommand("flashcore.cli.manifest:manifest", "Compare manifests, and show their schema."),
    "deploy": LazyCommand("flashcore.cli.deploy:deploy", "Build, and roll out what changed."),
    "status": LazyCommand("flashcore.cli.status:status", "Show what is deployed and how it is."),
    "call": LazyCommand("flashcore.cli.call:call", "Call an endpoint."),
    "logs": LazyCommand("flashcore.cli.logs:logs", "Show what replicas print."),
    "rollout": LazyCommand("flashcore.cli.rollout:rollout", "Look at a rollout, promote, abort, undo, restart."),
    "why": LazyCommand("flashcore.cli.why:why", "Say why an endpoint is as it is, and what it waits for."),
    "hold-traffic": LazyCommand("flashcore.cli.traffic:hold_traffic", "Keep new calls of an endpoint waiting."),
    "release-traffic": LazyCommand("flashcore.cli.traffic:release_traffic", "Let them through again."),
    "cordon": LazyCommand("flashcore.cli.traffic:cordon", "Take a replica out of the traffic."),
    "uncordon": LazyCommand("flashcore.cli.traffic:uncordon", "Put a replica back into the traffic."),
    "scale": LazyCommand("flashcore.cli.scale:scale", "Set the number of replicas of an endpoint."),
    "undeploy": LazyCommand("flashcore.cli.undeploy:undeploy", "Drain and remove endpoints."),
    "token": LazyCommand("flashcore.cli.token:token", "Make, list and revoke tokens."),
    "server": LazyCommand("flashcore.cli.server:server", "Start, stop and inspect the local platform."),
    "simulate": LazyCommand("flashcore.cli.simulate:simulate", "Run a scenario on a virtual clock and check it."),
    "plugins": LazyCommand("flashcore.cli.plugins:plugins", "List, show and check plugins."),
    "doctor": LazyCommand("flashcore.cli.doctor:doctor", "Look for what is wrong with this installation and project."),
}


_PLUGIN_OPTIONS: Mapping[str, int] = {"--no-plugins": 0, "--no-plugin": 1, "--strict-plugins": 0}
"""Options about plugins, with how many values each has. They count wherever they stand on the line."""

_UNWRITTEN = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EROFS})
"""A full disk, or one that went read-only: wherever that shows, it is no mistake of ours."""


class Root(LazyGroup):
    """The top-level group: the built-in commands, then those of plugins, from the survey of plugins."""

    def offered(self) -> Mapping[str, LazyCommand]:
        """All commands; a plugin cannot take the place of a built-in one."""
        return {**self._lazy, **{name: entry for name, entry in _plugin_commands().items() if name not in self._lazy}}

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 - click's signature
        """Import the command of that name; plugins are only looked at for names that are not ours."""
        entry = self._lazy.get(cmd_name)
        return load(entry.ref) if entry is not None else _plugin_command(cmd_name)

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command. Ctrl-C is told apart from failure wherever it comes, also while a command is imported."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            from flashcore.cli import output

            output.say("interrupted")
            raise SystemExit(output.INTERRUPTED) from None

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Name the plugins that do not work, so that a missing command is no riddle."""
        problems = problems_of(_survey())
        if problems:
            with formatter.section("Plugins that do not work (flashcore plugins list)"):
                for problem in problems:
                    formatter.write_text(problem)
        super().format_epilog(ctx, formatter)


@click.group(cls=Root, lazy=_COMMANDS, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(flashcore.__version__, prog_name="flashcore")
@click.option("--no-plugins", is_flag=True, expose_value=False, help="Use the built-in parts only.")
@click.option("--no-plugin", multiple=True, metavar="NAME", expose_value=False, help="Leave this plugin out.")
@click.option("--strict-plugins", is_flag=True, expose_value=False, help="A plugin that does not work is an error.")
def cli() -> None:
    """Turn decorated Python functions into endpoints and ship new versions without dropping a request."""


def main() -> None:
    """Run the command line."""
    try:
        cli(args=list(without_plugin_options(sys.argv[1:])), prog_name="flashcore")
    except OSError as error:
        if error.errno in _UNWRITTEN:
            _give_up_writing(error)
        if not isinstance(error, PermissionError) or error.filename is None:
            raise
        _give_up_for_lack_of_rights(error)


def _give_up_writing(error: OSError) -> NoReturn:
    from flashcore.cli.common import fail
    from flashcore.server.daemon import as_storage_error

    # What is to be written yet would be tried once more at the exit.
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    fail(as_storage_error(error, error.filename or "the output"), as_json=False)


def _give_up_for_lack_of_rights(error: PermissionError) -> NoReturn:
    from flashcore.cli.common import fail

    step = "check its owner and mode: it is somebody else's after a command of another user, of root for instance"
    fail(ConfigurationError(f"{error.filename} cannot be used: {error.strerror}", next_step=step), as_json=False)


def without_plugin_options(arguments: Sequence[str]) -> Iterator[str]:
    """The arguments that are left for the commands; options about plugins are read from the raw line."""
    remaining = iter(arguments)
    for argument in remaining:
        if argument == "--":
            yield argument
            yield from remaining
            return
        name, equals, _ = argument.partition("=")
        if name not in _PLUGIN_OPTIONS:
            yield argument
        elif not equals:
            for _ in range(_PLUGIN_OPTIONS[name]):
                next(remaining, None)


def _plugin_commands() -> Mapping[str, LazyCommand]:
    found = commands_of(_survey())
    return {name: LazyCommand(offer.part.ref, offer.part.summary) for name, (_, offer) in found.items()}


def _plugin_command(name: str) -> click.Command | None:
    found = commands_of(_survey()).get(name)
    if found is None:
        return None
    from flashcore.cli.common import fail
    from flashcore.registry.commands import load_command

    try:
        return load_command(*found)
    except PluginError as error:
        fail(error, as_json=False)


def _survey() -> tuple[PluginReport, ...]:
    return survey(setting_of_process(sys.argv[1:], os.environ, find_project(Path.cwd())))
