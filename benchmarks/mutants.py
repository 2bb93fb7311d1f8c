"""Breaks the code on purpose, one place at a time, and sees whether the tests notice.

    python benchmarks/mutants.py src/flashcore/builtin/rolling.py tests/strategies
    python benchmarks/mutants.py 'src/flashcore/builtin/sqlite/*.py' --sample 30
    python benchmarks/mutants.py --all [--sample 60] [--seed 1]

A mutant is one small change: a comparison turned or moved by one, `and` for `or`, a number changed, a `not` taken away,
an operator swapped, a branch turned. Each is put into a copy of the package in a folder of its own, where tests are run
until the first fails: those that are named, or those that this script knows to belong to the file. What survives them
is given to those behind `--then`. A mutant that survives them all is either no change at all (it is then
listed as equivalent, with the reason, in docs/mutants.md) or a test that is missing.
"""

from __future__ import annotations

import argparse
import ast
import os
import random
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path, PurePath

ROOT = Path(__file__).resolve().parent.parent
TIMEOUT, TEST_TIMEOUT = 240, 30
"""Seconds for all tests of one mutant, and for one test: a mutant that hangs is noticed."""

Stage = tuple[str, ...]
"""Tests that are run together, the likeliest to notice first."""


def _stage(folder: str, names: str) -> Stage:
    return tuple(f"tests/{folder}/test_{name}.py" for name in names.split())


STATE_KIT, JOBS_KIT = _stage("stores", "sqlite_state"), ("tests/stores/test_sqlite_jobs.py::TestSqliteJobs",)
STATE = _stage("stores", "sqlite_files full_disk backup ledger leadership state_machine")
JOBS = _stage(
    "stores", "sqlite_jobs job_commits job_promises journal lanes job_history sqlite_files full_disk jobs_machine"
)
FILES = _stage("stores", "sqlite_writer sqlite_files full_disk job_commits sqlite_jobs backup leadership")
CALLS = _stage("gateway", "workers jobs_api polling races store_away")
ROUTES = _stage("gateway", "circuit resilience proxying")
TARGETS: dict[str, tuple[Stage, ...]] = {
    "src/flashcore/builtin/rolling.py": (("tests/strategies", "tests/control/test_rolling_updates.py"),),
    "src/flashcore/builtin/blue_green.py": (("tests/strategies", "tests/control/test_blue_green.py"),),
    "src/flashcore/builtin/recreate.py": (("tests/strategies", "tests/control"),),
    "src/flashcore/control/health.py": (("tests/control/test_health.py", "tests/control/test_probing.py"),),
    "src/flashcore/control/check.py": (("tests/control/test_check.py", "tests/control"),),
    "src/flashcore/control/lifecycle.py": (("tests/control/test_lifecycle.py", "tests/control"),),
    "src/flashcore/control/store/epoch.py": (("tests/stores",),),
    "src/flashcore/builtin/memory_state.py": (_stage("stores", "memory_state"), STATE),
    "src/flashcore/builtin/memory_jobs.py": (_stage("stores", "memory_jobs"), _stage("stores", "lanes jobs_machine")),
    "src/flashcore/builtin/sqlite_state.py": (STATE_KIT, STATE),
    "src/flashcore/builtin/sqlite_jobs.py": (JOBS_KIT, JOBS),
    "src/flashcore/builtin/sqlite/*.py": ((*STATE_KIT, *JOBS_KIT), FILES),
    "src/flashcore/builtin/sqlite/jobs/*.py": (JOBS_KIT, JOBS),
    "src/flashcore/gateway/circuit.py": (ROUTES, ("tests/gateway",)),
    "src/flashcore/gateway/ejection.py": (ROUTES, ("tests/gateway",)),
    "src/flashcore/gateway/retrying.py": (ROUTES, ("tests/gateway",)),
    "src/flashcore/gateway/claiming.py": (CALLS, ("tests/gateway",)),
    "src/flashcore/gateway/crew.py": (CALLS, ("tests/gateway",)),
    "src/flashcore/gateway/books.py": (CALLS, ("tests/gateway",)),
    "src/flashcore/gateway/recording.py": (_stage("gateway", "recording"), CALLS, ("tests/gateway",)),
}
"""What is broken, and the tests that are to notice: first its own (a store's: the kit), then what is near."""
COMPARISONS: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
}
OPERATORS: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Add,
    ast.FloorDiv: ast.Mult,
    ast.Div: ast.Mult,
}


@dataclass(frozen=True, slots=True)
class Mutant:
    """One change of one file."""

    path: str
    line: int
    what: str
    source: str
    """The whole file, changed."""

    def __str__(self) -> str:
        """Where and what."""
        return f"{self.path}:{self.line}: {self.what}"


def mutants_of(path: str) -> list[Mutant]:
    """Every mutant of a file."""
    source = (ROOT / path).read_text(encoding="utf-8")
    tree = ast.parse(source)
    found: list[Mutant] = []
    # `frozen=True` and the like: taking it away makes no other behaviour, only a way to misuse it.
    tops = [top for node in ast.walk(tree) for top in getattr(node, "decorator_list", ())]
    decorators = {id(part) for top in tops for part in ast.walk(top)}
    for node in ast.walk(tree):
        if id(node) in decorators:
            continue
        for what, change, undo in _changes(node):
            before = ast.unparse(node)
            change()
            found.append(Mutant(path, node.lineno, f"{what}: {_short(before)}", ast.unparse(tree)))  # type: ignore[attr-defined]  # those that change have lines
            undo()
    return found


