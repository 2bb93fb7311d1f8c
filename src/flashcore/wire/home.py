"""What runs as `__main__` here is another module over there: the one that its file is imported as.

A script that declares endpoints and calls them has its classes in `__main__`. To be the same classes at both ends they
travel as names of the module that replicas import; what comes back under that name is `__main__`'s own.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from functools import cache
from io import BytesIO
from pathlib import Path
from pickle import PickleBuffer, Unpickler
from types import FunctionType
from typing import Any

from flashcore.model.layout import find_project

MAIN = "__main__"

_LOCAL_ATTRIBUTE = "__flashcore_local__"


def own_home() -> str | None:
    """The name by which others import what runs as `__main__` here; None where there is no such name."""
    main = sys.modules.get(MAIN)
    spec = getattr(main, "__spec__", None)
    if spec is not None:  # python -m NAME
        name: str = spec.name
        return None if name.endswith(MAIN) else name
    file = getattr(main, "__file__", None)
    return None if file is None else _dotted(file)


def dump_at_home(value: Any, home: str, keep_in: Callable[[PickleBuffer], bool], protocol: int) -> bytes:
    """As cloudpickle does, with what can be found in `__main__` as a name of the module `home`."""
    from cloudpickle import Pickler

    class HomePickler(Pickler):  # type: ignore[misc]  # cloudpickle has no types
        def reducer_override(self, obj: Any) -> Any:
            if _stands_in_main(obj):
                return find_at_home, (home, obj.__qualname__)
            return super().reducer_override(obj)

    file = BytesIO()
    HomePickler(file, protocol, buffer_callback=keep_in).dump(value)
    return file.getvalue()


def load_at_home(data: bytes | memoryview, home: str, buffers: tuple[memoryview, ...]) -> Any:
    """Unpickle, with names of the module `home` found in `__main__`."""

    class HomeUnpickler(Unpickler):
        def find_class(self, module: str, name: str) -> Any:
            return super().find_class(MAIN if module == home else module, name)

    return HomeUnpickler(BytesIO(data), buffers=buffers).load()


def find_at_home(home: str, qualified_name: str) -> Any:
    """The class or function of that name, as its author wrote it. Raises ImportError or AttributeError."""
    return _walk(sys.modules[MAIN] if home == own_home() else importlib.import_module(home), qualified_name)


def _stands_in_main(value: Any) -> bool:
    if not isinstance(value, type | FunctionType) or value.__module__ != MAIN:
        return False
    try:
        return _walk(sys.modules[MAIN], value.__qualname__) is value
    except AttributeError:
        return False  # made within a function: nobody else has it


def _walk(module: Any, qualified_name: str) -> Any:
    found = module
    for part in qualified_name.split("."):
        found = getattr(found, part)
    return getattr(found, _LOCAL_ATTRIBUTE, found)


@cache
def _dotted(file: str) -> str | None:
    path = Path(file).resolve()
    root = find_project(path.parent)
    if root is None:
        return None
    parts = path.relative_to(root).with_suffix("").parts
    return ".".join(parts) if all(part.isidentifier() for part in parts) else None
