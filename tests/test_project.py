"""The project keeps its own rules: what is in the repository, what is imported where, and how big things get."""

import ast
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

# What a room may import beside the standard library and flashcore's own rooms (those are import-linter's to check).
# Reasons: what travels inside an artifact, or is imported by every plugin, has to be there and has to be light.
THIRD_PARTY = {
    "model": set[str](),
    "wire": {"cloudpickle"},
    "canonical": {"rfc8785"},
    "hookspecs": {"pluggy"},
    "plugin": {"pluggy"},
    "client": {"cloudpickle"},
    "worker": {"cloudpickle"},
    "worker.intake": {"httptools", "uvicorn"},
    "worker.lb": {"cloudpickle", "fastapi", "starlette", "uvicorn"},
}
# Rooms behind `import flashcore` and `flashcore --help`: what they import as they are imported must be quick.
AWAITED = {f"src/flashcore/client/{name}.py" for name in ("idle", "streams", "loop_end", "loop_links")}
"""Imported with the first call that is awaited, by whom asyncio is there already."""

QUICK = {"model", "wire", "canonical", "hookspecs", "plugin", "client"}
SLOW = {"asyncio", "cloudpickle"}

# The path of a file that only one machine has.
MACHINE_PATHS = re.compile(r"(?<![\w./:<>{}-])/(?:work|root|opt|home/\w+|Users/\w+|tmp/\w+)(?:/|\b)")
SUPPRESSION = re.compile(
    r"#\s*(?:noqa(?::\s*[A-Z]+\d+(?:,\s*[A-Z]+\d+)*)?|type: ignore(?:\[[\w, -]+\])?|pragma: no cover)"
)


def tracked(repository: Path) -> list[Path]:
    """The files that git keeps and that are still there."""
    listed = subprocess.run(
        ["git", "ls-files", "-z"], cwd=repository, check=True, capture_output=True, text=True
    ).stdout.split("\0")
    return [repository / name for name in listed if name and (repository / name).is_file()]


def texts(repository: Path) -> Iterator[tuple[str, str]]:
    """Every tracked text file: its name within the repository, its text."""
    for path in tracked(repository):
        try:
            yield path.relative_to(repository).as_posix(), path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue


def modules(repository: Path) -> Iterator[tuple[str, str]]:
    """Every tracked Python file outside the templates: its name, its text."""
    return (
        (name, text)
        for name, text in texts(repository)
        if name.endswith(".py") and not name.startswith("cookiecutter/")
    )


def lines_with(pattern: re.Pattern[str], name: str, text: str) -> list[str]:
    """The places in a text where a pattern is found, as file:line: match."""
    return [
        f"{name}:{number}: {found.group()}"
        for number, line in enumerate(text.splitlines(), start=1)
        for found in pattern.finditer(line)
    ]


def test_no_file_speaks_of_one_machine(repository: Path) -> None:
    """A path of somebody's machine means nothing to anybody else."""
    found = [
        place
        for name, text in texts(repository)
        if name != "tests/test_project.py"
        for place in lines_with(MACHINE_PATHS, name, text)
    ]

    assert found == []


@pytest.mark.parametrize("text", ["see /" + "work/main", "'/root/.cache'", "in /tmp/xyz", "/home/jo/app"])
def test_paths_of_one_machine_are_recognised(text: str) -> None:
    """The check above sees what it is to see."""
    assert MACHINE_PATHS.search(text)


@pytest.mark.parametrize("text", ["a/work/b", "https://host/root/x", "tests/tmp/x", "{tmp}/work"])
def test_other_paths_are_left_alone(text: str) -> None:
    """A path within the project, or within a URL, is nobody's machine."""
    assert not MACHINE_PATHS.search(text)


def test_no_lock_file_is_tracked(repository: Path) -> None:
    """Lock files record the address of the index that made them."""
    names = {path.name for path in tracked(repository)}

    assert names.isdisjoint({"uv.lock", "pylock.toml"})


@pytest.mark.parametrize("name", ["run.txt", "ci.txt"])
def test_pinned_requirements_name_no_index_and_carry_hashes(repository: Path, name: str) -> None:
    """What is installed is the same everywhere, wherever it is fetched from."""
    text = (repository / "requirements" / name).read_text()

    assert not re.search(r"://|--index|--find-links|-e ", text)
    assert all("--hash=sha256:" in pin for pin in re.split(r"\n(?=\S)", text.strip()))


def test_changelog_tells_about_this_version(repository: Path) -> None:
    """Somebody who upgrades finds what changed."""
    version = tomllib.loads((repository / "pyproject.toml").read_text())["project"]["version"]

    assert f"## {version}" in (repository / "CHANGELOG.md").read_text()


