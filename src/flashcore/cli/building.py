"""Building a project from the command line: plugins loaded, warnings shown."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from dataclasses import replace

from flashcore.build.options import BuildOptions
from flashcore.build.project import BuildResult, build
from flashcore.cli import output
from flashcore.registry.index import setting_of_process
from flashcore.registry.opening import open_registry
from flashcore.registry.registry import Registry
from flashcore.settings import Project


def build_project(project: Project, options: BuildOptions | None = None) -> BuildResult:
    """Build the project, and say what the scan warned of. Raises BuildError with every problem found."""
    options = replace(options or BuildOptions(), run_imports=project.settings.scan == "import")
    with registry_of(project) as registry:
        built = build(project.root, app=project.settings.app, registry=registry, options=options)
    for warning in built.warnings:
        output.say(f"warning: {warning}")
    return built


@contextlib.contextmanager
def registry_of(project: Project) -> Iterator[Registry]:
    """The parts that the project is built with."""
    with contextlib.closing(open_registry(setting_of_process(sys.argv[1:], os.environ, project.root))) as registry:
        yield registry
