"""Building a project from the command line: plugins loaded, warnings shown."""

from __future__ import annotations

import contextlib
import os
import sys

from flashcore.build.project import BuildResult, build
from flashcore.cli import output
from flashcore.registry.index import setting_of_process
from flashcore.registry.opening import open_registry
from flashcore.settings import Project


def build_project(project: Project) -> BuildResult:
    """Build the project, and say what the scan warned of. Raises BuildError with every problem found."""
    registry = open_registry(setting_of_process(sys.argv[1:], os.environ, project.root))
    with contextlib.closing(registry):
        built = build(project.root, app=project.settings.app, registry=registry)
    for warning in built.warnings:
        output.say(f"warning: {warning}")
    return built
