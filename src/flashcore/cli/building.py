"""Building a project from the command line: plugins loaded, warnings shown."""

from __future__ import annotations

from flashcore.build.project import BuildResult, build
from flashcore.cli import output
from flashcore.composition import load_registry
from flashcore.settings import Project


def build_project(project: Project) -> BuildResult:
    """Build the project, and say what the scan warned of. Raises BuildError with every problem found."""
    registry = load_registry(project)
    built = build(project.root, app=project.settings.app, registry=registry)
    for warning in built.warnings:
        output.say(f"warning: {warning}")
    return built
