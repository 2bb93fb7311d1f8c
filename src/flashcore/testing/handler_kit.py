"""What every handler generator has to do, as functions that need no test framework, and as a class for pytest.

A handler generator's whole test file:

    from flashcore.testing.handler_kit import HandlerGeneratorKit
    from flashcore_acme import hooks

    class TestAcme(HandlerGeneratorKit):
        def part(self): return hooks.flashcore_handler_generators()["acme"]

One that is for HTTP says `example = ROUTED`, one that runs scripts `example = SCRIPTED` (both in
`flashcore.testing.endpoint_examples`), and one for a framework of its own an `Example` with a project of that framework
and an `exercise` that calls it.

What is promised, by generators as unlike as one whose handler calls functions, one whose handler is an application, one
that only names a script, and one that starts somebody else's framework:

* Files are the generator's own: they begin with `handler_`, and no two endpoints have one in common.
* The text follows from the template and the functions, on any machine and day, and not from the policy: an artifact is
  known by its bytes, and another text is another revision, which is rolled out.
* It is Python of the oldest version that replicas may have, whatever is in the declaration.
* It imports what a replica has: `flashcore.worker` and what is below it, the project, the standard library, and what
  `requirements` says, which stands beside the entry for who installs it.
* A replica that imports the entry finds a `handler`, an `app` or a `script` in it that serves the functions. Their
  files import what is beside them, and what was bundled.
* Importing it starts nothing: a process that has threads cannot be forked.

The functions take a Subject and raise Nonconformance.
"""

from __future__ import annotations

import ast
import json
import sys
from abc import abstractmethod
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from importlib.metadata import packages_distributions
from pathlib import PurePosixPath
from typing import ClassVar

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from flashcore.hookspecs.handlers import Generated, GeneratedFile, HandlerGenerator
from flashcore.hookspecs.records import Part
from flashcore.model.declaration import Bounds, Declaration, Policy
from flashcore.model.manifest import FunctionEntry
from flashcore.model.parts import PartRef
from flashcore.testing.conformance import Nonconformance, require
from flashcore.testing.endpoint_examples import QUEUED, Example
from flashcore.testing.handler_processes import BUNDLED, generator_of, trouble_serving, written_elsewhere
from flashcore.testing.kit import Check, Kit, checks_of

OLDEST_PYTHON = (3, 11)
"""The oldest version that replicas may have."""

NAMES = ("a", "a1", "ab", "a-b", "a-b-c", "ab-c", "a-bc", "web", "preview", "x" * 40)
"""Names of endpoints, some of which are one name once their hyphens are gone."""

_TRAVELS = ("flashcore.worker", "flashcore.client", "flashcore.model", "flashcore.wire")
_AWKWARD = ("it's", 'a "quoted" one', "back\\slash", "{braces}", "%s", "ünï", "'''", '"""')


@dataclass(frozen=True, slots=True)
class Subject:
    """What is tested: the part as its plugin offers it, and an endpoint that it is for."""

    part: Part
    example: Example = QUEUED

    def generator(self) -> HandlerGenerator:
        """A fresh one."""
        return generator_of(self.part)

    def declaration(self, name: str = "tested-one") -> Declaration:
        """The example under a name."""
        return self.example.declared(name, "tested")


def check_files(subject: Subject) -> None:
    """Files with paths of their own below the artifact's root, and the entry is a Python file in the root itself."""
    for generated in (
        _generated(subject),
        _generated(replace(subject, example=replace(subject.example, functions=()))),
    ):
        paths = [file.path for file in generated.files]
        require(len(set(paths)) == len(paths), "each file is written once: give every one a path of its own", paths)
        for path in paths:
            whole = PurePosixPath(path).as_posix() == path and ".." not in path.split("/") and "\\" not in path
            require(whole, "a path goes from the artifact's root, with `/`, and has no `..`", path)
            require(path.startswith("handler_"), "file names start with handler_: others are the project's", path)
        require(generated.entry in paths, "the entry is one of the files", generated.entry)
        in_root = generated.entry.endswith(".py") and "/" not in generated.entry
        require(
            in_root, "the entry is a .py file in the root: the project is imported from its folder", generated.entry
        )


