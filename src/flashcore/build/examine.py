"""A project as its source shows it: every endpoint checked, nothing written."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from flashcore.build.by_running import Running
from flashcore.build.calls import CallGraph
from flashcore.build.checks import check
from flashcore.build.closure import Closures
from flashcore.build.discover import Discovery
from flashcore.build.drafts import Draft, Drafting
from flashcore.build.evaluate import Evaluator
from flashcore.build.graph import ImportGraph
from flashcore.build.modules import ModuleIndex
from flashcore.build.problems import Place, Problems
from flashcore.build.scan import Scanner
from flashcore.build.sources import Sources
from flashcore.build.tree import SourceFile, SourceTree
from flashcore.build.values import EnvironmentReference
from flashcore.hookspecs.resources import Ingress, ResourceType
from flashcore.model.declaration import Declaration
from flashcore.model.errors import BuildError
from flashcore.model.manifest import FunctionEntry
from flashcore.model.names import EndpointName
from flashcore.model.parts import PartRef
from flashcore.registry.registry import Registry

_EXAMPLE = '''\
    from flashcore import QueueEndpoint
    hello = QueueEndpoint("hello")
    @hello.function
    def greet(name: str) -> str:
        return f"Hello, {name}!"'''


_SCRIPT = "write its path from the project's root, as in 'workers/embed.py'"


@dataclass(frozen=True, slots=True)
class Examined:
    """One endpoint that can be built."""

    declaration: Declaration
    resource: ResourceType
    functions: tuple[FunctionEntry, ...]
    files: tuple[SourceFile, ...]
    """The project's files that its replicas need."""
    place: Place

    @property
    def name(self) -> EndpointName:
        """The endpoint's name, which was checked."""
        return EndpointName(self.declaration.name)


@dataclass(frozen=True, slots=True)
class Examination:
    """All endpoints of a project, by name."""

    tree: SourceTree
    endpoints: tuple[Examined, ...]
    environment: tuple[EnvironmentReference, ...]
    """Variables that settings are read from, with the defaults that stand in for them."""
    warnings: tuple[str, ...]
    searched: tuple[str, ...]
    """The files that were searched for endpoints."""


def examine(tree: SourceTree, registry: Registry, problems: Problems) -> Examination:
    """Look at a project. Raises BuildError with everything that is wrong, `problems` included, and where."""
    examination = survey(tree, registry, problems)
    require_endpoints(examination, problems)
    return examination


def require_endpoints(examination: Examination, problems: Problems) -> None:
    """Raise BuildError with all problems, or because there is nothing to build."""
    problems.raise_if_any()
    if not examination.endpoints:
        raise _nothing_found(examination)


def survey(tree: SourceTree, registry: Registry, problems: Problems, running: Running | None = None) -> Examination:
    """Look at a project. What is wrong becomes a problem, and what is not is in the examination.

    `running` may be asked for settings that cannot be read; None: code of the project is not run.
    """
    _check_names_of_ours(tree, problems)
    sources, index = Sources(tree), ModuleIndex(tree)
    graph = ImportGraph(sources, index)
    evaluator = Evaluator(sources, index, registry.declarations)
    paths = Discovery(tree, graph, evaluator, problems).files()
    scanned = Scanner(sources, evaluator, lambda name: _ingress(registry, name), problems).scan(paths)
    drafts = sorted(
        Drafting(evaluator, registry, problems, running).drafts(scanned), key=lambda draft: draft.declaration.name
    )
    check(drafts, problems)
    calls = CallGraph(sources, index, evaluator.names, _owners(drafts), problems)
    closures = Closures(tree, graph, problems)
    endpoints, warnings = [], list(tree.warnings)
    for draft in drafts:
        functions = tuple(replace(one.entry, calls=calls.calls(_key(one.entry))) for one in draft.served)
        modules = [entry.module for entry in functions]
        if (script := draft.declaration.template.script) is not None:
            if script not in tree.files:
                problems.add(draft.place, f"its script {script!r} is no file of the project", _SCRIPT)
            else:
                modules.append(script)
        closure = closures.of(modules, draft.declaration.template.include, draft.place)
        warnings.extend(
            f"{place}: a module is imported by a computed name, so the archive of {draft.declaration.name!r} holds "
            "the whole project"
            for place in closure.computed
        )
        if draft.is_sound:
            endpoints.append(Examined(draft.declaration, draft.resource, functions, closure.files, draft.place))
    sources.check_syntax(closures.reached, problems)
    sources.forget()
    environment = sorted(evaluator.environment, key=lambda one: (one.place, one.variable))
    return Examination(tree, tuple(endpoints), tuple(environment), tuple(warnings), tuple(paths))


def _check_names_of_ours(tree: SourceTree, problems: Problems) -> None:
    for path in ("flashcore.py", "flashcore/__init__.py"):
        if path in tree.files:
            problems.add(
                Place(path),
                "it hides the package flashcore, which replicas need",
                "rename it",
            )


def _ingress(registry: Registry, resource: str) -> Ingress:
    return registry.resource_types.make(PartRef(resource)).ingress


def _key(entry: FunctionEntry) -> tuple[str, str]:
    return entry.module, entry.qualified_name


def _owners(drafts: Iterable[Draft]) -> Mapping[tuple[str, str], EndpointName]:
    return {_key(one.entry): EndpointName(draft.declaration.name) for draft in drafts for one in draft.served}


def _nothing_found(examination: Examination) -> BuildError:
    tree, paths = examination.tree, examination.searched
    python: list[Any] = list(tree.python_files())
    if not python:
        searched = f"{tree.root} holds no Python files"
    elif not paths:
        searched = f"none of the {len(python)} Python files in {tree.root} mentions flashcore"
    else:
        searched = f"{', '.join(paths[:5])} mention flashcore and declare none"
    return BuildError(
        f"there is no endpoint to build: {searched}",
        next_step=f"declare one, for example in {tree.root / 'main.py'}:\n{_EXAMPLE}",
        places=list(paths),
    )
