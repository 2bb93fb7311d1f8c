"""What a build costs beside the least that it could: reading and hashing the same bytes.

    python benchmarks/bench_build.py [FILES ...]      default: 100 1000

Two shapes of project: `wide`, where one file in fifty declares an endpoint and nobody imports anybody, and `chain`,
where each file imports the next one and the first declares the endpoint. Cold is the first build, warm the second,
with nothing changed. Each figure is the best of three.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from flashcore.build.project import build
from flashcore.registry.index import Setting
from flashcore.registry.opening import open_registry
from flashcore.registry.policy import Policy
from flashcore.registry.registry import Registry

ENDPOINT = """
from flashcore import QueueEndpoint
queue = QueueEndpoint("queue-{number}")

@queue.function
def work(value: int) -> int:
    return value
"""
BODY = "".join(f"\n\ndef function_{n}(a, b):\n    return [a * {n} + b for _ in range({n})]\n" for n in range(40))
ROUNDS = 3


def wide(root: Path, files: int) -> None:
    """One endpoint in fifty files."""
    for number in range(files):
        folder = root / f"pkg_{number // 50}"
        folder.mkdir(exist_ok=True)
        text = ENDPOINT.format(number=number) if number % 50 == 0 else "import json\n"
        (folder / f"m_{number}.py").write_text(text + BODY)


def chain(root: Path, files: int) -> None:
    """One endpoint that needs everything, one file after the other."""
    for number in range(files):
        following = f"import m_{number + 1}\n" if number + 1 < files else ""
        text = ENDPOINT.format(number=number) if number == 0 else ""
        (root / f"m_{number}.py").write_text(following + text + BODY)


@contextmanager
def project(shape: Callable[[Path, int], None], files: int) -> Iterator[Path]:
    """A generated project."""
    root = Path(tempfile.mkdtemp(prefix="flashcore-bench-"))
    try:
        shape(root, files)
        yield root
    finally:
        shutil.rmtree(root)


def read_and_hash(root: Path) -> int:
    """The peer: every file's bytes, once, through sha256; returns their number."""
    size = 0
    for folder, _, names in os.walk(root):
        if ".flashcore" in folder:
            continue
        for name in names:
            data = Path(folder, name).read_bytes()
            hashlib.sha256(data).digest()
            size += len(data)
    return size


def seconds(work: Callable[[], object]) -> float:
    """How long it takes."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def measure(shape: Callable[[Path, int], None], files: int, registry: Registry) -> str:
    """One line of the table."""
    peer: list[float] = []
    cold: list[float] = []
    warm: list[float] = []
    size = 0
    for _ in range(ROUNDS):
        with project(shape, files) as root:
            size = read_and_hash(root)
            peer.append(seconds(lambda root=root: read_and_hash(root)))  # type: ignore[misc]  # bound at once
            for figures in (cold, warm):
                figures.append(seconds(lambda root=root: build(root, app="bench", registry=registry)))  # type: ignore[misc]  # as above
    least = min(peer)
    return (
        f"| {shape.__name__} | {files} | {size / 1e6:.1f} | {least * 1e3:.0f} "
        f"| {min(cold) * 1e3:.0f} ({min(cold) / least:.1f}x) | {min(warm) * 1e3:.0f} ({min(warm) / least:.1f}x) |"
    )


def main(arguments: list[str]) -> None:
    """Print the table."""
    registry = open_registry(Setting(Policy(allowed=()), tuple(sys.path)))
    with project(wide, 1) as root:
        build(root, app="bench", registry=registry)  # imports and schemas are not what is measured
    print("| project | files | MB | read and hash, ms | cold build, ms | warm build, ms |")
    print("|---|---|---|---|---|---|")
    for files in [int(one) for one in arguments] or [100, 1000]:
        for shape in (wide, chain):
            print(measure(shape, files, registry), flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
