"""Findings about plugins and about our own distribution, as values; printing them is somebody else's."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from flashcore.model.layout import find_project
from flashcore.registry.index import Setting, setting_of_process, survey
from flashcore.registry.near import did_you_mean
from flashcore.registry.policy import Policy
from flashcore.registry.reports import FRAMEWORK, PluginReport, State
from flashcore.registry.requirements import FOREIGN


class Severity(Enum):
    """How bad a finding is."""

    FINE = "fine"
    NOTE = "note"
    WRONG = "wrong"


RESTART = "flashcore server stop --keep-serving, flashcore server start, flashcore server restart-gateway: calls go on"
"""What to do where processes have other plugins than are installed."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at, and what to do about it."""

    severity: Severity
    message: str
    next_step: str = ""


def plugin_findings(directory: Path, arguments: Sequence[str] | None = None) -> Iterator[Finding]:
    """All findings for the present process with its arguments and environment, in the project around `directory`."""
    setting = _setting(directory, arguments)
    reports = survey(setting)
    yield from name_clash(setting.path)
    yield from state_findings(reports)
    yield from policy_findings(setting.policy, reports)


def restart_findings_here(loaded: Mapping[str, str], directory: Path) -> Iterator[Finding]:
    """As `restart_findings`, by what the present process would load in the project around `directory`."""
    return restart_findings(loaded, survey(_setting(directory, None)))


def _setting(directory: Path, arguments: Sequence[str] | None) -> Setting:
    given = sys.argv[1:] if arguments is None else arguments
    return setting_of_process(given, os.environ, find_project(directory))


def state_findings(reports: Iterable[PluginReport]) -> Iterator[Finding]:
    """One finding for each plugin's state, and one for each note on it."""
    for report in reports:
        about = f"plugin {report.origin} is {report.state.words}"
        if report.healthy:
            severity = Severity.FINE if report.state is State.ACTIVE else Severity.NOTE
            yield Finding(severity, f"{about}: {report.reason}" if report.reason else about, "")
        else:
            yield Finding(Severity.WRONG, f"{about}: {report.reason}", report.next_step)
        for note in report.notes:
            yield Finding(Severity.NOTE, f"plugin {report.origin}: {note}")


def policy_findings(policy: Policy, reports: Iterable[PluginReport]) -> Iterator[Finding]:
    """Names that somebody wrote to allow or switch off plugins, and that no plugin answers to."""
    origins = [report.origin for report in reports]
    known = {name for origin in origins for name in (origin.name, origin.distribution) if name}
    named = [(ban.name, ban.said_by) for ban in policy.bans]
    named += [(name, policy.allowed_by) for name in policy.allowed or ()]
    for name, said_by in named:
        if not any(origin.answers_to(name) for origin in origins):
            yield Finding(Severity.NOTE, f"{said_by} names {name!r}, which is not installed{did_you_mean(name, known)}")


def restart_findings(loaded: Mapping[str, str], reports: Iterable[PluginReport]) -> Iterator[Finding]:
    """What changed since a process loaded its plugins; `loaded` is what `Registry.versions` said there."""
    installed = {report.origin.key: report.origin.version or "" for report in reports if report.takes_part}
    for key in sorted(loaded.keys() | installed.keys()):
        before, now = loaded.get(key), installed.get(key)
        if before == now:
            continue
        change = "was installed" if before is None else "was removed" if now is None else f"went from {before} to {now}"
        yield Finding(
            Severity.NOTE,
            f"restart needed: plugin {key} {change} after the process started",
            RESTART,
        )


def name_clash(path: Sequence[str]) -> Iterator[Finding]:
    """The distribution `flashcore` is another project, with an import package of the same name as ours."""
    from importlib_metadata import distributions

    for foreign in distributions(name=FOREIGN, path=list(path)):
        theirs = [str(file) for file in foreign.files or () if str(file).startswith(f"{FOREIGN}/")]
        ours = Path(__file__).parents[1]
        same_folder = Path(str(foreign.locate_file(FOREIGN))).resolve() == ours.resolve()
        effect = (
            "they overwrite each other's files" if same_folder else "whichever is first on the path hides the other"
        )
        yield Finding(
            Severity.WRONG,
            f"the distribution {FOREIGN} {foreign.version} is another project and brings a package {FOREIGN} too "
            f"({len(theirs)} files): {effect}",
            f"pip uninstall {FOREIGN}, then pip install --force-reinstall {FRAMEWORK}",
        )
