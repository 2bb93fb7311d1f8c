"""Processes for a handler generator: one that generates as another machine would, one that serves as a replica does."""

from __future__ import annotations

import io
import os
import pickle
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Mapping
from pathlib import Path

from flashcore.build.archive import BytesEntry, write_archive
from flashcore.build.runtime import runtime_entries
from flashcore.hookspecs.handlers import Generated, HandlerGenerator
from flashcore.hookspecs.records import Part
from flashcore.model.declaration import Declaration
from flashcore.model.manifest import FunctionEntry
from flashcore.model.parts import PartRef
from flashcore.testing.conformance import Nonconformance
from flashcore.testing.endpoint_examples import Example
from flashcore.testing.parts import made_by
from flashcore.worker.dependencies import DEPENDENCIES

BUNDLED = "bundled_by_the_kit"
"""A requirement, and the module that it brings: an artifact has it in its folder of dependencies."""

_GENERATE = """
import pickle, sys
from flashcore.testing.handler_processes import generator_of

part, declaration, functions = pickle.loads(sys.stdin.buffer.read())
sys.stdout.buffer.write(pickle.dumps(generator_of(part).generate(declaration, functions)))
"""

_SERVE = """
import sys, threading
from pathlib import Path

from flashcore.worker.load import load_handler
from flashcore.worker.script.declared import WorkerScript

module = load_handler(Path(sys.argv[1]))
others = [one.name for one in threading.enumerate() if one is not threading.main_thread()]
assert not others, f"importing the entry started threads: {others}; start them with the first call"
serves = callable(getattr(module, "handler", None)) or callable(getattr(module, "app", None))
serves = serves or isinstance(getattr(module, "script", None), WorkerScript)
assert serves, "the entry has no `handler` or `app` that can be called, and no `script` that is a WorkerScript"
"""


def generator_of(part: Part) -> HandlerGenerator:
    """The generator that a record is about."""
    made: HandlerGenerator = made_by(part, PartRef("tested"))
    return made


def written_elsewhere(
    part: Part, declaration: Declaration, functions: tuple[FunctionEntry, ...], seed: int
) -> Generated:
    """What the generator writes for another user in another folder, where `seed` gives the order of sets."""
    paths = os.pathsep.join(path or str(Path.cwd()) for path in sys.path)
    with tempfile.TemporaryDirectory(prefix="flashcore-kit-") as home:
        stranger = {
            "PYTHONPATH": paths,
            "PYTHONHASHSEED": str(seed),
            "HOME": home,
            "USER": "stranger",
            "TZ": "Asia/Tokyo",
        }
        done = subprocess.run(
            [sys.executable, "-c", _GENERATE],
            input=pickle.dumps((part, declaration, functions)),
            cwd=home,
            env={**os.environ, **stranger},
            capture_output=True,
            check=False,
        )
    if done.returncode != 0:
        raise Nonconformance(f"any process can generate; seen in another one:\n{done.stderr.decode()[-4000:]}")
    written: Generated = pickle.loads(done.stdout)  # noqa: S301 - a process of our own wrote it
    return written


def trouble_serving(generated: Generated, example: Example) -> str | None:
    """What goes wrong when the artifact is unpacked, its entry imported and the example exercised; None: nothing.

    The functions' files import a module that was bundled with the artifact.
    """
    with tempfile.TemporaryDirectory(prefix="flashcore-kit-") as name:
        _unpack(_artifact(generated, example), Path(name))
        done = subprocess.run(
            [sys.executable, "-P", "-c", _SERVE + example.exercise, str(Path(name, generated.entry))],
            cwd=name,
            env={"PATH": os.environ.get("PATH", ""), "PYTHONPATH": name, "PYTHONDONTWRITEBYTECODE": "1"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
    return None if done.returncode == 0 else done.stderr[-4000:]


def _artifact(generated: Generated, example: Example) -> Mapping[str, str]:
    served = {entry.module for entry in example.functions}
    project = {path: f"import {BUNDLED}\n{text}" if path in served else text for path, text in example.files.items()}
    written = {file.path: file.text for file in generated.files}
    return {**project, **written, f"{DEPENDENCIES}/{BUNDLED}.py": ""}


def _unpack(files: Mapping[str, str], folder: Path) -> None:
    """By way of an archive, as an artifact comes to a replica."""
    packed = io.BytesIO()
    write_archive([*(BytesEntry(path, text.encode()) for path, text in files.items()), *runtime_entries()], packed)
    packed.seek(0)
    with tarfile.open(fileobj=packed) as archive:
        archive.extractall(folder, filter="data")