def check_no_two_endpoints_share_a_file(subject: Subject) -> None:
    """Not even on a disk that takes capital letters for small ones."""
    owners: dict[str, str] = {}
    for name in NAMES:
        for file in subject.generator().generate(subject.declaration(name), subject.example.functions).files:
            other = owners.setdefault(file.path.lower(), name)
            require(
                other == name,
                f"endpoints {other!r} and {name!r} both have {file.path}: make the path from the whole name",
            )


def check_python_whatever_is_declared(subject: Subject) -> None:
    """What a declaration holds is data: quotes, braces and backslashes in it never become part of the code."""
    for example in _awkward(subject.example):
        for file in _generated(replace(subject, example=example)).files:
            if _is_python(file):
                _parsed(file, f"whatever is declared; here {example.template!r} and {example.functions!r}")


def check_the_same_again(subject: Subject) -> None:
    """Equal input gives equal text, from one generator asked twice and from another."""
    generator = subject.generator()
    first = generator.generate(subject.declaration(), subject.example.functions)
    for again in (generator, subject.generator()):
        seen = again.generate(subject.declaration(), subject.example.functions)
        require(
            seen == first,
            "the same input gives the same files: leave out counters, times and random names",
            _names(seen),
        )


def check_the_same_elsewhere(subject: Subject) -> None:
    """Other processes write the same: in another folder, for another user, with the words of sets in another order."""
    here = _generated(subject)
    for seed in (1, 2):
        there = written_elsewhere(subject.part, subject.declaration(), subject.example.functions, seed)
        changed = sorted({file.path for file in {*here.files} ^ {*there.files}})
        require(
            here == there,
            "another process writes the same text: sort what comes from sets, and write no folder, user or host",
            changed,
        )


def check_a_policy_changes_no_text(subject: Subject) -> None:
    """A change of the policy is applied in place; in the text it would be a new artifact, and so a rollout."""
    here = _generated(subject)
    other = Policy(
        Bounds(3, 9), PartRef("recreate"), execution_timeout=7.0, termination_grace=8.0, ttl=9.0, public=True
    )
    there = _generated(replace(subject, example=replace(subject.example, policy=other)))
    require(
        here == there, "another policy gives the same files: take from the template what a replica runs", _names(there)
    )


def check_imports_are_there(subject: Subject) -> None:
    """Imports name what a replica has; below `if __name__ == "__main__"` also what another cloud's images bring."""
    generated = _generated(subject)
    near = _modules(subject.example.files) | _modules(file.path for file in generated.files) | sys.stdlib_module_names
    required = {canonicalize_name(Requirement(one).name) for one in _requirements(subject)}
    distributions = packages_distributions()
    for file in generated.files:
        for module in _imported(_parsed(file, "as the example is declared").body) if _is_python(file) else ():
            top = module.partition(".")[0]
            offered = {canonicalize_name(name) for name in distributions.get(top, ())}
            if top == "flashcore":
                travels = module == top or any(f"{module}.".startswith(f"{room}.") for room in _TRAVELS)
                require(travels, f"of flashcore an artifact has {', '.join(_TRAVELS)} alone: import these", module)
            elif top not in near:
                rule = f"a replica need not have {module}: name what brings it in requirements()"
                require(offered & required, f"{file.path} imports what a replica has; {rule}", sorted(required))


def check_requirements(subject: Subject) -> None:
    """They are requirements as pip takes them, and stand beside the entry, where a provider reads what to install."""
    requirements = _requirements(subject)
    require(requirements == _requirements(subject), "requirements() is the same at each call", requirements)
    if not requirements:
        return
    generated = _generated(subject)
    beside = PurePosixPath(generated.entry).with_suffix(".json").as_posix()
    text = next((file.text for file in generated.files if file.path == beside), None)
    try:
        listed = None if text is None else json.loads(text).get("requirements")
    except (ValueError, AttributeError):
        listed = None
    require(
        isinstance(listed, list) and set(requirements) <= set(listed),
        f"what requirements() says is in {beside} too, as a list under `requirements`: providers install from there",
        listed,
    )


