"""Which plugins may be loaded. Decided from raw arguments, environment and settings before any plugin is imported.

The command line is read here as well as by the command-line parser: by the time a parser has run, the plugins
that add commands to it have been looked at.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flashcore.registry.reports import Origin


@dataclass(frozen=True, slots=True)
class Ban:
    """A plugin or distribution that is switched off, and where that was said."""

    name: str
    said_by: str


@dataclass(frozen=True, slots=True)
class Policy:
    """Which plugins take part.

    `allowed` is None for all of them, else the only names to load. `strict`: a plugin that should work and does
    not is an error.
    """

    strict: bool = False
    allowed: tuple[str, ...] | None = None
    allowed_by: str = ""
    bans: tuple[Ban, ...] = ()

    def ban_on(self, origin: Origin) -> Ban | None:
        """What keeps this plugin out, None if nothing does. The built-in plugin is always in."""
        if origin.built_in:
            return None
        for ban in self.bans:
            if origin.answers_to(ban.name):
                return ban
        if self.allowed is not None and not any(origin.answers_to(name) for name in self.allowed):
            return Ban(origin.name, self.allowed_by)
        return None


def policy_of(arguments: Sequence[str], environment: Mapping[str, str], configured: Sequence[str] = ()) -> Policy:
    """Read the policy from raw command-line arguments, the environment and the names switched off in settings.

    Arguments: `--no-plugins`, `--no-plugin NAME` (any number), `--strict-plugins`, up to a lone `--`.
    Environment: FLASHCORE_PLUGINS (the only names to load, by comma; empty: none), FLASHCORE_DISABLE_PLUGINS.
    """
    options = list(_before_separator(arguments))
    allowed, allowed_by = _allowed(options, environment)
    bans = [Ban(name, "--no-plugin") for name in _values_of("--no-plugin", options)]
    bans += [
        Ban(name, "FLASHCORE_DISABLE_PLUGINS") for name in _names(environment.get("FLASHCORE_DISABLE_PLUGINS", ""))
    ]
    bans += [Ban(name, "the setting plugins.disable") for name in configured]
    return Policy("--strict-plugins" in options, allowed, allowed_by, tuple(bans))


def policy_arguments(arguments: Sequence[str]) -> tuple[str, ...]:
    """Those of the raw arguments that policy_of reads, for a process that is started on behalf of this one."""
    options = list(_before_separator(arguments))
    flags = [flag for flag in ("--no-plugins", "--strict-plugins") if flag in options]
    return (*flags, *(f"--no-plugin={name}" for name in _values_of("--no-plugin", options)))


def configured_bans(project: Path) -> tuple[str, ...]:
    """Names in `plugins.disable` of a project's flashcore.toml, or in pyproject.toml under [tool.flashcore].

    A file that is no TOML counts as empty: it is for the settings' own reader to complain.
    """
    for name, path in (("flashcore.toml", ()), ("pyproject.toml", ("tool", "flashcore"))):
        table: Any = _read_toml(project / name)
        for key in (*path, "plugins"):
            table = table.get(key, {}) if isinstance(table, dict) else {}
        names = table.get("disable", ()) if isinstance(table, dict) else ()
        if isinstance(names, list) and names:
            return tuple(str(item) for item in names)
    return ()


def _read_toml(file: Path) -> dict[str, Any]:
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return {}
    if "disable" not in text:  # most often true, and then the parser need not be loaded
        return {}
    import tomllib

    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        return {}


def _allowed(options: list[str], environment: Mapping[str, str]) -> tuple[tuple[str, ...] | None, str]:
    if "--no-plugins" in options:
        return (), "--no-plugins"
    if "FLASHCORE_PLUGINS" in environment:
        return _names(environment["FLASHCORE_PLUGINS"]), "FLASHCORE_PLUGINS"
    return None, ""


def _names(text: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(",") if name.strip())


def _before_separator(arguments: Sequence[str]) -> Iterator[str]:
    for argument in arguments:
        if argument == "--":
            return
        yield argument


def _values_of(option: str, arguments: list[str]) -> Iterator[str]:
    for position, argument in enumerate(arguments):
        if argument.startswith(f"{option}="):
            yield argument.removeprefix(f"{option}=")
        elif argument == option and position + 1 < len(arguments):
            yield arguments[position + 1]
