"""The built-in parts come through the same door as anybody's, and nobody in the engine knows their names."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.registry.conftest import Site

from flashcore.model.parts import BUILTIN_FORMS, PartRef
from flashcore.registry.registry import Registry
from flashcore.registry.reports import State

ENGINE = ("build", "composition.py", "control", "gateway", "registry", "server")
"""Rooms that ask the registry for parts. `settings.py` and `model` hold defaults, as words."""

ALSO_A_WORD = {"http", "tcp"}
"""Names of probes that are words of the protocols that the engine speaks."""


@pytest.fixture
def registry(site: Site) -> Registry:
    """The built-in plugin alone."""
    return site.registry()


def test_the_built_in_plugin_is_active(registry: Registry) -> None:
    """Without a note."""
    (report,) = registry.reports

    assert (report.state, report.notes) == (State.ACTIVE, ())


def test_every_built_in_part_is_there_and_has_the_shape_of_its_contract(registry: Registry) -> None:
    """References, options and methods."""
    (report,) = registry.examine()

    assert (report.state, report.reason, report.notes) == (State.ACTIVE, "", ())


def test_every_built_in_form_declares_the_part_of_its_name(registry: Registry) -> None:
    """What the client writes into a declaration is what the scanner reads out of the source."""
    for form, name in BUILTIN_FORMS.items():
        point, declared = registry.declared(f"flashcore:{form.__name__}")

        assert declared == name
        assert registry.point(point).get(name).part.options == f"flashcore.model.parts:{form.__name__}"


def test_every_default_of_a_resource_type_is_offered(registry: Registry) -> None:
    """An endpoint that names no part gets parts that exist."""
    for part in registry.resource_types:
        resource = registry.resource_types.make(PartRef(part.name))

        assert resource.defaults.handler in registry.handler_generators.names()
        registry.probes.options(resource.defaults.probe)
        registry.scalers.options(resource.defaults.scaler)
        registry.routing_policies.options(resource.defaults.routing)
        assert resource.unfit_scalers <= set(registry.scalers.names())


def strings(file: Path) -> Iterator[tuple[int, str]]:
    """The string literals of a module that are no docstrings, with their lines."""
    tree = ast.parse(file.read_text(encoding="utf-8"))
    prose = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in prose:
            yield node.lineno, node.value


def test_no_room_of_the_engine_names_a_built_in_part(registry: Registry, repository: Path) -> None:
    """It asks the registry, so that whatever a user chooses is treated as the built-in parts are."""
    names = {part.name for point in ENGINE_POINTS for part in registry.point(point)} - ALSO_A_WORD
    package = repository / "src" / "flashcore"
    files = [
        file
        for room in ENGINE
        for file in ([package / room] if room.endswith(".py") else (package / room).rglob("*.py"))
    ]

    found = [f"{file.name}:{line}: {text!r}" for file in files for line, text in strings(file) if text in names]

    assert {"rolling", "sqlite", "blue_green", "p2c", "queue_delay", "cloudpickle", "heartbeat"} <= names
    assert found == []


ENGINE_POINTS = (
    "artifact_stores",
    "gates",
    "handler_generators",
    "probes",
    "providers",
    "resource_types",
    "routing_policies",
    "scalers",
    "serializers",
    "state_backends",
    "strategies",
)
