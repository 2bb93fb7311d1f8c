"""User code from an artifact: modules by their file's path, functions and classes by their qualified name."""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import os
import re
import sys
import zlib
from collections.abc import Mapping, Sequence
from importlib.machinery import FileFinder
from pathlib import Path
from types import ModuleType
from typing import Any

from flashcore.model.codec import CodecError, from_json
from flashcore.model.errors import BuildError, FlashcoreError
from flashcore.model.manifest import FunctionEntry, FunctionKind
from flashcore.worker.functions import FunctionTable, LoadedClass, LoadedFunction

LOCAL_ATTRIBUTE = "__flashcore_local__"
"""What a decorated object holds under this name is the function or class as its author wrote it."""


def load_functions(root: Path, entries: Sequence[Mapping[str, Any]]) -> FunctionTable:
    """Import the modules that `entries` (JSON of FunctionEntry) name and construct their classes, in this order.

    `root` is the artifact's folder; it is put in front of `sys.path` if it is not there. Whatever user code raises
    comes through as it is. Raises BuildError for an entry that does not fit the code.
    """
    _forget_folders()
    return FunctionTable([_load(root.resolve(), _read_entry(entry)) for entry in entries])


def _forget_folders() -> None:
    """Forget what was found in the folders of `sys.path`: an artifact may have been unpacked a moment ago.

    `importlib.invalidate_caches` does as much, and imports the readers of distributions' metadata, with `email` and
    `zipfile`, to empty their caches too: 5 ms of every start.
    """
    for folder, finder in list(sys.path_importer_cache.items()):
        if finder is None:  # there was no such folder
            del sys.path_importer_cache[folder]
        elif isinstance(finder, FileFinder):
            finder.invalidate_caches()


def load_module(root: Path, relative: str) -> ModuleType:
    """The module of the file at `relative` (with `/`) below `root`, imported once.

    Its name is the dotted one that other modules import it by, where there is such a name and nobody else's module
    has it; names that are no identifiers (`03_workers.a-b`) are fine. Otherwise it gets a name of its own.
    """
    _put_in_front(root)
    path = (root / relative).resolve()
    dotted = _dotted_name(relative)
    if dotted is not None and _finds(dotted, path):
        return importlib.import_module(dotted)
    return import_file(_own_name(relative, path), path)


def load_handler(path: Path) -> ModuleType:
    """The generated handler at `path`, imported once, and with it the user's code."""
    _put_in_front(path.resolve().parent)
    return import_file(f"flashcore_handler_{path.stem}", path)


def import_file(name: str, path: Path) -> ModuleType:
    """Import a file under `name`, once. Raises BuildError if there is no such file."""
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None or not path.is_file():
        raise BuildError(f"{path} is not a Python file that could be imported", next_step="deploy again")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        # As the import system does: nobody shall find a module that was imported by half.
        sys.modules.pop(name, None)
        raise
    return module


def _read_entry(entry: Mapping[str, Any]) -> FunctionEntry:
    try:
        return from_json(FunctionEntry, entry)
    except CodecError as error:
        raise BuildError(f"a function entry cannot be read: {error}", next_step="run: flashcore build") from error


def _load(root: Path, entry: FunctionEntry) -> LoadedFunction | LoadedClass:
    target = as_written(_attribute(load_module(root, entry.module), entry))
    if not callable(target):
        raise _misfit(entry, f"is a {type(target).__name__}, which cannot be called")
    if entry.kind is not FunctionKind.CLASS:
        return LoadedFunction(entry, target)
    if not isinstance(target, type):
        raise _misfit(entry, f"is a {type(target).__name__}, not a class")
    return LoadedClass.construct(entry, target)


def as_written(value: Any) -> Any:
    """The function or class itself, without what flashcore's decorators put in its place."""
    if inspect.isfunction(value):
        return value  # a decorator around one of ours, which has copied its attributes
    return getattr(value, LOCAL_ATTRIBUTE, value)


def _attribute(module: ModuleType, entry: FunctionEntry) -> Any:
    found: Any = module
    for part in entry.qualified_name.split("."):
        if not hasattr(found, part):
            raise _misfit(entry, "is not defined when the module is imported here")
        found = getattr(found, part)
    return found


def _misfit(entry: FunctionEntry, problem: str) -> FlashcoreError:
    return BuildError(
        f"{entry.module}:{entry.line}: {entry.qualified_name} {problem}",
        next_step="define it at module level, whatever the environment",
        places=[f"{entry.module}:{entry.line}"],
    )


def _put_in_front(root: Path) -> None:
    if str(root) not in sys.path:
        sys.path.insert(0, str(root))


def _dotted_name(relative: str) -> str | None:
    parts = relative.removesuffix(".py").split("/")
    if parts[-1] == "__init__":
        parts.pop()
    return ".".join(parts) if parts and not any("." in part for part in parts) else None


def _finds(dotted: str, path: Path) -> bool:
    """Whether importing that name would give the module of that file, and not one of the same name elsewhere."""
    loaded = sys.modules.get(dotted)
    if loaded is not None:
        return _is_file(getattr(loaded, "__file__", None), path)
    parent = dotted.rpartition(".")[0]
    if parent and parent in sys.modules and not hasattr(sys.modules[parent], "__path__"):
        return False
    try:
        spec = importlib.util.find_spec(dotted)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{dotted}.".startswith(f"{error.name}."):
            raise  # a parent package is there and needs something that is not
        return False
    return spec is not None and _is_file(spec.origin, path)


def _is_file(name: str | None, path: Path) -> bool:
    return name is not None and Path(name).resolve() == path


def _own_name(relative: str, path: Path) -> str:
    readable = re.sub(r"\W", "_", relative.removesuffix(".py"))
    return f"flashcore_user_{readable}_{zlib.crc32(os.fsencode(path)):08x}"
