"""The files that an endpoint needs: what its modules import, the data beside them, and what `include` asks for."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from flashcore.build.graph import ImportGraph
from flashcore.build.include import matching, problem_with
from flashcore.build.problems import Place, Problems
from flashcore.build.tree import DataFiles, SourceFile, SourceTree, folder_of


@dataclass(frozen=True, slots=True)
class Closure:
    """An endpoint's files. `computed` are the places for which the whole project had to be taken."""

    files: tuple[SourceFile, ...]
    computed: tuple[Place, ...] = ()


class Closures:
    """Closures within one tree."""

    def __init__(self, tree: SourceTree, graph: ImportGraph, problems: Problems) -> None:
        self._tree = tree
        self._graph = graph
        self._problems = problems
        self._data = DataFiles(tree)
        self._shadowing: set[str] = set()
        self.reached: set[str] = set()
        """Every module that some endpoint imports."""

    def of(self, modules: Iterable[str], include: Iterable[str], declared_at: Place) -> Closure:
        """What an endpoint with functions in these modules needs. What is left out but imported is a problem."""
        reached = self._reached(modules)
        self.reached |= reached
        computed = tuple(sorted(place for path in reached for place in self._graph.of(path).computed))
        if computed:
            files = dict(self._tree.files)
        else:
            folders = {folder_of(path) for path in reached}
            data = (path for folder in folders for path in self._data.of(folder))
            files = {path: self._tree.files[path] for path in (*reached, *data)}
        for file in self._included(include, declared_at):
            files.setdefault(file.path, file)
        self._check_shadows(files)
        return Closure(tuple(files[path] for path in sorted(files)), computed)

    def _reached(self, modules: Iterable[str]) -> set[str]:
        reached: set[str] = set()
        pending = list(modules)
        while pending:
            path = pending.pop()
            if path in reached:
                continue
            reached.add(path)
            self._check(path)
            pending.extend(self._graph.of(path).files)
            pending.extend(self._graph.packages_of(path))
        return reached

    def _check(self, path: str) -> None:
        imports = self._graph.of(path)
        if imports.unparsable is not None:
            self._problems.add(imports.unparsable.place, imports.unparsable.reason, imports.unparsable.advice)
        for absent in imports.left_out:
            self._problems.add(
                absent.place,
                f"it imports {absent.statement}, but {absent.path} is left out of the archive by a rule",
                f"write !{absent.path} into .flashcoreignore",
            )

    def _check_shadows(self, paths: Iterable[str]) -> None:
        """A replica finds the project's modules first, and every library in it would get them for Python's own."""
        for path in sorted(set(paths) - self._shadowing):
            name = _module_at_the_top(path)
            if name in sys.stdlib_module_names:
                self._shadowing.add(path)
                self._problems.add(
                    Place(path),
                    f"it has the name of Python's own module {name!r}, and a replica would import it in place of that",
                    "rename it, or move it into a package",
                )

    def _included(self, patterns: Iterable[str], place: Place) -> Iterator[SourceFile]:
        for pattern in patterns:
            problem = problem_with(pattern)
            found = matching(self._tree.root, pattern)
            if problem or not found:
                self._problems.add(
                    place,
                    f"include: {pattern!r} {problem or 'matches no file'}",
                    "write a pattern from the project's root, as in 'models/*.bin' or 'data/**/*.json'",
                )
            yield from found


def _module_at_the_top(path: str) -> str | None:
    """The name under which a file is imported, if there is no dot in it."""
    if "/" not in path and path.endswith(".py"):
        return path.removesuffix(".py")
    folder, _, rest = path.partition("/")
    return folder if rest == "__init__.py" else None