def check_serves(subject: Subject) -> None:
    """In a process that has the artifact alone, the entry is imported as a replica does it, and answers."""
    template = subject.example.template
    bundling = replace(template, dependencies=(*template.dependencies, BUNDLED))
    generated = _generated(replace(subject, example=replace(subject.example, template=bundling)))
    trouble = trouble_serving(generated, subject.example)
    if trouble is not None:
        raise Nonconformance(f"a replica imports {generated.entry} and serves with it; seen:\n{trouble}")


class HandlerGeneratorKit(Kit):
    """Subclass it, call the subclass Test..., and say how its plugin offers the generator."""

    checks = checks_of(globals())
    example: ClassVar[Example] = QUEUED
    """An endpoint that it is for."""

    @abstractmethod
    def part(self) -> Part:
        """The record of its hook."""

    def examine(self, check: Check) -> None:
        """Run one check."""
        check(Subject(self.part(), self.example))


def _generated(subject: Subject) -> Generated:
    generated = subject.generator().generate(subject.declaration(), subject.example.functions)
    require(isinstance(generated, Generated) and generated.files, "generate() gives a Generated with files", generated)
    texts = all(isinstance(file, GeneratedFile) and isinstance(file.text, str) for file in generated.files)
    require(texts, "the files are GeneratedFiles with text", generated.files)
    return generated


def _names(generated: Generated) -> list[str]:
    return [file.path for file in generated.files]


def _is_python(file: GeneratedFile) -> bool:
    return file.path.endswith(".py")


def _modules(paths: Iterable[str]) -> set[str]:
    """What can be imported of files in the artifact's root, by its first word."""
    return {PurePosixPath(path).parts[0].removesuffix(".py") for path in paths}


def _requirements(subject: Subject) -> tuple[str, ...]:
    requirements = subject.generator().requirements()
    require(isinstance(requirements, tuple), "requirements() is a tuple", requirements)
    for one in requirements:
        try:
            Requirement(one)
        except (InvalidRequirement, TypeError) as error:
            raise Nonconformance(f"a requirement is written as for pip ('starlette>=1'); seen: {one!r}") from error
    return requirements


def _parsed(file: GeneratedFile, when: str) -> ast.Module:
    try:
        return ast.parse(file.text, file.path, feature_version=OLDEST_PYTHON)
    except (SyntaxError, ValueError) as error:
        shown = ".".join(map(str, OLDEST_PYTHON))
        raise Nonconformance(
            f"{file.path} is Python {shown}, {when}: write what is declared with json.dumps() or repr(); seen: {error}"
        ) from error


def _imported(body: Iterable[ast.AST]) -> Iterator[str]:
    for node in body:
        match node:
            case ast.If(test=ast.Compare(left=ast.Name(id="__name__"))):
                continue
            case ast.Import(names=names):
                yield from (alias.name for alias in names)
            case ast.ImportFrom(module=str(module), level=0):
                yield module
            case _:
                yield from _imported(ast.iter_child_nodes(node))


def _awkward(example: Example) -> Iterator[Example]:
    for word in _AWKWARD:
        template = replace(
            example.template,
            max_concurrency=64,
            dependencies=(f"numpy; python_version >= '{word}'",),
            env={"SETTING": word},
            script=None if example.template.script is None else f"tools/{word}.py",
            include=(f"{word}/**",),
        )
        functions = tuple(_moved(entry, word) for entry in example.functions)
        yield replace(example, template=template, functions=functions)


def _moved(entry: FunctionEntry, word: str) -> FunctionEntry:
    route = None if entry.route is None else replace(entry.route, path=f"{entry.route.path}/{word}")
    return replace(entry, module=f"src/{word}/{entry.module}", doc=word, route=route)
