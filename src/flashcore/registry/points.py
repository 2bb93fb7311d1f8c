"""The parts of one extension point, by the name that configuration and declarations use."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Generic, TypeVar, cast

from flashcore.hookspecs.records import Part
from flashcore.model.errors import FlashcoreError, PluginError, UnknownPart
from flashcore.model.parts import PartRef
from flashcore.registry.blame import plugin_error
from flashcore.registry.conflicts import Contest
from flashcore.registry.known import package_of
from flashcore.registry.loader import Loaded
from flashcore.registry.near import near_matches
from flashcore.registry.options import Schema, require_no_options
from flashcore.registry.references import resolve
from flashcore.registry.rejection import told
from flashcore.registry.reports import Origin, PluginReport, normal, titled
from flashcore.registry.shape import shortcoming

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Registered:
    """A part that can be used, and whose it is."""

    point: str
    name: str
    part: Part
    origin: Origin

    def __str__(self) -> str:
        """As in `strategy 'canary'`."""
        return titled(self.point, self.name)


class PartRegistry(Generic[T]):
    """The parts of one extension point. `T` is what its factories make.

    `failed` is told of a part that could not be used, with the reason.
    """

    def __init__(self, point: str, loaded: Loaded, failed: Callable[[Registered, str], object]) -> None:
        self._point = point
        self._loaded = loaded
        self._failed = failed
        self._contests = {name: contest for (where, name), contest in loaded.names.items() if where == point}
        self._targets: dict[str, Any] = {}
        self._schemas: dict[str, Schema] = {}

    def names(self) -> tuple[str, ...]:
        """Names that can be used, sorted."""
        return tuple(sorted(name for name, contest in self._contests.items() if contest.winner is not None))

    def __iter__(self) -> Iterator[Registered]:
        """All parts that can be used, by name."""
        return map(self.get, self.names())

    def get(self, name: str) -> Registered:
        """The part of that name. Raises UnknownPart when nobody offers it or nobody can say whose it is."""
        contest = self._contests.get(name)
        if contest is None:
            raise self._unknown(name)
        if contest.winner is None:
            raise self._contested(name, contest)
        origin, offer = contest.winner
        return Registered(self._point, name, offer.part, origin)

    def target(self, name: str) -> Any:
        """What the part's reference names. Raises UnknownPart, or PluginError when it does not resolve."""
        if name not in self._targets:
            found = self.get(name)
            self._targets[name] = self._resolved(found, found.part.ref)
        return self._targets[name]

    def factory(self, name: str) -> Callable[..., T]:
        """What makes the part; what it is called with is written at its extension point. Raises as target() does."""
        factory = self.target(name)
        if not callable(factory):
            found = self.get(name)
            raise self._broken(found, f"{found.part.ref} cannot be called")
        return cast("Callable[..., T]", factory)

    def options(self, ref: PartRef) -> Any:
        """The validated options object, None for a part without options.

        Raises UnknownPart, InvalidOptions, or PluginError when the schema does not resolve.
        """
        found = self.get(ref.name)
        if found.part.options is None:
            require_no_options(ref, str(found))
            return None
        return self._schema(found, found.part.options).read(ref)

    def make(self, ref: PartRef) -> T:
        """The part, made from its options; for the extension points whose factories need nothing else.

        Raises UnknownPart, InvalidOptions, or PluginError when making it fails.
        """
        found = self.get(ref.name)
        factory = self.factory(ref.name)
        arguments = () if found.part.options is None else (self.options(ref),)
        if found.part.options is None:
            require_no_options(ref, str(found))
        try:
            return factory(*arguments)
        except FlashcoreError:
            raise
        except (Exception, SystemExit) as error:  # a plugin's constructor may raise anything
            raise self._broken(found, f"it could not be made: {told(error)}") from error

    def examine(self, name: str) -> None:
        """Resolve all that the part refers to. Raises UnknownPart, or PluginError for the first thing that is wrong."""
        found = self.get(name)
        target = self.target(name)
        problem = shortcoming(self._loaded.points[self._point], target)
        if problem:
            raise self._broken(found, f"{found.part.ref} {problem}")
        if found.part.options is not None:
            self._schema(found, found.part.options)

    def _schema(self, found: Registered, ref: str) -> Schema:
        if found.name not in self._schemas:
            cls = self._resolved(found, ref)
            try:
                self._schemas[found.name] = Schema(cls, str(found))
            except TypeError as error:
                raise self._broken(found, f"{ref}: {error}") from error
        return self._schemas[found.name]

    def _resolved(self, found: Registered, ref: str) -> Any:
        try:
            return resolve(ref, self._loaded.modules.get(found.origin.key))
        except (Exception, SystemExit) as error:
            raise self._broken(found, f"{ref} does not resolve: {told(error)}") from error

    def _broken(self, found: Registered, reason: str) -> PluginError:
        self._failed(found, f"{found}: {reason}")
        return plugin_error(found.origin, str(found), reason)

    def _contested(self, name: str, contest: Contest) -> UnknownPart:
        claimants = [str(origin) for origin, _ in contest.losers]
        first = contest.losers[0][0]
        return UnknownPart(
            f"{titled(self._point, name)} is offered by {' and by '.join(claimants)}, so none of them is used",
            next_step=f"uninstall one, switch one off (--no-plugin {first.distribution or first.name}), "
            f"or let one say replaces={first.distribution or first.name!r}",
            point=self._point,
            name=name,
            offered_by=claimants,
        )

    def _unknown(self, name: str) -> UnknownPart:
        near = near_matches(name, self.names())
        package = package_of(self._point, name)
        absent = [report for report in self._loaded.reports if not report.takes_part]
        culprit = next((report for report in absent if normal(report.origin.distribution) == package), None)
        elsewhere = next((where for where, known in self._loaded.names if known == name), None)
        if elsewhere is not None:
            why = f"there is a {titled(elsewhere, name)}, which is something else"
            step = f"give it where a part of {elsewhere!r} belongs, and another one here"
        elif culprit is not None:
            why = f"it is in {culprit.origin}, which is {culprit.state.words}: {culprit.reason}"
            step = culprit.next_step
        elif package is not None:
            why, step = f"it is in {package}, which is not installed", f"pip install {package}"
        elif near:
            why, step = "no plugin offers it", f"did you mean {' or '.join(map(repr, near))}?"
        else:
            why, step = "no plugin offers it", "install the plugin that has it, then: flashcore plugins list"
        return UnknownPart(
            f"there is no {titled(self._point, name)}: {why}; installed: {', '.join(self.names()) or 'none'}"
            + _told_absent(report for report in absent if report is not culprit),
            next_step=step,
            point=self._point,
            name=name,
            near=near,
            installed=self.names(),
            package=package,
        )


def _told_absent(reports: Iterator[PluginReport]) -> str:
    told_of = [f"{report.origin} is {report.state.words}: {report.reason}" for report in reports]
    return f"; not loaded: {'; '.join(told_of)}" if told_of else ""
