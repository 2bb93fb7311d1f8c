"""The built-in handler generators pass the kit that all generators pass."""

from flashcore.builtin import hooks
from flashcore.hookspecs.records import Part
from flashcore.testing.endpoint_examples import ROUTED, SCRIPTED
from flashcore.testing.handler_kit import HandlerGeneratorKit


class TestQueue(HandlerGeneratorKit):
    """The generator `queue`: its handler calls functions."""

    def part(self) -> Part:
        """As the built-in hooks offer it."""
        return hooks.flashcore_handler_generators()["queue"]


class TestLoadBalanced(HandlerGeneratorKit):
    """The generator `load_balanced`: its handler is an application."""

    example = ROUTED

    def part(self) -> Part:
        """As the built-in hooks offer it."""
        return hooks.flashcore_handler_generators()["load_balanced"]


class TestWorkerScript(HandlerGeneratorKit):
    """The generator `worker_script`: its handler names a script."""

    example = SCRIPTED

    def part(self) -> Part:
        """As the built-in hooks offer it."""
        return hooks.flashcore_handler_generators()["worker_script"]
