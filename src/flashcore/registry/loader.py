"""From candidates to plugins that take part: off, unlike, imported, registered, asked, settled. One report each.

Whatever a plugin does wrong becomes its state; nothing of it reaches another plugin or the program. The order of
loading, and with it the order of calls, depends on names alone: that of a directory listing differs between machines.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from traceback import walk_tb
from types import MappingProxyType, ModuleType

from flashcore import __version__
from flashcore.hookspecs import ExtensionPoint, HookKind
from flashcore.registry import conflicts, offers, requirements
from flashcore.registry.conflicts import Contest
from flashcore.registry.hook_table import HookTable, Implementation
from flashcore.registry.importing import Imported, import_hooks
from flashcore.registry.policy import Policy
from flashcore.registry.rejection import Rejected, broken
from flashcore.registry.reports import Origin, PluginReport, State
from flashcore.registry.scan import Candidate

SLOW_MS = 100.0
"""An import that takes longer is noted: the hooks module of a plugin has nothing to do."""


@dataclass(frozen=True, slots=True)
class Loaded:
    """All plugins after loading."""

    points: Mapping[str, ExtensionPoint]
    table: HookTable
    reports: tuple[PluginReport, ...]
    names: Mapping[tuple[str, str], Contest]
    """Who offers what, by point and name."""
    declarations: Mapping[str, Contest]
    """Who offers what, by import path."""
    modules: Mapping[str, ModuleType]
    """Hooks modules of the plugins that take part, by key of their origin."""


def load(
    candidates: Sequence[Candidate],
    policy: Policy,
    points: Mapping[str, ExtensionPoint],
    *,
    crashed: Mapping[str, str] = MappingProxyType({}),
    announce: Callable[[Origin], object] = lambda _: None,
) -> Loaded:
    """Load the candidates that the policy lets in.

    `crashed` has reasons, by key, not to import plugins that are known to take a process down. `announce` is told of
    each plugin before anything of it is run.
    """
    loading = _Loading(candidates, policy, points, crashed)
    reports = []
    for candidate in candidates:
        announce(candidate.origin)
        reports.append(loading.load(candidate))
    names = conflicts.settle_names(reports)
    declarations = conflicts.settle_declarations(names.values())
    contested = [one for one in (*names.values(), *declarations.values()) if one.losers or one.replaced]
    settled = tuple(conflicts.with_conflicts(report, contested) for report in reports)
    return Loaded(points, loading.table, settled, names, declarations, loading.modules)


class _Loading:
    """What is needed to load one plugin after another."""

    def __init__(
        self,
        candidates: Sequence[Candidate],
        policy: Policy,
        points: Mapping[str, ExtensionPoint],
        crashed: Mapping[str, str],
    ) -> None:
        self.table = HookTable(points.values())
        self.modules: dict[str, ModuleType] = {}
        self._points = points
        self._policy = policy
        self._crashed = crashed
        wanted = (one.origin for one in candidates if policy.ban_on(one.origin) is None)
        self._namesakes = conflicts.same_names(wanted)

    def load(self, candidate: Candidate) -> PluginReport:
        report = PluginReport(
            candidate.origin,
            candidate.module,
            candidate.source,
            State.ACTIVE,
            notes=requirements.notes_on(candidate.requires),
            files=tuple(_metadata_files(candidate)),
        )
        try:
            self._require_wanted(candidate)
        except Rejected as rejected:
            crashed = candidate.origin.key in self._crashed and rejected.state is State.BROKEN
            return replace(report.turned(rejected.state, rejected.reason, rejected.next_step), crashed=crashed)
        return self._imported(candidate, report)

    def _require_wanted(self, candidate: Candidate) -> None:
        origin = candidate.origin
        ban = self._policy.ban_on(origin)
        if ban is not None:
            raise Rejected(State.DISABLED, f"switched off by {ban.said_by}", f"take it out of {ban.said_by} to load it")
        namesakes = [one for one in self._namesakes.get(origin.name, ()) if one != origin]
        if namesakes and not origin.built_in:
            raise Rejected(
                State.CONFLICT,
                f"the entry point {origin.name!r} is also used by {' and by '.join(map(str, namesakes))}",
                f"uninstall one of them, or switch one off: --no-plugin {namesakes[0].distribution}",
            )
        requirements.require_fit(origin, candidate.requires, __version__)
        if origin.key in self._crashed:
            raise broken(self._crashed[origin.key], f"switch it off: --no-plugin {origin.name}")

    def _imported(self, candidate: Candidate, report: PluginReport) -> PluginReport:
        imported = import_hooks(candidate)
        report = replace(
            report,
            import_ms=round(imported.milliseconds, 1),
            heavy=imported.heavy,
            notes=(*report.notes, *_slowness(imported)),
            files=tuple(dict.fromkeys((*report.files, *_files_of(candidate, imported)))),
        )
        try:
            module = imported.require(candidate)
            implementations = self.table.admit(candidate.origin, module)
            report = self._asked(report, implementations)
        except Rejected as rejected:
            self.table.expel(candidate.origin)
            return report.turned(rejected.state, rejected.reason, rejected.next_step)
        self.modules[candidate.origin.key] = module
        return report

    def _asked(self, report: PluginReport, implementations: Iterable[Implementation]) -> PluginReport:
        found = tuple(offers.offers_of(report.origin, implementations))
        hooks = tuple(one.point.name for one in implementations if one.point.kind is not HookKind.REGISTRY)
        return replace(report, offers=found, hooks=hooks, notes=(*report.notes, *offers.notes_on(found, self._points)))


def _slowness(imported: Imported) -> Iterator[str]:
    if imported.milliseconds > SLOW_MS:
        mostly = f", most of it {', '.join(imported.heavy)}" if imported.heavy else ""
        advice = "a hooks module imports flashcore.plugin and nothing else"
        yield f"slow import: {imported.milliseconds:.0f} ms{mostly}; {advice}"


def _metadata_files(candidate: Candidate) -> Iterator[str]:
    if candidate.file is not None:
        yield candidate.file
    elif candidate.source:
        yield str(Path(candidate.source, "entry_points.txt"))


def _files_of(candidate: Candidate, imported: Imported) -> Iterator[str]:
    """Files that the result of an import depends on: the module with its packages, or what the failure points at."""
    if candidate.file is not None:
        return
    steps = candidate.module.partition(":")[0].split(".")
    for length in range(len(steps)):
        module = sys.modules.get(".".join(steps[: length + 1]))
        if module is not None and getattr(module, "__file__", None):
            yield str(module.__file__)
    if imported.failure is not None:
        yield from _files_in(imported.failure)


def _files_in(failure: BaseException) -> Iterator[str]:
    for frame, _ in walk_tb(failure.__traceback__):
        if not frame.f_code.co_filename.startswith("<"):
            yield frame.f_code.co_filename
    if isinstance(failure, SyntaxError) and failure.filename:
        yield failure.filename
