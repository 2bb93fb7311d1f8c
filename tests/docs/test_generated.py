"""What pages show of the code is what the code says; `WRITE_DOCS=1 python -m pytest tests/docs` brings it up to date.

A generated part stands between two comments:

    <!-- generated: help deploy -->
    <!-- end -->
"""

import ast
import dataclasses
import importlib
import inspect
import os
import re
import textwrap
from collections.abc import Callable, Iterator, Mapping
from itertools import pairwise
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from flashcore.builtin.process.options import ProcessOptions
from flashcore.cli.main import cli
from flashcore.hookspecs import EXTENSION_POINTS, HookKind
from flashcore.model.declaration import Policy, ProbePolicy, Template
from flashcore.settings import Ports, Settings
from flashcore.testing.scenario.values import Action, Expect, Version

GENERATED = re.compile(r"<!-- generated: (?P<what>[^>]+) -->\n(?P<text>.*?)<!-- end -->", re.DOTALL)


def test_every_kit_is_in_the_list_for_authors_of_plugins(repository: Path) -> None:
    """And where its extension point is described."""
    kits = [path.stem for path in (repository / "src" / "flashcore" / "testing").glob("*_kit.py")]
    pages = [
        (repository / "docs" / name).read_text(encoding="utf-8")
        for name in ("writing-plugins.md", "extension-points.md")
    ]

    assert [kit for kit in kits if not all(f"flashcore.testing.{kit}" in page for page in pages)] == []


def test_generated_parts_are_up_to_date(repository: Path) -> None:
    """A page that shows something else than the code is wrong."""
    outdated = []
    for page in (repository / "docs").glob("*.md"):
        written = page.read_text(encoding="utf-8")
        generated = GENERATED.sub(
            lambda found: f"<!-- generated: {found['what']} -->\n{part(found['what'])}<!-- end -->", written
        )
        if generated != written and os.environ.get("WRITE_DOCS"):
            page.write_text(generated, encoding="utf-8")
        elif generated != written:
            outdated.append(page.name)

    assert outdated == [], "run: WRITE_DOCS=1 python -m pytest tests/docs/test_generated.py"


@pytest.mark.parametrize("point", EXTENSION_POINTS)
def test_every_extension_point_has_its_section(repository: Path, point: str) -> None:
    """A heading with its name, and its contract below."""
    page = (repository / "docs" / "extension-points.md").read_text()

    assert f"\n## {point}\n" in page
    assert f"<!-- generated: point {point} -->" in page


def test_every_command_has_its_section(repository: Path) -> None:
    """A heading with its name, and its help below."""
    page = (repository / "docs" / "cli.md").read_text()

    for name in commands(cli):
        assert f"\n## {name}\n" in page
        assert f"<!-- generated: help {name} -->" in page


def commands(group: click.Group, above: str = "") -> Iterator[str]:
    """The names of all commands; those of a group with the group's name."""
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        if isinstance(command, click.Group):
            yield from commands(command, f"{above}{name} ")
        else:
            yield f"{above}{name}"


def part(what: str) -> str:
    """The text of a generated part."""
    kind, _, name = what.partition(" ")
    return f"\n{GENERATORS[kind](name)}\n\n"


def help_of(name: str) -> str:
    """What `flashcore NAME --help` prints."""
    ran = CliRunner().invoke(cli, [*name.split(), "--help"], prog_name="flashcore", terminal_width=100)
    return f"```text\n{ran.output.rstrip()}\n```"


def contract_of(name: str) -> str:
    """The hook of an extension point, and the Protocol of its parts."""
    point = EXTENSION_POINTS[name]
    module = importlib.import_module(point.module)
    shown = [signature_of(getattr(module, point.hook))]
    if point.protocol:
        shown.append(protocol_of(getattr(module, point.protocol)))
    code = "\n\n\n".join(shown)
    numbers = ", ".join(map(str, module.API))
    capabilities = ", ".join(f"`{one}`" for one in sorted(getattr(module, "CAPABILITIES", ())))
    facts = [f"Hook `{point.hook}`", f"kind: {point.kind.value}", f"contract {numbers}", f"module `{point.module}`"]
    known = [f"capabilities: {capabilities}"] if capabilities else []
    return f"{', '.join([*facts, *known])}.\n\n```python\n{code}\n```"


