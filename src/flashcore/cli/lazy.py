"""A click group that knows its commands by name and summary, and imports one when it is run."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import dataclass

import click


@dataclass(frozen=True, slots=True)
class LazyCommand:
    """Where a command is, and what the list says of it."""

    ref: str
    """`package.module:attribute` of a click.Command."""
    summary: str


class LazyGroup(click.Group):
    """Lists commands without importing them."""

    def __init__(self, *args: object, lazy: Mapping[str, LazyCommand], **kwargs: object) -> None:
        super().__init__(*args, **kwargs)  # type: ignore[arg-type]  # click's own arguments pass through
        self._lazy = lazy

    def offered(self) -> Mapping[str, LazyCommand]:
        """All commands by name, in the order in which they are listed."""
        return self._lazy

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        """The names of all commands."""
        return list(self.offered())

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 - click's signature
        """Import the command of that name."""
        entry = self.offered().get(cmd_name)
        return None if entry is None else load(entry.ref)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """The command that the line names; one that there is not is answered with the nearest that there is."""
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as error:
            from flashcore.registry.near import did_you_mean

            near = did_you_mean(args[0], self.list_commands(ctx))
            raise click.UsageError(f"{error.message.rstrip('.')}{near}", ctx) from error

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002 - click's signature
        """Write the list from the summaries alone."""
        rows = [(name, entry.summary) for name, entry in self.offered().items()]
        if rows:
            with formatter.section("Commands"):
                formatter.write_dl(rows)


def load(ref: str) -> click.Command:
    """Import the command behind a reference."""
    module, _, attribute = ref.partition(":")
    command = getattr(importlib.import_module(module), attribute)
    if not isinstance(command, click.Command):
        raise TypeError(f"{ref} is a {type(command).__name__}, not a click.Command")
    return command
