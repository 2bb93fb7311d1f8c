"""Following rollouts until they settle: a picture in place on a terminal, one line per event otherwise."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NoReturn

import click

from flashcore.cli import output
from flashcore.cli.api import ControlApi, of_deployment
from flashcore.cli.narrating import Narrator
from flashcore.cli.pane import Pane
from flashcore.cli.picture import picture
from flashcore.cli.reasons import brief
from flashcore.model import errors
from flashcore.model.deployment import DeploymentStatus, RolloutState

BAD = frozenset({DeploymentStatus.FAILED.value, DeploymentStatus.DEGRADED.value})
TAKEN_BACK = frozenset({RolloutState.ABORTED.value, RolloutState.FAILED.value})

_TICK = 1.0
"""Seconds after which a picture is drawn again though nothing happened: its times have gone on."""
_MOST_PICTURES = 6
_PATIENCE = 10.0
"""Seconds that one question for events may wait where there is no picture."""


GATEWAYS_PATIENCE = 10.0
"""Seconds that gateways have to take over what is settled. One that is stuck holds nobody up for longer."""
_GATEWAYS_TICK = 0.05
"""Seconds between two looks at them: no event tells of it."""


class Superseded(errors.Refused):
    """A newer rollout began while this one was followed; it goes on, and is somebody else's."""

    code = "superseded"


@dataclass(frozen=True, slots=True)
class Settled:
    """How the deployments that were waited for ended."""

    deployments: tuple[Mapping[str, Any], ...]
    rolled_out: frozenset[str] = frozenset()
    """Those of which a rollout was followed that was meant to come to its end."""

    @property
    def failed(self) -> tuple[Mapping[str, Any], ...]:
        """Those that did not come up, or whose rollout was taken back."""
        return tuple(one for one in self.deployments if one["status"] in BAD or self._was_taken_back(one))

    def _was_taken_back(self, one: Mapping[str, Any]) -> bool:
        return one["endpoint"] in self.rolled_out and one["rollout_state"] in TAKEN_BACK


@dataclass(frozen=True, slots=True)
class Followed:
    """What to wait for."""

    names: tuple[str, ...]
    generations: Mapping[str, int] = field(default_factory=dict)
    """The rollout that is meant, by endpoint; a newer one ends the wait. Of others any rollout may come and go."""
    rolled_out: frozenset[str] = frozenset()
    """Endpoints whose rollout is meant to come to its end."""
    gateways_patience: float = GATEWAYS_PATIENCE
    """Seconds that gateways have in the end to take over the newest routes."""


def cursor_now(api: ControlApi) -> str:
    """Where the log ends now."""
    return str(api.get("/api/v1/events/last?count=0")["cursor"])


def follow(api: ControlApi, followed: Followed, after: str, timeout: float) -> Settled:
    """Show what happens after the cursor `after` until every deployment is settled; Ctrl-C detaches.

    Raises DeadlineExceeded, naming what is still on its way and why, Superseded, and Refused when somebody took one
    down.
    """
    pane = Pane.on_terminal()
    try:
        return _until_settled(api, followed, after, timeout, pane)
    except KeyboardInterrupt:
        detach(followed.names)
    finally:
        if pane is not None:
            pane.leave()


def detach(names: Iterable[str]) -> NoReturn:
    """Leave what goes on to itself, and say how to come back."""
    back = "\n".join(f"  come back: flashcore rollout status {name} --follow" for name in sorted(names))
    output.say(f"detached: it goes on in the background\n{back}")
    raise SystemExit(output.INTERRUPTED) from None


def _until_settled(api: ControlApi, followed: Followed, after: str, timeout: float, pane: Pane | None) -> Settled:
    deadline = time.monotonic() + timeout
    told: dict[str, str] = {}
    for nothing_happens in _looks(api, followed, after, deadline, pane):
        found = _summaries(api, followed.names)
        _require_newest(followed, found)
        if all(one["settled"] for one in found):
            _require_all(followed.names, found)
            await_gateways(api, followed.names, min(deadline, time.monotonic() + followed.gateways_patience))
            return Settled(tuple(found), followed.rolled_out)
        if nothing_happens and pane is None:  # a picture shows it all along
            _say_what_is_waited_for(found, told)
    still = "; ".join(
        f"{one['endpoint']} is {one['status'].replace('_', ' ')} ({brief(one['reason']) or 'no reason given'})"
        for one in _summaries(api, followed.names)
        if not one["settled"]
    )
    raise errors.DeadlineExceeded(
        f"not settled after {output.seconds(timeout)}: {still}",
        next_step=f"it goes on in the background: flashcore rollout status {followed.names[0]} --follow",
    )