def signature_of(hook: Callable[..., object]) -> str:
    """A hook as its author sees it."""
    node = ast.parse(textwrap.dedent(inspect.getsource(hook))).body[0]
    assert isinstance(node, ast.FunctionDef)
    return f"@hookimpl\n{stub(node)}"


def protocol_of(protocol: type) -> str:
    """A Protocol with its methods, each with the first line of what it says."""
    node = ast.parse(textwrap.dedent(inspect.getsource(protocol))).body[0]
    assert isinstance(node, ast.ClassDef)
    methods = [stub(child) for child in node.body if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef)]
    body = textwrap.indent("\n\n".join(methods), "    ")
    return f'class {node.name}(Protocol):\n    """{first_line(node)}"""\n\n{body}'


def stub(node: ast.FunctionDef | ast.AsyncFunctionDef) -> str:
    """A function's first line, decorators but the hook marker included, and what it says."""
    decorators = [f"@{ast.unparse(one)}\n" for one in node.decorator_list if ast.unparse(one) != "hookspec"]
    keyword = "async def" if isinstance(node, ast.AsyncFunctionDef) else "def"
    returns = f" -> {ast.unparse(node.returns)}" if node.returns else ""
    head = f"{''.join(decorators)}{keyword} {node.name}({ast.unparse(node.args)}){returns}:"
    return f'{head}\n    """{first_line(node)}"""'


def first_line(node: ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) -> str:
    """The first paragraph of a docstring in one line."""
    return " ".join((ast.get_docstring(node) or "").split("\n\n")[0].split())


def fields_of(name: str) -> str:
    """A table of a dataclass's fields, with what is written below each."""
    cls = {one.__name__: one for one in SHOWN}[name]
    documented = field_notes(cls)
    rows = [
        "| "
        + " | ".join([f"`{field.name}`", code(field.type), default_of(field), documented.get(field.name, "")])
        + " |"
        for field in dataclasses.fields(cls)
        if field.name != "extra"
    ]
    return "\n".join(["| name | type | default | |", "|---|---|---|---|", *rows])


def code(text: object) -> str:
    """Something in code's letters within a table."""
    return f"`{text}`".replace("|", "\\|")


def default_of(field: "dataclasses.Field[object]") -> str:
    """A default as one would write it."""
    if field.default is not dataclasses.MISSING:
        return code(repr(field.default))
    return code(repr(field.default_factory())) if field.default_factory is not dataclasses.MISSING else "required"


def field_notes(cls: type) -> Mapping[str, str]:
    """The docstrings that stand below fields, by field."""
    node = ast.parse(textwrap.dedent(inspect.getsource(cls))).body[0]
    assert isinstance(node, ast.ClassDef)
    notes = {}
    for field, below in pairwise(node.body):
        match field, below:
            case ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(value=ast.Constant(value=str(note))):
                notes[name] = " ".join(note.split())
            case _:
                pass
    return notes


def variables(_name: str) -> str:
    """A table of the variables that hold settings."""
    from flashcore.settings import _VARIABLES

    rows = [f"| `{variable}` | `{'.'.join(place)}` |" for variable, place in _VARIABLES.items()]
    return "\n".join(["| variable | setting |", "|---|---|", *rows])


def kinds(_name: str) -> str:
    """A table of the extension points."""
    rows = [
        f"| [`{point.name}`](#{point.name}) | `{point.hook}` | {point.kind.value} | {USES[point.kind]} |"
        for point in EXTENSION_POINTS.values()
    ]
    return "\n".join(["| name | hook | kind | |", "|---|---|---|---|", *rows])


USES = {
    HookKind.REGISTRY: "returns named records; a declaration or a setting chooses by name",
    HookKind.OBSERVE: "is told, and can change nothing",
    HookKind.AMEND: "changes what passes; what it raises stops the operation",
}
SHOWN: tuple[type, ...] = (
    *(Settings, Ports, Template, Policy, ProbePolicy, ProcessOptions),
    *(Version, Action, Expect),
)
"""Classes whose fields pages show."""
GENERATORS: Mapping[str, Callable[[str], str]] = {
    "help": help_of,
    "point": contract_of,
    "points": kinds,
    "fields": fields_of,
    "variables": variables,
}
