"""`flashcore init`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import click

from flashcore.cli import output
from flashcore.cli.common import fail
from flashcore.cli.scaffold import generate, generate_here, is_here, template_names
from flashcore.model.errors import FlashcoreError, UsageError


@click.command()
@click.argument("name", required=False)
@click.option("--template", default="project", show_default=True, help="What to make: project or plugin.")
@click.option("--set", "answers", multiple=True, metavar="QUESTION=ANSWER", help="Answer a question of the template.")
@click.option("--no-input", is_flag=True, help="Ask nothing: what is not answered has its default.")
@click.option("--json", "as_json", is_flag=True, help="Answer with one JSON document; asks nothing.")
def init(name: str | None, template: str, answers: tuple[str, ...], no_input: bool, as_json: bool) -> None:  # noqa: FBT001 - click names them
    """Make a new project, or a new plugin, in a folder of its own, or with "." in this one, if it is empty.

    \b
      flashcore init shop
      flashcore init .
      flashcore init acme --template plugin --set concern=strategy
    """  # noqa: D301 - click takes the character itself for "do not fill the lines below"
    try:
        ask = not (no_input or as_json) and output.interactive()
        given = dict(map(_answer, answers))
        if name and is_here(name):
            made = generate_here(template, Path(name), given, ask=ask)
        else:
            made = generate(template, Path.cwd(), {**given, **({"name": name} if name else {})}, ask=ask)
    except FlashcoreError as error:
        fail(error, as_json=as_json)
    if as_json:
        output.show_json({"directory": str(made), "template": template, "templates": list(template_names())})
        return
    output.say(f"made {made.name}/")
    if made != Path.cwd():
        output.say(f"  cd {made.name}")
    for line in _NEXT[template]:
        output.say(f"  {line}")


_NEXT: Mapping[str, Sequence[str]] = {
    "project": ("flashcore deploy",),
    "plugin": ('pip install -e . "flashcore-framework[testing]"', "python -m pytest", "flashcore plugins list"),
}


def _answer(text: str) -> tuple[str, str]:
    question, equals, answer = text.partition("=")
    if not equals:
        raise UsageError(f"--set takes QUESTION=ANSWER, not {text!r}")
    return question, answer
