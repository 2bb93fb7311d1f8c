"""`flashcore call`."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from flashcore.cli import output
from flashcore.cli.calling import Reachable, call_http, call_queue, call_with_input, described_endpoint
from flashcore.cli.common import Invocation, command
from flashcore.model.errors import UsageError


@click.command()
@click.argument("endpoint")
@click.argument("what", required=False)
@click.argument("data", required=False)
@click.option("--data", "data_option", help="Arguments as JSON, @FILE, or - for standard input.")
@click.option("--input", "input_option", help="The job's input as JSON of any kind: for endpoints that run a script.")
@click.option(
    "--timeout", type=click.FloatRange(min=0), default=90.0, show_default=True, help="Seconds to wait for the answer."
)
@command
def call(invocation: Invocation, endpoint: str, timeout: float, **given: str | None) -> None:
    """Call an ENDPOINT and print the answer as JSON.

    Queue-based: WHAT is the function (or Class.method) where there are several; DATA is a JSON object of keyword
    arguments or a JSON array of positional ones; for a script, an object that is the job's input. Load-balanced: WHAT
    is a path, or a method and a path in quotes.

    \b
      flashcore call hello '{"name": "world"}'
      flashcore call tools add '[1, 2]'
      flashcore call api /items/3
      flashcore call api 'POST /items' '{"name": "cup"}'
      flashcore call script '{"value": 21}'
    """  # noqa: D301 - click takes the character itself for "do not fill the lines below"
    project = invocation.project()
    found = described_endpoint(project, endpoint)
    answer = _answer(found, given, timeout)
    if invocation.as_json:
        output.show_json({"result": answer})
    else:
        click.echo(answer if isinstance(answer, str) else json.dumps(answer, ensure_ascii=False))


def _answer(found: Reachable, given: Mapping[str, str | None], timeout: float) -> Any:
    what, data = given["what"], given["data_option"] or given["data"]
    if given["input_option"] is not None:
        if found.ingress == "http" or what is not None or data is not None:
            raise UsageError("--input is all that a job has, and a request has none", next_step="leave out the rest")
        return call_with_input(found, _read(given["input_option"]), timeout)
    if found.ingress == "http":
        return call_http(found, what, _read(data), timeout)
    function, arguments = _function_and_arguments(what, data)
    if function is None and (arguments is None or isinstance(arguments, dict)):
        # The arguments of a single function are the input as it is, and a script's or handler's input is what is given.
        return call_with_input(found, arguments or {}, timeout)
    return call_queue(found, function, arguments, timeout)


def _function_and_arguments(what: str | None, data: str | None) -> tuple[str | None, Any]:
    """One word that is JSON or a file is arguments, not a function's name."""
    if data is None and what is not None and (what[:1] in "{[@" or what == "-"):
        return None, _read(what)
    return what, _read(data)


def _read(text: str | None) -> Any:
    if text is None:
        return None
    if text == "-":
        text = sys.stdin.read()
    elif text.startswith("@"):
        text = _file(Path(text[1:]))
    try:
        return json.loads(text)
    except ValueError as error:
        raise UsageError(f"the arguments are not JSON: {error}", next_step='as in \'{"name": "world"}\'') from error


def _file(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} cannot be read: {error}") from error
