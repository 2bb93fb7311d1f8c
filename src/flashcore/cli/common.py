"""What all commands share: the options that say where and how, and the one place where errors become exit codes."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn, ParamSpec, TypeVar

import click

from flashcore.cli import output
from flashcore.model.errors import FlashcoreError
from flashcore.settings import Project, open_project, read_settings

P = ParamSpec("P")
R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class Invocation:
    """Where a command was called and how it should answer."""

    directory: Path
    environment: str | None
    as_json: bool

    def project(self) -> Project:
        """The project around the directory. Raises ConfigurationError when there is none."""
        return open_project(self.directory, flags={"environment": self.environment})


def project_at(root: Path, invocation: Invocation) -> Project:
    """The project of exactly that folder, whether it has a file of settings or not."""
    return Project(root, read_settings(root, os.environ, {"environment": invocation.environment}))


def command(function: Callable[..., R]) -> Callable[..., None]:
    """Give a command `--env`, `--project` and `--json`, and turn errors of ours into messages and exit codes.

    The function gets an `Invocation` first.
    """

    @click.option("--env", "environment", metavar="NAME", help="Environment; default from the settings: production.")
    @click.option(
        "--project",
        "near",
        type=click.Path(path_type=Path, exists=True, file_okay=False),
        default=Path(),
        help="A folder of the project; default: this one.",
    )
    @click.option("--json", "as_json", is_flag=True, help="Answer with one JSON document.")
    @functools.wraps(function)
    def run(environment: str | None, near: Path, as_json: bool, **options: Any) -> None:  # noqa: FBT001 - click names it
        invocation = Invocation(near.resolve(), environment, as_json)
        try:
            function(invocation, **options)
        except FlashcoreError as error:
            fail(error, as_json=as_json)
        except KeyboardInterrupt:
            output.say("interrupted")
            raise SystemExit(output.INTERRUPTED) from None

    return run


def fail(error: FlashcoreError, *, as_json: bool) -> NoReturn:
    """Say the error and leave with its exit code."""
    if as_json:
        output.show_json({"error": error.as_json()})
    else:
        output.show_error(error)
    raise SystemExit(output.exit_code(error))
