"""Following rollouts until they settle: one line per event that a person wants to know of."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import click

from flashcore.cli import output
from flashcore.cli.api import ControlApi
from flashcore.cli.narrating import Narrator
from flashcore.cli.reasons import brief
from flashcore.model import errors
from flashcore.model.deployment import DeploymentStatus

BAD = frozenset({DeploymentStatus.FAILED.value, DeploymentStatus.DEGRADED.value})


@dataclass(frozen=True, slots=True)
class Settled:
    """How the deployments that were waited for ended."""

    deployments: tuple[Mapping[str, Any], ...]

    @property
    def failed(self) -> tuple[Mapping[str, Any], ...]:
        """Those that did not come up."""
        return tuple(one for one in self.deployments if one["status"] in BAD)


def cursor_now(api: ControlApi) -> str:
    """Where the log ends now."""
    return str(api.get("/api/v1/events/last?count=0")["cursor"])


def until_settled(api: ControlApi, names: Iterable[str], after: str, timeout: float) -> Settled:
    """Show events after the cursor `after` until every named deployment is settled.

    Raises DeadlineExceeded, naming what is still on its way and why, and Refused when somebody took one down.
    """
    wanted = sorted(names)
    deadline = time.monotonic() + timeout
    for _ in _looks(api, after, deadline):
        found = [one for one in api.get("/api/v1/deployments")["deployments"] if one["endpoint"] in wanted]
        if all(one["settled"] for one in found):
            _require_all(wanted, found)
            return Settled(tuple(found))
    waiting = [one for one in api.get("/api/v1/deployments")["deployments"] if one["endpoint"] in wanted]
    still = "; ".join(
        f"{one['endpoint']} is {one['status']} ({brief(one['reason']) or 'no reason given'})"
        for one in waiting
        if not one["settled"]
    )
    raise errors.DeadlineExceeded(
        f"not settled after {output.seconds(timeout)}: {still}",
        next_step="it goes on in the background: flashcore status",
    )


def _require_all(wanted: Iterable[str], found: Iterable[Mapping[str, Any]]) -> None:
    """What is not there any more has not settled, whatever its last word was."""
    gone = sorted(set(wanted) - {one["endpoint"] for one in found})
    if gone:
        raise errors.Refused(
            f"{', '.join(gone)}: taken down while it was waited for", next_step="see what is left: flashcore status"
        )


def _looks(api: ControlApi, after: str, deadline: float) -> Iterator[None]:
    """Give a turn at the start and after each batch of events, until the deadline."""
    yield
    cursor = after
    narrator = Narrator()
    while (left := deadline - time.monotonic()) > 0:
        answer = api.get(f"/api/v1/events?cursor={cursor}&wait={min(left, 10.0):.3f}", timeout=left + 15.0)
        cursor = answer["cursor"]
        for event in answer["events"]:
            _show(event, narrator)
        yield


def _show(event: Mapping[str, Any], narrator: Narrator) -> None:
    line = narrator.line(event)
    if line is not None:
        where = event.get("replica") or event.get("endpoint") or "-"
        output.say(f"  {click.style(str(where), fg='cyan')}  {line}")
