"""The survey of all plugins, kept in a file, so that help and listings need not import any plugin.

A survey is good as long as nothing it was made from has changed: every directory and archive on the search path (an
installation, an upgrade or a removal changes one of them, so the versions of all distributions are covered), the hooks
module of each plugin, its entry points, and the project's own plugin file. Times are compared for equality: a clock
that was set back does no harm. What a survey is made *for* (interpreter, path, policy, project) picks the file.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import threading
import time
import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from flashcore import __version__
from flashcore.registry.local import local_candidate
from flashcore.registry.policy import Policy, configured_bans, policy_of
from flashcore.registry.reports import Offer, PluginReport, report_from_json, report_to_json
from flashcore.registry.scan import foreign_finders, metadata_directories

FORMAT = 1
"""Raised when a survey's form or meaning changes; a file of another format is made anew."""

_KEPT = 32
"""Surveys on disk; those of environments that are gone would otherwise pile up."""

_TICK = 50_000_000
"""Nanoseconds. A file may change twice within one tick of a file system's clock; what was written just now is not
trusted to stay unchanged."""

Stamp = tuple[str, int, int]
"""Path, time of change in nanoseconds, size; -1 for what is not there."""


@dataclass(frozen=True, slots=True)
class Setting:
    """What a survey is made for."""

    policy: Policy
    path: tuple[str, ...]
    """Directories and archives in which to look, in order."""
    project: Path | None = None
    """Root of the project whose own plugin takes part."""
    finders: tuple[str, ...] = ()
    """Names of import finders of unknown kind: what they know can change without a trace, so nothing is kept."""
    cache: Path | None = None
    """Directory of the kept surveys; None keeps none."""

    @property
    def identity(self) -> list[Any]:
        """What must be equal for a kept survey to be about the same thing."""
        local = local_candidate(self.project)
        interpreter = [sys.implementation.cache_tag, sys.prefix, sys.version]
        policy = {**asdict(self.policy), "strict": None}
        made_for = [FORMAT, __version__, interpreter, self.path, policy, local and local.source]
        return list(json.loads(json.dumps(made_for)))

    @property
    def file(self) -> Path | None:
        """Where its survey is kept."""
        if self.cache is None or self.finders:
            return None
        return self.cache / f"plugins-{zlib.crc32(json.dumps(self.identity).encode()):08x}.json"


def setting_of_process(
    arguments: Sequence[str], environment: Mapping[str, str], project: Path | None = None
) -> Setting:
    """What the present process would load, given its raw arguments, its environment and its project's root."""
    configured = configured_bans(project) if project is not None else ()
    return Setting(
        policy=policy_of(arguments, environment, configured),
        path=_search_path(sys.path),
        project=project,
        finders=tuple(foreign_finders(sys.meta_path)),
        cache=_cache_directory(environment),
    )


def survey(setting: Setting) -> tuple[PluginReport, ...]:
    """All plugins: as kept, or examined now by a process of its own and then kept. Never raises for a plugin's sake."""
    kept = read(setting)
    if kept is not None:
        return kept
    from flashcore.registry.refresh import examine

    stamps = [*map(stamp, setting.path)]
    reports = examine(setting)
    write(setting, reports, stamps)
    return reports


def read(setting: Setting) -> tuple[PluginReport, ...] | None:
    """The kept survey, None if there is none that is readable, ours and up to date."""
    file = setting.file
    if file is None:
        return None
    try:
        if file.stat().st_uid != os.geteuid():  # another user's file could make us import what they like
            return None
        kept = json.loads(file.read_text(encoding="utf-8"))
        if kept["identity"] != setting.identity or not all(_unchanged(one) for one in kept["stamps"]):
            return None
        return tuple(report_from_json(report) for report in kept["reports"])
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        return None


def write(setting: Setting, reports: Sequence[PluginReport], stamps: Sequence[Stamp]) -> None:
    """Keep a survey, whole or not at all; `stamps` of the search path were taken before it was made.

    A directory that cannot be written to is no error: the next process makes the survey again.
    """
    file = setting.file
    all_stamps = [*stamps, *map(stamp, _watched(setting, reports))]
    if file is None or _just_written(all_stamps):
        return
    kept = {"identity": setting.identity, "stamps": all_stamps, "reports": [report_to_json(one) for one in reports]}
    temporary = file.with_suffix(f".{os.getpid()}-{threading.get_ident()}.tmp")
    try:
        file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        temporary.write_text(json.dumps(kept), encoding="utf-8")
        temporary.replace(file)
        _forget_oldest(file.parent)
    except OSError:
        with contextlib.suppress(OSError):
            temporary.unlink()


def stamp(path: str | Path) -> Stamp:
    """The present state of a file or directory."""
    try:
        found = Path(path).stat()
    except OSError:
        return (str(path), -1, -1)
    return (str(path), found.st_mtime_ns, found.st_size)


def commands_of(reports: Iterable[PluginReport]) -> dict[str, tuple[PluginReport, Offer]]:
    """The commands that plugins add, by the name that is typed. A name that two plugins claim belongs to neither."""
    claims: dict[str, list[tuple[PluginReport, Offer]]] = {}
    for report in reports:
        if report.takes_part:
            for offer in report.offers:
                if offer.point == "commands":
                    claims.setdefault(offer.name.replace("_", "-"), []).append((report, offer))
    return {name: claim[0] for name, claim in sorted(claims.items()) if len(claim) == 1}


def problems_of(reports: Iterable[PluginReport]) -> list[str]:
    """One line for each plugin that does not work, for the end of a help page."""
    return [f"{one.origin} is {one.state.words}: {one.reason}" for one in reports if not one.healthy]


def _search_path(path: Iterable[str]) -> tuple[str, ...]:
    here = str(Path.cwd())
    entries = (entry or here for entry in path)
    # The working directory belongs to the setting only if it holds a distribution; else each would have its survey.
    return tuple(dict.fromkeys(one for one in entries if one != here or metadata_directories(Path(one))))


def _cache_directory(environment: Mapping[str, str]) -> Path | None:
    if environment.get("FLASHCORE_NO_CACHE"):
        return None
    if environment.get("XDG_CACHE_HOME"):
        return Path(environment["XDG_CACHE_HOME"]) / "flashcore"
    home = environment.get("HOME")
    if not home:
        return None
    return Path(home) / ("Library/Caches" if sys.platform == "darwin" else ".cache") / "flashcore"


def _watched(setting: Setting, reports: Iterable[PluginReport]) -> Iterable[str]:
    yield from dict.fromkeys(file for report in reports for file in report.files)
    if setting.project is not None:
        yield from (str(setting.project / name) for name in ("flashcore.toml", "pyproject.toml"))


def _unchanged(kept: list[Any]) -> bool:
    return list(stamp(kept[0])) == kept


def _just_written(stamps: Iterable[Stamp]) -> bool:
    now = time.time_ns()
    return any(abs(now - changed) < _TICK for _, changed, _ in stamps)


def _forget_oldest(directory: Path) -> None:
    kept = sorted(directory.glob("plugins-*.json"), key=lambda file: file.stat().st_mtime, reverse=True)
    for file in kept[_KEPT:]:
        file.unlink(missing_ok=True)
