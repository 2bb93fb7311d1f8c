"""`package.module:Attribute` to what it names, imported when it is needed and not before."""

from __future__ import annotations

import importlib
from types import ModuleType
from typing import Any

from flashcore.registry.local import LOCAL_MODULE


def resolve(ref: str, local: ModuleType | None = None) -> Any:
    """What the reference names. `local` is a project's own plugin, which is no module that an import would find.

    Raises whatever importing raises, and AttributeError.
    """
    module_name, _, path = ref.partition(":")
    found: Any = local if local is not None and module_name == LOCAL_MODULE else importlib.import_module(module_name)
    for name in path.split("."):
        found = getattr(found, name)
    return found
