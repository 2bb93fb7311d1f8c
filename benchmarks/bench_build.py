"""What a build costs beside the least that it could, reading and hashing the same bytes, and beside parsing them.

    python benchmarks/bench_build.py [--flash] [FILES ...]      default: 1000 5000 20000

The project has files of 6 KB on average. A tenth of them give a function to one of ten endpoints, a fifth are a chain
in which each imports the next one and which an endpoint needs, and the rest have nothing to do with any endpoint.

    read+hash    every Python file, once, through sha256: the limit
    parse        `ast.parse` of every Python file: a peer, what a scanner does that looks at all code
    cold         the first build, in this process
    warm         the second one, of files that did not change
    one changed  a build after a change of one file in the chain
    command      `flashcore build` as a whole, with the start of Python: cold, then warm (CPU)
    --flash      beside it `flash build --no-deps` of runpod-flash, a peer, of the same code with its own decorators on
                 ten functions; once for each size, in an environment that is made the first time

Each figure is the best of three, CPU and wall; each size is measured in a process of its own, whose memory is shown.
"""

from __future__ import annotations

import argparse
import ast
import hashlib
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from flashcore.build.project import build
from flashcore.registry.index import Setting
from flashcore.registry.opening import open_registry
from flashcore.registry.policy import Policy
from flashcore.registry.registry import Registry

ENDPOINTS = 10
AVERAGE = 6 * 1024
ROUNDS = 3
ONE = "--one"
FLASH = "--flash"
FLASH_VERSION = "1.21.0"
FLASH_WITHIN = 300
"""Seconds that one of its builds may take: those of thousands of files take minutes."""

HELPER = '''

def helper_{file}_{number}(first, second=None, *, scale={number}):
    """Compute something of {number}, as the docs say."""
    values = [first * {number} + scale for _ in range({number})]
    if second is not None:
        values.append(second)
    return sorted(values, key=lambda item: item % 7)
'''
SERVED = '''

@remote(queue_{endpoint})
def work_{file}(value: int, other: str = "x") -> list[int]:
    """Work."""
    return [value + helper_{file}_1(value)]
'''


def write_project(root: Path, files: int) -> None:
    """A project of that many files."""
    queues = "".join(f'queue_{one} = QueueEndpoint("queue-{one}")\n' for one in range(ENDPOINTS))
    (root / "flashcore.toml").write_text('app = "bench"\n')
    (root / "resources.py").write_text(f"from flashcore import QueueEndpoint\n{queues}")
    for number in range(files - 1):
        folder = root / f"pkg_{number // 100}"
        folder.mkdir(exist_ok=True)
        (folder / f"m_{number}.py").write_text(_file(number, files))


def _file(number: int, files: int) -> str:
    serving, chain = files // 10, files // 5
    if number < serving:
        first = _import(serving) if number == 0 else ""
        head = f"from flashcore import remote\nfrom resources import queue_{number % ENDPOINTS}\n{first}"
        return head + _body(number) + SERVED.format(endpoint=number % ENDPOINTS, file=number)
    if number < serving + chain:
        return "import os\n" + (_import(number + 1) if number + 1 < serving + chain else "") + _body(number)
    return "import json\nimport os.path\n" + _body(number)


def _import(number: int) -> str:
    return f"from pkg_{number // 100}.m_{number} import helper_{number}_1\n"


def _body(file: int) -> str:
    text = ""
    number = 0
    while len(text) < AVERAGE:
        number += 1
        text += HELPER.format(file=file, number=number)
    return text


def python_files(root: Path) -> Iterator[str]:
    """Paths of the project's own files."""
    for folder, folders, names in os.walk(root):
        folders[:] = [name for name in folders if name != ".flashcore"]
        yield from (f"{folder}/{name}" for name in names if name.endswith(".py"))


def read_and_hash(root: Path) -> int:
    """Every file's bytes, once, through sha256; returns their number."""
    size = 0
    for path in python_files(root):
        with open(path, "rb", buffering=0) as file:  # noqa: PTH123 - the quickest way to read a file
            data = file.read()
        hashlib.sha256(data).digest()
        size += len(data)
    return size


def parse_all(root: Path) -> None:
    """Every file through the parser."""
    for path in python_files(root):
        ast.parse(Path(path).read_bytes())


@dataclass(frozen=True, slots=True, order=True)
class Cost:
    """Seconds of the processor, and on the clock."""

    cpu: float
    wall: float

    def __str__(self) -> str:
        """In milliseconds."""
        return f"{self.cpu * 1e3:.0f} / {self.wall * 1e3:.0f}"


def cost(work: Callable[[], object]) -> Cost:
    """What it takes, children included."""
    began, before = time.perf_counter(), _cpu()
    work()
    return Cost(_cpu() - before, time.perf_counter() - began)


def _cpu() -> float:
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)


@contextmanager
def project(files: int) -> Iterator[Path]:
    """A generated project."""
    root = Path(tempfile.mkdtemp(prefix="flashcore-bench-"))
    try:
        write_project(root, files)
        yield root
    finally:
        shutil.rmtree(root)


def command(root: Path) -> None:
    """`flashcore build`."""
    subprocess.run([sys.executable, "-m", "flashcore", "build"], cwd=root, check=True, capture_output=True)


