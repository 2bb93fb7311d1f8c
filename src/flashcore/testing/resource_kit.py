"""What every resource type has to do, as functions that need no test framework, and as a class for pytest.

A resource type's whole test file:

    from flashcore.testing.resource_kit import ResourceTypeKit
    from flashcore_acme import hooks

    class TestCron(ResourceTypeKit):
        name = "cron"
        def part(self): return hooks.flashcore_resource_types()["cron"]

One that is for other endpoints than two functions called by jobs says for which: `def sound(self): return (ROUTED,)` or
`(SCRIPTED,)`, both in `flashcore.testing.endpoint_examples`, or examples of its own; what it refuses says `refused`.

What is promised, by types as unlike as a queue, an endpoint that answers HTTP, a script, and an application of another
framework:

* Nothing changes: the build asks, the controller keeps what it heard, and a platform that is started later asks again.
* Its defaults are parts that there are, with options that they take and that can be stored; its scaler is none that it
  refuses itself.
* A sound declaration has no problems, one that would serve nothing has. Whatever is declared, problems are sentences,
  the same ones each time, and not those that the core finds in any declaration.
* What user code declares is the same whether it is read, as the build does, or run, as a replica does: the class behind
  `declares` has the type's name, and no settings or constructor of its own, which reading would not see.

The functions take a Subject and raise Nonconformance. The parts that a type names are looked for among those of
flashcore and of all plugins that are installed.
"""

from __future__ import annotations

import itertools
import json
import sys
from abc import abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import ClassVar

from flashcore.client.endpoints import Endpoint
from flashcore.hookspecs.records import PART_NAME, Part
from flashcore.hookspecs.resources import Defaults, Ingress, ResourceType
from flashcore.model.codec import from_json, to_json
from flashcore.model.declaration import Bounds, Declaration, Policy, Template
from flashcore.model.declaration import problems as problems_of_any
from flashcore.model.errors import FlashcoreError
from flashcore.model.parts import PartRef
from flashcore.registry.index import Setting
from flashcore.registry.opening import open_registry
from flashcore.registry.policy import Policy as LoadingPolicy
from flashcore.registry.registry import Registry
from flashcore.testing.conformance import Nonconformance, require
from flashcore.testing.endpoint_examples import QUEUED, ROUTED, SCRIPTED, Example
from flashcore.testing.kit import Check, Kit, checks_of
from flashcore.testing.parts import made_by, resolve

MOST_PROBLEMS = 1_000
"""Problems of one declaration after which a type counts as one that never ends."""

NOTHING = Example()
"""An endpoint that says nothing of what it is to serve."""


def installed() -> Registry:
    """The parts of flashcore and of every plugin that is installed."""
    return open_registry(Setting(LoadingPolicy(), tuple(sys.path)))


@dataclass(frozen=True, slots=True)
class Subject:
    """What is tested: the part as its plugin offers it, under its name, and endpoints that it takes and refuses."""

    name: str
    part: Part
    sound: Sequence[Example] = (QUEUED,)
    refused: Sequence[Example] = (NOTHING,)
    registry: Registry = field(default_factory=installed)
    """Where the parts are that it names."""

    def resource(self) -> ResourceType:
        """A fresh one."""
        made: ResourceType = made_by(self.part, PartRef(self.name))
        return made

    def problems(self, example: Example, resource: ResourceType | None = None) -> list[str]:
        """What it finds wrong with an example."""
        asked = resource or self.resource()
        declaration = example.declared("tested", self.name)
        try:
            found = list(itertools.islice(asked.problems(declaration, example.functions), MOST_PROBLEMS))
        except Exception as error:
            raise Nonconformance(f"problems() says what is wrong and raises nothing; seen: {error!r}") from error
        require(len(found) < MOST_PROBLEMS, "problems() comes to an end", found[:3])
        return found


def check_its_word_stays(subject: Subject) -> None:
    """Ingress, defaults and unfit scalers are the same at each look and of each object: others keep what they saw."""
    resource = subject.resource()
    first = (resource.ingress, resource.defaults, resource.unfit_scalers)
    require(isinstance(first[0], Ingress), "ingress is one of Ingress", first[0])
    require(isinstance(first[1], Defaults), "defaults is a Defaults", first[1])
    for again in (resource, subject.resource()):
        seen = (again.ingress, again.defaults, again.unfit_scalers)
        require(
            seen == first, "what a type says of itself is constant: decide by `problems`, not by what came before", seen
        )


def check_defaults_can_be_had(subject: Subject) -> None:
    """An endpoint that names no parts is served by these: they are offered, and take these options."""
    defaults, registry = subject.resource().defaults, subject.registry
    handlers = registry.handler_generators.names()
    require(defaults.handler in handlers, f"the handler generator is one of {', '.join(sorted(handlers))}", defaults)
    for point, ref in (
        ("probes", defaults.probe),
        ("scalers", defaults.scaler),
        ("routing_policies", defaults.routing),
    ):
        require(isinstance(ref, PartRef), f"the default of {point} is a PartRef", ref)
        try:
            registry.point(point).options(ref)
        except FlashcoreError as error:
            raise Nonconformance(f"the default of {point} can be made as it is; seen: {error.message}") from error


def check_defaults_can_be_stored(subject: Subject) -> None:
    """The controller keeps them with the deployment: what is read back is what was written."""
    defaults = subject.resource().defaults
    for ref in (defaults.probe, defaults.scaler, defaults.routing):
        try:
            back = from_json(PartRef, json.loads(json.dumps(to_json(ref))))
        except (FlashcoreError, TypeError, ValueError) as error:
            raise Nonconformance(f"arguments of default parts are JSON values; seen: {ref!r}: {error}") from error
        require(to_json(back) == to_json(ref), "arguments of default parts come back from JSON as they were", ref)


