"""Whether a project's settings are still those that a process began with."""

from __future__ import annotations

import dataclasses
import os

from flashcore.model.errors import ConfigurationError
from flashcore.settings import Project, Settings, read_settings

_OF_COMMANDS = frozenset({"scan", "api"})
"""What commands go by, which read it anew each time."""


class Configured:
    """The settings that a project's files and variables gave when this was made."""

    def __init__(self, project: Project) -> None:
        self._root = project.root
        self._environment = project.settings.environment
        self._before = self._read()

    def changes(self) -> str:
        """What is different now, in words; empty while nothing is."""
        if isinstance(self._before, str):
            return ""  # it was not by these that the process began
        now = self._read()
        if isinstance(now, str):
            return f"the settings cannot be read any more, those of before go on: {now}"
        changed = [name for name in _restarting() if getattr(now, name) != getattr(self._before, name)]
        return f"restart needed: {', '.join(changed)} changed in the settings after the process started" * bool(changed)

    def _read(self) -> Settings | str:
        try:
            return read_settings(self._root, os.environ, {"environment": self._environment})
        except (ConfigurationError, OSError) as error:
            return str(error)


def _restarting() -> list[str]:
    return [each.name for each in dataclasses.fields(Settings) if each.name not in _OF_COMMANDS]
