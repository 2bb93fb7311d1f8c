"""From what was scanned to declarations that can be deployed, with everything checked that is one endpoint's own."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from packaging.requirements import InvalidRequirement, Requirement

from flashcore.build.by_running import Running
from flashcore.build.evaluate import Evaluator
from flashcore.build.problems import Place, Problems
from flashcore.build.scan import Scan, Served
from flashcore.build.values import CannotRead, Resource
from flashcore.client.settings import declaration_of, read_settings
from flashcore.hookspecs.resources import ResourceType
from flashcore.model.declaration import Declaration, problems
from flashcore.model.errors import FlashcoreError, InvalidName
from flashcore.model.names import endpoint_name
from flashcore.model.parts import PartRef
from flashcore.registry.registry import Registry

_POINTS = {"strategy": "strategies", "scaler": "scalers", "routing": "routing_policies", "probe": "probes"}
"""The extension point of each setting that names a part."""

_VERSION = re.compile(r"3\.\d+")
_CORRECT = "correct the settings of the declaration"


@dataclass(frozen=True, slots=True)
class Draft:
    """One endpoint on its way into the manifest."""

    declaration: Declaration
    resource: ResourceType
    place: Place
    served: tuple[Served, ...]
    is_sound: bool = True
    """Nothing was found wrong with it so far. One that is not is looked at further, so that all is said at once."""


class Drafting:
    """Makes drafts; what is wrong becomes a problem at the place of the setting."""

    def __init__(
        self, evaluator: Evaluator, registry: Registry, found: Problems, running: Running | None = None
    ) -> None:
        """`running` may be asked for settings that cannot be read; None: code of the project is not run."""
        self._running = running
        self._evaluator = evaluator
        self._registry = registry
        self._problems = found

    def drafts(self, scan: Scan) -> list[Draft]:
        """A draft for each endpoint that can be made one of."""
        made = (self._draft(resource, scan) for resource in scan.resources)
        return [draft for draft in made if draft is not None]

    def _draft(self, resource: Resource, scan: Scan) -> Draft | None:
        before = len(self._problems)
        declaration = self._declaration(resource)
        if declaration is None:
            return None
        served = tuple(one for one in scan.served if one.resource is resource)
        kind = self._registry.resource_types.make(PartRef(resource.kind.resource))
        if len(self._problems) == before:
            self._check_as_a_whole(declaration, kind, resource, served)
        self._check_settings(declaration, kind, resource)
        return Draft(declaration, kind, resource.place, served, len(self._problems) == before)

    def _declaration(self, resource: Resource) -> Declaration | None:
        """What can be read of it, without a name where there is none that can be used; None: nothing can."""
        if self._running is not None and not self._is_readable(resource):
            try:
                return self._running.declaration(resource.place)
            except CannotRead as error:
                self._problems.add(error.place, error.why, error.advice)
                return None
        return declaration_of(self._name(resource), resource.kind.resource, self._values(resource))

    def _is_readable(self, resource: Resource) -> bool:
        settings = [*resource.settings.values(), *([] if resource.name is None else [resource.name])]
        try:
            for setting in settings:
                self._evaluator.setting(setting)
        except CannotRead:
            return False
        return True

    def _name(self, resource: Resource) -> str:
        if resource.name is None:
            shown = resource.kind.shown
            self._problems.add(resource.place, "the endpoint has no name", f"write {shown}('name', ...)")
            return ""
        try:
            name = self._evaluator.setting(resource.name)
            if isinstance(name, str):
                return endpoint_name(name)
            self._problems.add(resource.name.place, f"an endpoint's name is text, not {name!r}", "write it in quotes")
        except CannotRead as error:
            self._problems.add(error.place, f"the endpoint's name cannot be read: {error.why}", error.advice)
        except InvalidName as error:
            self._problems.add(resource.name.place, error.message, error.next_step or _CORRECT)
        return ""

    def _values(self, resource: Resource) -> dict[str, Any]:
        """Those of its settings that can be used."""
        values: dict[str, Any] = {}
        for name, setting in resource.settings.items():
            try:
                given = self._evaluator.setting(setting)
            except CannotRead as error:
                self._problems.add(error.place, f"{name} cannot be read: {error.why}", error.advice)
                continue
            read, wrong = read_settings({name: given})
            values |= read
            for message in wrong.values():
                self._problems.add(setting.place, message, _CORRECT)
        return values

    def _check_as_a_whole(
        self, declaration: Declaration, kind: ResourceType, resource: Resource, served: tuple[Served, ...]
    ) -> None:
        """Settings beside each other. Where one could not be read nobody can say what fits it."""
        functions = tuple(one.entry for one in served)
        for message in (*problems(declaration), *kind.problems(declaration, functions)):
            self._problems.add(resource.place, f"{_shown(declaration)}: {message}", _CORRECT)

    def _check_settings(self, declaration: Declaration, kind: ResourceType, resource: Resource) -> None:
        """Each setting by itself."""
        for name, message, advice in (*self._part_problems(declaration, kind), *_template_problems(declaration)):
            setting = resource.settings.get(name)
            place = resource.place if setting is None else setting.place
            self._problems.add(place, f"{_shown(declaration)}: {message}", advice)

    def _part_problems(self, declaration: Declaration, kind: ResourceType) -> Iterator[tuple[str, str, str]]:
        policy = declaration.policy
        for setting, point in _POINTS.items():
            ref: PartRef | None = getattr(policy, setting)
            if ref is not None:
                yield from self._unusable(setting, point, ref)
        for gates in policy.gates.values():
            for gate in gates:
                yield from self._unusable("gates", "gates", gate)
        provider = declaration.template.provider
        if provider is not None and provider.name not in self._registry.providers.names():
            yield from self._unusable("provider", "providers", provider)
        if policy.scaler is not None and policy.scaler.name in kind.unfit_scalers:
            fit = ", ".join(sorted(set(self._registry.scalers.names()) - kind.unfit_scalers))
            yield "scaler", f"the scaler {policy.scaler.name!r} does not fit its type", f"use one of: {fit}"

    def _unusable(self, setting: str, point: str, ref: PartRef) -> Iterator[tuple[str, str, str]]:
        try:
            self._registry.point(point).options(ref)
        except FlashcoreError as error:
            yield setting, f"{setting}: {error.message}", error.next_step or _CORRECT


def _shown(declaration: Declaration) -> str:
    return f"endpoint {declaration.name!r}" if declaration.name else "an endpoint"


def _template_problems(declaration: Declaration) -> Iterator[tuple[str, str, str]]:
    template = declaration.template
    for requirement in template.dependencies:
        try:
            Requirement(requirement)
        except InvalidRequirement as error:
            reason = str(error).partition("\n")[0]
            yield "dependencies", f"{requirement!r} is no requirement: {reason}", "write it as for pip: 'numpy>=2'"
    if template.python_version is not None and not _VERSION.fullmatch(template.python_version):
        yield "python_version", f"{template.python_version!r} is no minor version of Python", "write it as in '3.12'"


def by_name(drafts: list[Draft]) -> Mapping[str, list[Draft]]:
    """Drafts by the name of their endpoint; those that have one."""
    found: dict[str, list[Draft]] = {}
    for draft in (draft for draft in drafts if draft.declaration.name):
        found.setdefault(draft.declaration.name, []).append(draft)
    return found