def _say_what_is_waited_for(found: Iterable[Mapping[str, Any]], told: dict[str, str]) -> None:
    """Once for each endpoint and reason: no event tells of a replica that has no room, or takes long to start."""
    for one in found:
        name, reason = one["endpoint"], brief(one["reason"])
        if not one["settled"] and reason and told.get(name) != reason:
            told[name] = reason
            output.say(f"  {click.style(name, fg='cyan')}  still {one['status'].replace('_', ' ')}: {reason}")


def await_gateways(api: ControlApi, names: Iterable[str], deadline: float) -> None:
    """Return when calls are answered by what is settled, as far as gateways do it in time; say which did not."""
    while late := sorted({name for one in _summaries(api, names) for name in one["gateways_behind"]}):
        if time.monotonic() >= deadline:
            output.say(
                f"note: {', '.join(late)} did not take over the newest routes in time, and may answer calls as before "
                "for a while (flashcore status)"
            )
            return
        time.sleep(_GATEWAYS_TICK)


def _summaries(api: ControlApi, names: Iterable[str]) -> list[Mapping[str, Any]]:
    return [one for one in api.get("/api/v1/deployments")["deployments"] if one["endpoint"] in names]


def _require_newest(followed: Followed, found: Iterable[Mapping[str, Any]]) -> None:
    newer = [one for one in found if one["generation"] > followed.generations.get(one["endpoint"], one["generation"])]
    for one in newer:
        raise Superseded(
            f"{one['endpoint']}: rollout {followed.generations[one['endpoint']]} was superseded by rollout "
            f"{one['generation']}, which goes on",
            next_step=f"follow that one: flashcore rollout status {one['endpoint']} --follow",
            endpoint=one["endpoint"],
            generation=one["generation"],
        )


def _require_all(wanted: Iterable[str], found: Iterable[Mapping[str, Any]]) -> None:
    """What is not there any more has not settled, whatever its last word was."""
    gone = sorted(set(wanted) - {one["endpoint"] for one in found})
    if gone:
        raise errors.Refused(
            f"{', '.join(gone)}: taken down while it was waited for", next_step="see what is left: flashcore status"
        )


def _looks(api: ControlApi, followed: Followed, after: str, deadline: float, pane: Pane | None) -> Iterator[bool]:
    """Give a turn at the start and after each batch of events, until the deadline; says whether there came none."""
    yield False
    cursor = after
    narrator = Narrator()
    while (left := deadline - time.monotonic()) > 0:
        if pane is not None:
            pane.show(_pictures(api, followed.names))
        patience = min(left, _PATIENCE if pane is None else _TICK)
        answer = api.get(f"/api/v1/events?cursor={cursor}&wait={patience:.3f}", timeout=left + 15.0)
        cursor = answer["cursor"]
        for event in answer["events"]:
            if event.get("endpoint") in followed.names:
                _show(event, narrator, pane)
        yield not answer["events"]


def _pictures(api: ControlApi, names: Iterable[str]) -> list[str]:
    """Those that are on their way, as many as can be taken in."""
    moving = [one["endpoint"] for one in _summaries(api, names) if not one["settled"]]
    lines: list[str] = []
    for name in moving[:_MOST_PICTURES]:
        with contextlib.suppress(errors.NotFound):  # gone since; the next look says so
            lines += picture(api.get(of_deployment(name)))
    more = len(moving) - _MOST_PICTURES
    return [*lines, f"and {more} more (flashcore status)"] if more > 0 else lines


def _show(event: Mapping[str, Any], narrator: Narrator, pane: Pane | None) -> None:
    line = narrator.line(event)
    if line is None:
        return
    where = event.get("replica") or event.get("endpoint") or "-"
    told = f"  {click.style(str(where), fg='cyan')}  {line}"
    output.say(told) if pane is None else pane.tell(told)