def test_plugins_depend_on_the_framework(repository: Path) -> None:
    """The distribution called flashcore is somebody else's and overwrites our files."""
    for path in repository.glob("plugins/*/pyproject.toml"):
        project = tomllib.loads(path.read_text())["project"]
        names = {re.split(r"[^\w.-]", requirement)[0] for requirement in project["dependencies"]}

        assert "flashcore-framework" in names, path.parent.name
        assert "flashcore" not in names, path.parent.name
        assert "flashcore-plugin" in project["keywords"], path.parent.name
        assert project["name"] == path.parent.name
        assert "flashcore" in project["entry-points"], path.parent.name


def test_every_plugin_of_the_workspace_is_checked_with_it(repository: Path) -> None:
    """A new plugin is resolved from the checkout, and its types are seen."""
    tool = tomllib.loads((repository / "pyproject.toml").read_text())["tool"]

    for path in repository.glob("plugins/*/pyproject.toml"):
        assert path.parent.name in tool["uv"]["sources"]
        assert f"plugins/{path.parent.name}/src" in tool["mypy"]["mypy_path"]


def test_no_module_is_longer_than_700_lines(repository: Path) -> None:
    """A file holds one concept, and a reader sees the end of it."""
    long = {name: len(text.splitlines()) for name, text in modules(repository) if len(text.splitlines()) > 700}

    assert long == {}


def functions(text: str) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    """Every function of a module, inner ones included."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def length(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Lines of a function's body, without its docstring."""
    body = function.body[1:] if ast.get_docstring(function) is not None else function.body
    return body[-1].end_lineno - body[0].lineno + 1 if body and body[-1].end_lineno else 0


def test_no_function_is_longer_than_100_lines(repository: Path) -> None:
    """What does not fit a screen or two is several functions."""
    long = [
        f"{name}:{function.lineno}: {function.name} has {length(function)} lines"
        for name, text in modules(repository)
        for function in functions(text)
        if length(function) > 100
    ]

    assert long == []


def test_functions_are_short_as_a_rule(repository: Path) -> None:
    """Half of the bodies have at most 5 lines, nine in ten at most 20, all but one in a hundred at most 60."""
    lengths = sorted(
        length(function) for name, text in modules(repository) if "/src/" in f"/{name}" for function in functions(text)
    )

    def quantile(share: float) -> int:
        return lengths[int(share * (len(lengths) - 1))] if lengths else 0

    assert (quantile(0.5) <= 5, quantile(0.9) <= 20, quantile(0.99) <= 60) == (True, True, True), [
        quantile(share) for share in (0.5, 0.9, 0.99)
    ]


def test_every_suppressed_rule_has_its_reason(repository: Path) -> None:
    """Whoever meets a suppression can judge whether it is still needed."""
    bare = [
        f"{name}:{number}"
        for name, text in modules(repository)
        if name != "tests/test_project.py"
        for number, line in enumerate(text.splitlines(), start=1)
        if (found := SUPPRESSION.search(line)) and len(re.findall(r"\w+", line[found.end() :])) < 2
    ]

    assert bare == []


def is_type_checking(node: ast.AST) -> bool:
    """Whether a block is for the type checker alone."""
    return isinstance(node, ast.If) and ast.unparse(node.test).split(".")[-1] == "TYPE_CHECKING"


def imported(node: ast.AST, *, inside_functions: bool) -> Iterator[str]:
    """The top-level packages that a piece of code imports when it runs."""
    for child in ast.iter_child_nodes(node):
        if is_type_checking(child) or (
            isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef) and not inside_functions
        ):
            continue
        if isinstance(child, ast.Import):
            yield from (alias.name.split(".")[0] for alias in child.names)
        elif isinstance(child, ast.ImportFrom) and child.module:
            yield child.module.split(".")[0]
        else:
            yield from imported(child, inside_functions=inside_functions)


def rooms(repository: Path) -> Iterator[tuple[str, str, ast.Module]]:
    """Every module of the package: its file, the room it is in, its code."""
    for name, text in modules(repository):
        if name.startswith("src/flashcore/") and name != "src/flashcore/__init__.py":
            dotted = name.removeprefix("src/flashcore/").removesuffix(".py").replace("/", ".")
            yield name, dotted if dotted in THIRD_PARTY else dotted.split(".")[0], ast.parse(text)


def test_light_rooms_import_little_from_outside(repository: Path) -> None:
    """What travels inside an artifact, or is imported by every plugin, needs nothing that is not always there."""
    found = [
        f"{name} imports {package}"
        for name, room, code in rooms(repository)
        if room in THIRD_PARTY
        for package in imported(code, inside_functions=True)
        if package not in sys.stdlib_module_names | THIRD_PARTY[room] | {"flashcore"}
    ]

    assert found == []


def test_quick_rooms_import_nothing_slow_as_they_are_imported(repository: Path) -> None:
    """`import flashcore` and `flashcore --help` are to answer at once."""
    found = [
        f"{name} imports {package}"
        for name, room, code in rooms(repository)
        if room in QUICK and name not in AWAITED
        for package in imported(code, inside_functions=False)
        if package in SLOW
    ]

    assert found == []
