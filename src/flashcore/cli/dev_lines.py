"""What `flashcore dev` says: short lines for people, or one JSON document a line."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import fields
from queue import SimpleQueue
from threading import Thread

import click

from flashcore.cli.output import seconds
from flashcore.cli.reasons import TheirFrames, brief
from flashcore.dev.told import Called, Noted, NotStarting, Printed, Ready, Refused, Removed, Started, Tell, Told
from flashcore.model.codec import to_json
from flashcore.model.errors import FlashcoreError

_LONGEST_RESULT = 200
_STILL = "; what served before still does"
_LAST_WORDS = 1.0
"""Seconds that the output has to be read in the end."""


class JsonLines:
    """One document for each thing that is told: `kind`, `at`, and its own fields."""

    def tell(self, told: Told) -> None:
        """Write one line."""
        said = {name: _plain(getattr(told, name)) for name in (field.name for field in fields(told))}
        document = {"kind": _kind(told), "at": round(time.time(), 3), **said}
        click.echo(json.dumps(document, ensure_ascii=False))


class Lines:
    """Lines for people, cut to `width` columns where there is a terminal. Colours are click's to leave out."""

    def __init__(self, width: int | None) -> None:
        self._width = width
        self._frames: dict[str, TheirFrames] = {}

    def tell(self, told: Told) -> None:
        """Write what is worth a line or two."""
        for line in self._lines(told):
            click.echo(line)

    def _lines(self, told: Told) -> list[str]:
        match told:
            case Started():
                return _started(told)
            case Ready(served, took):
                called = ", ".join(served.callables)
                return [_line("ready", "green", served.endpoint, f"in {seconds(took)}  {served.url}  {called}")]
            case Removed(endpoint):
                return [_line("removed", "yellow", endpoint, "it is declared no more")]
            case Refused():
                return _refused(told)
            case NotStarting(endpoint, reason, serving):
                why = brief(reason) + (_STILL if serving else "")
                return [_line("failed", "red", endpoint, f"the code does not start: {why}")]
            case Called():
                return self._called(told)
            case Printed(endpoint, text):
                shown = self._frames.setdefault(endpoint, TheirFrames()).keeps(text)
                return [f"{'':8}  {click.style(f'{endpoint} |', dim=True)} {text}"] if shown else []
            case Noted(text):
                return [_line("note", "yellow", "", text)]

    def _called(self, call: Called) -> list[str]:
        what = f"{call.endpoint} {call.what}".rstrip()
        outcome = click.style(call.outcome, fg="green" if call.ok else "red")
        said = _said(call)
        line = f"{_clock()}  {what}  {outcome}  {seconds(call.seconds)}"
        room = _LONGEST_RESULT if self._width is None else self._width - len(click.unstyle(line)) - 2
        return [f"{line}  {_cut(said, room)}" if said and room > 3 else line]


@contextmanager
def spoken(tell: Tell) -> Iterator[Tell]:
    """Have things told by a thread of its own: a terminal that is paused, or a full pipe, holds up nobody else."""
    waiting: SimpleQueue[Told | None] = SimpleQueue()

    def speak() -> None:
        while (told := waiting.get()) is not None:
            tell(told)

    speaker = Thread(target=speak, name="output", daemon=True)
    speaker.start()
    try:
        yield waiting.put
    finally:
        waiting.put(None)
        speaker.join(_LAST_WORDS)


def _started(started: Started) -> list[str]:
    return [
        f"flashcore dev at {click.style(started.url, bold=True)}",
        f"  from elsewhere: FLASHCORE_ENV={started.environment}, or --env {started.environment}",
        f"  the token for /execute: {started.token}",
        "  Ctrl-C ends it",
    ]


def _refused(refused: Refused) -> list[str]:
    head, *rest = str(refused.error).splitlines()
    still = [f"{'':8}  {_STILL.removeprefix('; ')}"] if refused.serving else []
    return [_line("refused", "red", refused.endpoint or "", head), *rest, *still]


def _said(call: Called) -> str:
    if call.failure is not None:
        kind = f"{call.failure.error_type}: " if call.failure.error_type else ""
        return brief(f"{kind}{call.failure.error_message}")
    return call.result or ""


def _line(word: str, colour: str, endpoint: str, text: str) -> str:
    return "  ".join(filter(None, (_clock(), click.style(word, fg=colour), endpoint, text)))


def _cut(text: str, room: int) -> str:
    return text if len(text) <= room else f"{text[: room - 1]}…"


def _clock() -> str:
    return time.strftime("%H:%M:%S")


def _kind(told: Told) -> str:
    return {"NotStarting": "not_starting"}.get(type(told).__name__, type(told).__name__.lower())


def _plain(value: object) -> object:
    return value.as_json() if isinstance(value, FlashcoreError) else to_json(value)
