"""`flashcore why`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import click

from flashcore.cli import output
from flashcore.cli.api import of_deployment
from flashcore.cli.common import Invocation, command
from flashcore.cli.connecting import connect
from flashcore.cli.narrating import narrate
from flashcore.cli.picture import moment, wait_line
from flashcore.cli.reasons import brief

_MOST_LINKS = 30
_LAST_WORDS = 3
"""Lines of what a replica printed before it ended."""


@click.command()
@click.argument("endpoint")
@command
def why(invocation: Invocation, endpoint: str) -> None:
    """Say why ENDPOINT is as it is: who asked, what was decided and by whom, what it waits for, what comes next.

    Each line of the first part is an event of the log.
    """
    answer = connect(invocation.project()).get(of_deployment(endpoint, "why"))
    if invocation.as_json:
        output.show_json(answer)
        return
    for line in explained(answer):
        output.show_line(line)


def explained(answer: Mapping[str, Any]) -> Iterator[str]:
    """The chain, what is waited for, and what comes next, as lines."""
    code = f" [{answer['reason_code']}]" if answer["reason_code"] else ""
    reason = f": {brief(answer['reason'])}" if answer["reason"] else ""
    yield f"{answer['endpoint']} is {answer['status'].replace('_', ' ')}{code}{reason}"
    yield "because"
    yield from _chain(answer["events"])
    yield "waits for" if answer["waits"] else "waits for nothing"
    for wait in answer["waits"]:
        yield f"  {wait_line(wait, answer['now'])}"
    wake = answer["next_wake"]
    yield "next" if wake is not None else "next: it looks again when something changes"
    if wake is not None:
        yield f"  looks again {moment(wake, answer['now'])}, or when something changes"


def _chain(events: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    told = ((event["at"], _link(event)) for event in events)
    lines = _merged([(at, link) for at, link in told if link is not None])
    hidden = len(lines) - _MOST_LINKS
    for place, (at, text, times) in enumerate(lines):
        if hidden > 0 and 1 <= place <= hidden:
            if place == 1:
                yield f"  ... {hidden} more (flashcore why --json has them)"
            continue
        again = f" ({times} times)" if times > 1 else ""
        link, _, log = text.partition("\n")
        yield f"  {datetime.fromtimestamp(at, UTC):%H:%M:%S}  {link}{again}"
        yield from (f"            | {line}" for line in log.splitlines())
    if not lines:
        yield "  nothing is known: the log does not reach so far back"


def _merged(links: Sequence[tuple[float, str]]) -> list[tuple[float, str, int]]:
    """The same thing many times in a row is told once."""
    merged: list[tuple[float, str, int]] = []
    for at, text in links:
        if merged and merged[-1][1] == text:
            merged[-1] = (merged[-1][0], text, merged[-1][2] + 1)
        else:
            merged.append((at, text, 1))
    return merged


def _link(event: Mapping[str, Any]) -> str | None:
    told = narrate(event)
    if told is None:
        return None
    by = event["data"].get("by")
    where = f"{event['replica']} " if event.get("replica") else ""
    said_by = f" (by {by})" if by and by not in told else ""
    return "\n".join([f"{where}{told}{said_by}", *_last_words(event)])


def _last_words(event: Mapping[str, Any]) -> Sequence[str]:
    """Why a replica that was not told to end has ended may stand at the end of its log."""
    if event["kind"] != "replica.terminated":
        return ()
    log: Sequence[str] = event["data"].get("log_tail", ())
    return log[-_LAST_WORDS:]