def check_scalers_fit(subject: Subject) -> None:
    """It refuses scalers by their names, and not its own."""
    resource = subject.resource()
    unfit = resource.unfit_scalers
    names = isinstance(unfit, frozenset) and all(isinstance(name, str) and PART_NAME.fullmatch(name) for name in unfit)
    require(names, "unfit_scalers is a frozenset of names of scalers", unfit)
    default = resource.defaults.scaler.name
    require(default not in unfit, "the default scaler fits: take it off unfit_scalers, or name another", default)


def check_what_is_sound_has_no_problems(subject: Subject) -> None:
    """A declaration that the type is for is built; the kit is told of at least one."""
    require(subject.sound, "`sound` has an endpoint that the type is for")
    for example in subject.sound:
        found = subject.problems(example)
        require(not found, f"a sound declaration has no problems ({example.template!r}, {example.policy!r})", found)


def check_what_serves_nothing_is_refused(subject: Subject) -> None:
    """Before anything is deployed: else its replicas fail, one after the other, and the rollout long after."""
    for example in subject.refused:
        found = subject.problems(example)
        shown = f"{example.template!r}, {example.policy!r}, {len(example.functions)} functions"
        require(found, f"what could not serve has a problem, with a word on what to write instead ({shown})")


def check_problems_are_sentences(subject: Subject) -> None:
    """One line each, which goes on from "endpoint 'x': " and does not end with a full stop."""
    for example in _examples(subject):
        for problem in subject.problems(example):
            require(isinstance(problem, str) and problem.strip() == problem != "", "a problem is text", problem)
            require(
                "\n" not in problem and not problem.endswith("."), "a problem is one line, without a full stop", problem
            )


def check_problems_are_the_same_again(subject: Subject) -> None:
    """A type remembers nothing of declarations: one is looked at in any order, and again at the next build."""
    resource = subject.resource()
    first = [subject.problems(example, resource) for example in _examples(subject)]
    require(
        [subject.problems(example, resource) for example in _examples(subject)] == first,
        "equal declarations have equal problems, whatever was asked before: keep nothing between calls",
    )
    fresh = [subject.problems(example) for example in _examples(subject)]
    require(fresh == first, "another object of the type finds the same problems: keep nothing between calls")


def check_problems_are_its_own(subject: Subject) -> None:
    """What is wrong with a declaration of any type the core says; said twice it is two problems."""
    for example in _examples(subject):
        twice = set(subject.problems(example)) & set(problems_of_any(example.declared("tested", subject.name)))
        require(
            not twice, "problems() leaves out what model.declaration.problems() says of any declaration", sorted(twice)
        )


def check_read_is_as_run(subject: Subject) -> None:
    """User code can declare it, and what is declared is what was read: a class of the type's name that adds nothing."""
    require(subject.part.declares, "the record names in `declares` by which import path user code declares the type")
    for path in subject.part.declares:
        try:
            declares = resolve(path)
        except (ImportError, AttributeError) as error:
            raise Nonconformance(f"a replica imports what user code names; seen: {path}: {error}") from error
        ours = isinstance(declares, type) and issubclass(declares, Endpoint)
        require(ours, f"{path} is a class of endpoints: a subclass of QueueEndpoint, LoadBalancedEndpoint or Endpoint")
        require(
            getattr(declares, "resource", None) == subject.name,
            f"{path}.resource is the type's name, {subject.name!r}",
            getattr(declares, "resource", None),
        )
        _require_plain(path, declares, Declaration("tested", subject.name))


class ResourceTypeKit(Kit):
    """Subclass it, call the subclass Test..., and say under which name, and how, its plugin offers the type."""

    checks = checks_of(globals())
    name: ClassVar[str]
    """Under which it is offered."""

    @abstractmethod
    def part(self) -> Part:
        """The record of its hook."""

    def sound(self) -> Sequence[Example]:
        """Endpoints that it is for."""
        return (QUEUED,)

    def refused(self) -> Sequence[Example]:
        """Endpoints that could not serve, each for a reason of its own."""
        return (NOTHING,)

    def registry(self) -> Registry:
        """Where the parts are that it names."""
        return installed()

    def examine(self, check: Check) -> None:
        """Run one check."""
        check(Subject(self.name, self.part(), self.sound(), self.refused(), self.registry()))


def _require_plain(path: str, declares: type[Endpoint], expected: Declaration) -> None:
    try:
        seen = declares(expected.name).declaration
    except Exception as error:
        raise Nonconformance(
            f"{path} takes a name and settings, no more: it is never run at build; seen: {error!r}"
        ) from error
    rule = f"{path} adds no settings: only the project's own subclasses are read with theirs; say it in `problems`"
    require(seen == expected, rule, seen)


def _examples(subject: Subject) -> Iterator[Example]:
    """Those that were given, those of other types, and each with settings that are seldom or that nobody should use."""
    for example in (*subject.sound, *subject.refused, NOTHING, QUEUED, ROUTED, SCRIPTED):
        yield example
        yield replace(example, functions=())
        yield replace(example, functions=example.functions * 3)
        for template in (
            Template(script="../outside"),
            Template(script="", max_concurrency=64),
            Template(gpu_count=-1),
        ):
            yield replace(example, template=template)
        for policy in _policies():
            yield replace(example, policy=policy)


def _policies() -> Iterator[Policy]:
    yield Policy(Bounds(5, 1), max_attempts=0, execution_timeout=-1.0, ttl=float("nan"))
    yield Policy(Bounds(0, 0), execution_timeout=600.0, ttl=1.0)
    yield Policy(
        scaler=PartRef("unheard_of", (1,), {"of": 2}), routing=PartRef("unheard_of"), probe=PartRef("unheard_of")
    )
