"""`flashcore build`."""

from __future__ import annotations

from pathlib import Path

import click

from flashcore.cli import output
from flashcore.cli.building import build_project
from flashcore.cli.common import Invocation, command
from flashcore.settings import Project, read_settings


@click.command()
@click.argument("directory", type=click.Path(path_type=Path, exists=True, file_okay=False), required=False)
@command
def build(invocation: Invocation, directory: Path | None) -> None:
    """Scan the project (or DIRECTORY) and write manifest, handlers and artifacts.

    No code of the project is run. What is built is kept under .flashcore/.
    """
    project = invocation.project() if directory is None else _at(directory.resolve(), invocation)
    built = build_project(project)
    if invocation.as_json:
        output.show_json(
            {"manifest": built.manifest, "directory": str(built.directory), "warnings": list(built.warnings)}
        )
        return
    output.show_table(
        ["ENDPOINT", "TYPE", "FUNCTIONS", "REVISION OF THE TEMPLATE"],
        [
            [entry.name, entry.resource, ", ".join(f.name for f in entry.functions), entry.template_digest[:12]]
            for entry in built.manifest.endpoints
        ],
    )
    output.say(f"built in {built.directory}")


def _at(root: Path, invocation: Invocation) -> Project:
    import os

    return Project(root, read_settings(root, os.environ, {"environment": invocation.environment}))
