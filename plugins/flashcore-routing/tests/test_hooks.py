"""What the package says of itself."""

import dataclasses
import importlib
import subprocess
import sys
from typing import Any

import pytest

import flashcore_routing
from flashcore_routing.hooks import flashcore_routing_policies

POLICIES = {"random", "least_loaded", "first", "prefix_hash", "cache_aware", "bucket"}


def attribute(ref: str) -> Any:
    """What a reference names."""
    module, _, name = ref.partition(":")
    return getattr(importlib.import_module(module), name)


def test_the_policies_that_the_core_lacks_are_offered() -> None:
    """By the names that a declaration uses."""
    assert set(flashcore_routing_policies()) == POLICIES


@pytest.mark.parametrize("name", sorted(POLICIES))
def test_references_lead_to_a_policy_made_from_its_options(name: str) -> None:
    """The registry makes a policy by calling it with its options."""
    part = flashcore_routing_policies()[name]
    options = attribute(str(part.options))()

    policy = attribute(part.ref)(options)

    assert policy.options is options
    assert dataclasses.is_dataclass(options)


@pytest.mark.parametrize("name", sorted(POLICIES))
def test_forms_that_a_declaration_uses_are_exported(name: str) -> None:
    """`from flashcore_routing import PrefixHash` is what the scanner knows by `declares`."""
    public, defined = flashcore_routing_policies()[name].declares

    assert public.removeprefix("flashcore_routing:") in flashcore_routing.__all__
    assert attribute(public) is attribute(defined)
    assert f"{attribute(public).__module__}:{attribute(public).__qualname__}" == defined


def test_every_exported_form_belongs_to_a_policy() -> None:
    """Nothing can be declared that means nothing."""
    declared = {part.declares[0].partition(":")[2] for part in flashcore_routing_policies().values()}

    assert declared == set(flashcore_routing.__all__)


def loaded_by(statement: str) -> set[str]:
    """Modules of flashcore and of this package that a fresh Python has after a statement."""
    script = f"{statement}; import sys; print(*(m for m in sys.modules if m.startswith('flashcore')))"
    return set(
        subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True).stdout.split()
    )


def test_listing_the_package_imports_no_policy() -> None:
    """Fifty plugins import fifty tiny modules and nothing else."""
    loaded = loaded_by("import flashcore_routing.hooks")

    own = {name for name in loaded if name.startswith("flashcore_routing")}
    assert own == {"flashcore_routing", "flashcore_routing.forms", "flashcore_routing.hooks"}


def test_user_code_needs_nothing_of_the_platform() -> None:
    """An artifact has no contracts in it; a declaration is imported there all the same."""
    assert loaded_by("import flashcore_routing") == {"flashcore_routing", "flashcore_routing.forms"}