def flash_here() -> Path | None:
    """The peer's command, installed now if it is not there; None where it cannot be."""
    room = Path(sys.prefix) / "beside" / "runpod-flash" / FLASH_VERSION
    if not (room / "made").exists():
        subprocess.run([sys.executable, "-m", "venv", "--clear", room], check=True)
        install = [str(room / "bin" / "python"), "-m", "pip", "install", "-q", f"runpod-flash=={FLASH_VERSION}"]
        if subprocess.run(install, check=False).returncode != 0:
            return None
        (room / "made").touch()
    return room / "bin" / "flash"


def write_flash_project(root: Path, files: int) -> None:
    """The same code; each of its functions is an endpoint of its own, so that there are as many as ours has."""
    write_project(root, files)
    (root / "resources.py").unlink()
    for path in map(Path, python_files(root)):
        number = int(path.stem.removeprefix("m_"))
        text = path.read_text().replace(f"from resources import queue_{number % ENDPOINTS}\n", "")
        head, decorator = "from flashcore import remote\n", f"@remote(queue_{number % ENDPOINTS})\n"
        if number < ENDPOINTS:
            text = text.replace(head, "from runpod_flash import Endpoint\n").replace("\ndef work", "\nasync def work")
            text = text.replace(decorator, f'@Endpoint(name="queue-{number}", cpu="cpu3c-1-2")\n')
        path.write_text(text.replace(head, "").replace(decorator, ""))


def flash_build(flash: Path, root: Path) -> None:
    """One build of the peer's, with a home of its own: it leaves notes there. Raises subprocess.SubprocessError."""
    subprocess.run(
        [str(flash), "build", "--no-deps", "--python-version", f"{sys.version_info.major}.{sys.version_info.minor}"],
        cwd=root / "project",
        env=os.environ | {"HOME": str(root)},
        check=True,
        capture_output=True,
        timeout=FLASH_WITHIN,
    )


def flash_line(files: int, ours: Cost) -> str:
    """What the peer takes for as many files."""
    shown = f"runpod-flash {FLASH_VERSION}, {files} files"
    flash = flash_here()
    if flash is None:
        return f"{shown}: absent, it cannot be installed here"
    with tempfile.TemporaryDirectory(prefix="flashcore-bench-") as folder:
        root = Path(folder)
        (root / "project").mkdir()
        write_flash_project(root / "project", files)
        try:
            theirs = cost(lambda: flash_build(flash, root))
        except subprocess.TimeoutExpired:
            return f"{shown}: its build did not end within {FLASH_WITHIN} s"
        except subprocess.CalledProcessError as error:
            said = (error.stdout + error.stderr).decode(errors="replace").strip().splitlines()
            return f"{shown}: its build fails: {said[-1] if said else error}"
    return (
        f"{shown}: {theirs} against {ours} of `flashcore build`: "
        f"{theirs.cpu / ours.cpu:.1f}x of the processor, {theirs.wall / ours.wall:.1f}x on the clock"
    )


def measure(files: int, registry: Registry, *, flash: bool) -> str:
    """One line of the table, and one for the peer."""
    figures: dict[str, list[Cost]] = {
        name: [] for name in ("hash", "parse", "cold", "warm", "changed", "first", "second")
    }
    memory = 0.0
    with project(files) as root:
        size = read_and_hash(root)

        def note(name: str, work: Callable[[], object]) -> None:
            figures[name].append(cost(work))

        def built() -> object:
            return build(root, app="bench", registry=registry)

        for _ in range(ROUNDS):
            note("hash", lambda: read_and_hash(root))
            shutil.rmtree(root / ".flashcore", ignore_errors=True)
            note("cold", built)
            note("warm", built)
            changed = root / f"pkg_{files // 1000}" / f"m_{files // 10 + 1}.py"
            changed.write_text(changed.read_text() + "\n")
            note("changed", built)
            memory = memory or resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        note("parse", lambda: parse_all(root))
        for _ in range(ROUNDS):
            shutil.rmtree(root / ".flashcore", ignore_errors=True)
            note("first", lambda: command(root))
            note("second", lambda: command(root))
    best = {name: min(found) for name, found in figures.items()}
    ratio = best["cold"].cpu / best["hash"].cpu
    line = (
        f"| {files} | {size / 1e6:.1f} | {best['hash']} | {best['parse']} | {best['cold']} ({ratio:.1f}x) "
        f"| {best['warm']} | {best['changed']} | {best['first'].cpu * 1e3:.0f}, {best['second'].cpu * 1e3:.0f} "
        f"| {memory:.0f} |"
    )
    return f"{line}\n{flash_line(files, best['first'])}" if flash else line


def main(arguments: list[str]) -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="*", type=int, default=[1000, 5000, 20000])
    parser.add_argument(FLASH, action="store_true")
    parser.add_argument(ONE, action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args(arguments)
    if given.one:
        registry = open_registry(Setting(Policy(allowed=()), tuple(sys.path)))
        with project(10 * ENDPOINTS) as root:
            build(root, app="bench", registry=registry)  # imports and schemas are not what is measured
        print(measure(given.files[0], registry, flash=given.flash), flush=True)
        return
    print("CPU / wall in ms; x: of reading and hashing; memory in MB")
    print("| files | MB | read+hash | parse | cold | warm | one changed | command: cold, warm | memory |")
    print("|---|---|---|---|---|---|---|---|---|", flush=True)
    for files in given.files:
        subprocess.run([sys.executable, __file__, ONE, str(files), *([FLASH] if given.flash else [])], check=True)
    if not given.flash:
        print("runpod-flash, a peer: not asked for (--flash)")


if __name__ == "__main__":
    main(sys.argv[1:])