Change = tuple[str, Callable[[], object], Callable[[], object]]


def _changes(node: ast.AST) -> Iterator[Change]:
    """What can be changed at a node: a word for it, how, and back."""
    match node:
        case ast.Compare(ops=[operator]) if type(operator) in COMPARISONS:
            yield _setting(node, "ops", [COMPARISONS[type(operator)]()], "another comparison")
        case ast.BoolOp(op=operator):
            yield _setting(node, "op", ast.Or() if isinstance(operator, ast.And) else ast.And(), "and for or")
        case ast.UnaryOp(op=ast.Not()):
            yield _unnot(node)
        case ast.BinOp(op=operator) if type(operator) in OPERATORS:
            yield _setting(node, "op", OPERATORS[type(operator)](), "another operator")
        case ast.Constant(value=bool(value)):
            yield _setting(node, "value", not value, "the other truth")
        case ast.Constant(value=int(value)):
            yield _setting(node, "value", value + 1, "one more")
        case ast.Call(func=ast.Name(id="min" | "max" as name) as called):
            yield _setting(called, "id", "max" if name == "min" else "min", "min for max")
        case ast.IfExp() | ast.If():
            yield _setting(node, "test", ast.UnaryOp(ast.Not(), node.test), "the other branch")
        case _:
            return


def _unnot(node: ast.UnaryOp) -> Change:
    inner = node.operand
    return (
        "no not",
        lambda: setattr(node, "operand", ast.UnaryOp(ast.Not(), inner)),
        lambda: setattr(node, "operand", inner),
    )


def _setting(node: ast.AST, name: str, value: object, what: str) -> Change:
    before = getattr(node, name)
    return what, lambda: setattr(node, name, value), lambda: setattr(node, name, before)


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= 70 else line[:69] + "…"  # what fits into a line


def survives(mutant: Mutant, tests: Stage) -> bool:
    """Whether the tests pass although the code is broken."""
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder)
        # With what is compiled already: only the broken file is compiled anew.
        shutil.copytree(ROOT / "src" / "flashcore", copy / "flashcore")
        (copy / Path(mutant.path).relative_to("src")).write_text(mutant.source, encoding="utf-8")
        options = ["-q", "-x", "-m", "not slow", "-p", "no:cacheprovider", f"--timeout={TEST_TIMEOUT}"]
        command = [sys.executable, "-m", "pytest", *options, *tests]
        environment = {**os.environ, "PYTHONPATH": folder, "PYTHONDONTWRITEBYTECODE": "1"}
        try:
            ran = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, check=False, timeout=TIMEOUT)
        except subprocess.TimeoutExpired:
            return False
        return ran.returncode == 0


def survivors(chosen: list[Mutant], tests: Stage, jobs: int) -> list[Mutant]:
    """Those that the tests do not notice."""
    with ThreadPoolExecutor(jobs) as pool:
        found = pool.map(lambda one: survives(one, tests), chosen)
        return [one for one, lives in zip(chosen, found, strict=True) if lives]


def main() -> None:
    """Run it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("path", nargs="?", help="a file, or a pattern in quotes")
    parser.add_argument("tests", nargs="*", help="what is to notice (default: what this script names for the file)")
    parser.add_argument("--then", nargs="+", default=[], metavar="TEST", help="what the survivors are given")
    parser.add_argument("--all", action="store_true", help="every file that this script names")
    parser.add_argument("--sample", type=int, default=0, metavar="N", help="so many mutants of each file; 0: every one")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=2)
    arguments = parser.parse_intermixed_args()
    given = [stage for stage in (tuple(arguments.tests), tuple(arguments.then)) if stage]
    for pattern in TARGETS if arguments.all else [arguments.path]:
        for found in sorted(ROOT.glob(pattern)):
            path = found.relative_to(ROOT).as_posix()
            _measure(path, given or _stages_of(path), arguments)


def _stages_of(path: str) -> list[Stage]:
    for pattern, stages in TARGETS.items():
        if PurePath(path).match(pattern):
            return list(stages)
    raise SystemExit(f"{path}: which tests are to notice? Name them behind the path")


def _measure(path: str, stages: list[Stage], arguments: argparse.Namespace) -> None:
    """Break one file in every way that was asked for, and tell what survived each stage."""
    every = mutants_of(path)
    chosen = every
    if arguments.sample and arguments.sample < len(every):
        chosen = random.Random(arguments.seed).sample(every, arguments.sample)  # noqa: S311  # to be repeated
    print(f"{path}: {len(chosen)} of {len(every)} mutants", flush=True)
    unchanged = Mutant(path, 0, "nothing", ast.unparse(ast.parse((ROOT / path).read_text(encoding="utf-8"))))
    for stage in stages if chosen else ():
        if not survives(unchanged, stage):
            raise SystemExit(f"{path}: the tests fail although nothing is broken: {' '.join(stage)}")
        chosen = survivors(chosen, stage, arguments.jobs)
        print(f"  {len(chosen)} survived {' '.join(stage)}", flush=True)
    for one in sorted(chosen, key=lambda one: one.line):
        print(f"  {one}", flush=True)


if __name__ == "__main__":
    main()
