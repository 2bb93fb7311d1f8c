"""The built-in resource types pass the kit that all resource types pass."""

from dataclasses import replace

from flashcore.builtin import hooks
from flashcore.hookspecs.records import Part
from flashcore.model.declaration import Policy, Template
from flashcore.model.parts import PartRef
from flashcore.testing.endpoint_examples import QUEUED, ROUTED, SCRIPTED, Example
from flashcore.testing.resource_kit import NOTHING, ResourceTypeKit


class TestQueue(ResourceTypeKit):
    """The type `queue`: functions that are called by jobs."""

    name = "queue"

    def sound(self) -> tuple[Example, ...]:
        """What it is for."""
        return (QUEUED, replace(QUEUED, template=Template(max_concurrency=8)))

    def refused(self) -> tuple[Example, ...]:
        """What it could not serve."""
        return (
            NOTHING,
            SCRIPTED,
            replace(QUEUED, policy=Policy(routing=PartRef("p2c"))),
            replace(QUEUED, policy=Policy(ttl=5.0)),
        )

    def part(self) -> Part:
        """As the built-in hooks offer it."""
        return hooks.flashcore_resource_types()["queue"]


class TestLoadBalanced(ResourceTypeKit):
    """The type `load_balanced`: routes that are called by HTTP."""

    name = "load_balanced"

    def sound(self) -> tuple[Example, ...]:
        """What it is for."""
        return (ROUTED, replace(ROUTED, policy=Policy(routing=PartRef("hash"))))

    def refused(self) -> tuple[Example, ...]:
        """What it could not serve."""
        return (NOTHING, SCRIPTED)

    def part(self) -> Part:
        """As the built-in hooks offer it."""
        return hooks.flashcore_resource_types()["load_balanced"]


class TestWorkerScript(ResourceTypeKit):
    """The type `worker_script`: a script that does the jobs."""

    name = "worker_script"

    def sound(self) -> tuple[Example, ...]:
        """What it is for."""
        return (SCRIPTED,)

    def refused(self) -> tuple[Example, ...]:
        """What it could not serve."""
        return (
            NOTHING,
            QUEUED,
            replace(SCRIPTED, functions=QUEUED.functions),
            replace(SCRIPTED, template=Template(script="work.sh")),
            replace(SCRIPTED, template=Template(script="../work.py")),
            replace(SCRIPTED, template=replace(SCRIPTED.template, max_concurrency=8)),
            replace(SCRIPTED, policy=Policy(routing=PartRef("p2c"))),
        )

    def part(self) -> Part:
        """As the built-in hooks offer it."""
        return hooks.flashcore_resource_types()["worker_script"]
