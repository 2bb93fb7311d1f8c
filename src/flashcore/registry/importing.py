"""Importing a hooks module so that whatever it does is known and stays its own affair."""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import signal
import sys
import threading
import time
import zlib
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import FrameType, ModuleType
from typing import Self

from flashcore.registry.blame import remedy
from flashcore.registry.local import belongs_to_another
from flashcore.registry.rejection import Rejected, broken, told
from flashcore.registry.reports import State
from flashcore.registry.scan import Candidate

_HEAVY = 20
"""Modules of one package; importing fewer is not worth a name."""
_MOST_NAMED = 5


@dataclass(frozen=True, slots=True)
class Imported:
    """What came of an import. `failure` is the exception that ended it, then there is no module."""

    module: ModuleType | None
    failure: BaseException | None
    milliseconds: float
    heavy: tuple[str, ...]

    def require(self, candidate: Candidate) -> ModuleType:
        """The module. Raises Rejected when there is none."""
        if self.module is not None:
            return self.module
        failure = self.failure
        if isinstance(failure, Rejected):
            raise failure
        reason = told(failure) if failure is not None else "nothing was imported"
        raise broken(f"{candidate.module} cannot be imported: {reason}", remedy(candidate.origin)) from failure


def import_hooks(candidate: Candidate) -> Imported:
    """Import a plugin's hooks module. Raises nothing but a KeyboardInterrupt that came from the keyboard."""
    before = set(sys.modules)
    started = time.perf_counter()
    module: ModuleType | None = None
    failure: BaseException | None = None
    # What a plugin prints while it is imported would spoil the output of a command with --json.
    with _Interrupts() as interrupts, contextlib.redirect_stdout(sys.stderr):
        try:
            module = _import(candidate)
        except BaseException as error:  # noqa: BLE001 - sys.exit in a plugin is the plugin's failure, not our end
            failure = error
    if isinstance(failure, KeyboardInterrupt) and interrupts.seen:
        raise failure
    milliseconds = (time.perf_counter() - started) * 1000
    own = candidate.module.partition(".")[0]
    return Imported(module, failure, milliseconds, _heaviest(set(sys.modules) - before, own))


def _import(candidate: Candidate) -> ModuleType:
    if candidate.file is not None:
        return _import_file(candidate.module, Path(candidate.file))
    if ":" in candidate.module:
        raise broken(
            f"its entry point must name a module, not {candidate.module!r}", "report it to the plugin's author"
        )
    return importlib.import_module(candidate.module)


def _import_file(name: str, file: Path) -> ModuleType:
    if belongs_to_another(file):
        raise Rejected(
            State.DISABLED,
            f"{file} belongs to another user, or others may write to it",
            "look at it, then make it yours: chown, chmod go-w",
        )
    # Two projects in one process have a file of the same name each; dataclasses need the module to be in sys.modules.
    unique = f"_{name}_{zlib.crc32(bytes(file)):08x}"
    spec = importlib.util.spec_from_file_location(unique, file)
    if spec is None or spec.loader is None:
        raise ImportError(f"{file} is no Python module")
    module = importlib.util.module_from_spec(spec)
    sys.modules[unique] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[unique]
        raise
    return module


class _Interrupts:
    """Tells an interrupt from the keyboard from a KeyboardInterrupt that a plugin raised.

    The exceptions look the same; only the signal tells. Signals reach the main thread alone.
    """

    def __init__(self) -> None:
        self.seen = False
        self._before: Callable[[int, FrameType | None], object] | None = None

    def __enter__(self) -> Self:
        before = signal.getsignal(signal.SIGINT)
        if threading.current_thread() is threading.main_thread() and callable(before):
            self._before = before
            signal.signal(signal.SIGINT, self._note)
        return self

    def __exit__(self, *_: object) -> None:
        if self._before is not None:
            signal.signal(signal.SIGINT, self._before)

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.seen = True
        if self._before is not None:
            self._before(number, frame)


def _heaviest(loaded: set[str], own: str) -> tuple[str, ...]:
    counts = Counter(name.partition(".")[0] for name in loaded)
    ranked = [name for name, count in counts.most_common() if count >= _HEAVY and name not in (own, "flashcore")]
    return tuple(ranked[:_MOST_NAMED])
