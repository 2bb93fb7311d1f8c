"""`flashcore build`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from flashcore.build.options import BuildOptions, names_of, target
from flashcore.build.project import BuildResult
from flashcore.build.syntax import minor_version
from flashcore.cli import output
from flashcore.cli.building import build_project
from flashcore.cli.common import Invocation, command, project_at


@click.command()
@click.argument("directory", type=click.Path(path_type=Path, exists=True, file_okay=False), required=False)
@click.option("--no-deps", is_flag=True, help="Bundle no dependencies: whoever runs the artifacts installs them.")
@click.option("--keep-build", is_flag=True, help="Leave what is in each artifact beside it, to look at.")
@click.option(
    "--output",
    "target_file",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Also write manifest, handlers and artifacts into one .tar.gz file; dependencies are bundled.",
)
@click.option("--exclude", default="", metavar="PKG,...", help="Packages that the image has, and what only they need.")
@click.option("--python-version", metavar="X", help="Bundle dependencies for this Python, as in 3.12.")
@click.option("--platform", metavar="P", help="Bundle dependencies for this platform: linux-amd64 or linux-arm64.")
@command
def build(invocation: Invocation, directory: Path | None, target_file: Path | None, **given: Any) -> None:
    """Scan the project (or DIRECTORY) and write manifest, handlers and artifacts.

    No code of the project is run. What is built is kept in .flashcore/build/. Dependencies are bundled where a
    platform, a Python version or an output file is named; they come from flashcore.lock where there is one.
    """
    project = invocation.project() if directory is None else project_at(directory.resolve(), invocation)
    meant = target(given["platform"], given["python_version"], here=minor_version())
    elsewhere = any((given["platform"], given["python_version"], target_file))
    options = BuildOptions(meant if elsewhere and not given["no_deps"] else None, names_of(given["exclude"]))
    built = build_project(project, options)
    if given["keep_build"]:
        from flashcore.build.keep_files import unpack_all

        unpack_all(built.manifest, built.artifacts, built.directory)
    if target_file is not None:
        from flashcore.build.export import export

        export(built.directory, target_file)
    _show(invocation, built, target_file)


def _show(invocation: Invocation, built: BuildResult, target_file: Path | None) -> None:
    if invocation.as_json:
        output.show_json(
            {
                "manifest": built.manifest,
                "directory": str(built.directory),
                "warnings": list(built.warnings),
                "output": None if target_file is None else str(target_file.resolve()),
            }
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
    if target_file is not None:
        output.say(f"written to {target_file} ({target_file.stat().st_size / 1e6:.1f} MB)")
