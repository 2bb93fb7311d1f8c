"""A deployment in a few lines: a lane of replicas for each side, what it waits for and why, what comes next."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

import click

from flashcore.cli import output
from flashcore.cli.reasons import brief

_COLOURS = {"ready": "green", "idle": "green", "failed": "red", "degraded": "yellow", "rolling_back": "yellow"}
_MARKS = {
    "ready": ("●", "green"),
    "cordoned": ("⊘", "yellow"),
    "pending": ("·", "white"),
    "starting": ("◌", "cyan"),
    "warming_up": ("◐", "cyan"),
    "running": ("!", "yellow"),
    "draining": ("○", "white"),
    "failed": ("✗", "red"),
}
LEGEND = "● ready  ◐ warming up  ◌ starting  · pending  ○ draining  ! unwell  ✗ failed  ⊘ cordoned"
_LONGEST_LANE = 40
_MOST_WAITS = 4


def picture(one: Mapping[str, Any]) -> list[str]:
    """The lines of a deployment as the control API shows it."""
    return [_headline(one), *_lanes(one), *_waits(one), *_next(one)]


def _headline(one: Mapping[str, Any]) -> str:
    status = click.style(one["status"].replace("_", " "), fg=_COLOURS.get(one["status"], "cyan"))
    rollout = one["rollout"]
    under_way = f", rollout {rollout['generation']} to {rollout['target'][:12]}" if _is_open(rollout) else ""
    step = f", step {rollout['step']}" if _is_open(rollout) and rollout["step"] else ""
    return f"{click.style(one['endpoint'], bold=True)}  {status}, {ready_of(one)} ready{under_way}{step}"


def _is_open(rollout: Mapping[str, Any] | None) -> bool:
    return rollout is not None and rollout["state"] not in ("done", "aborted", "failed")


def _lanes(one: Mapping[str, Any]) -> Iterator[str]:
    for side in one["sides"]:
        replicas = [replica for replica in one["replicas"] if replica["revision"] == side["revision"]]
        marks = "".join(_mark(replica) for replica in replicas[:_LONGEST_LANE])
        more = f" +{len(replicas) - _LONGEST_LANE}" if len(replicas) > _LONGEST_LANE else ""
        share = "by capacity" if side["share"] is None else f"{side['share']} %"
        yield f"  {side['role']:10} {side['revision'][:12]}  {marks}{more}  {share}"


def _mark(replica: Mapping[str, Any]) -> str:
    sign, colour = _MARKS[state_of(replica)]
    return click.style(sign, fg=colour)


def state_of(replica: Mapping[str, Any]) -> str:
    """What a replica is, in one word of the legend."""
    if replica["failed"] or replica["health"] == "failed":
        return "failed"
    if replica["phase"] != "running":
        return str(replica["phase"]) if replica["phase"] in _MARKS else "draining"
    if replica["health"] != "healthy":
        return "running"
    return "cordoned" if replica["cordoned"] else "ready"


def _waits(one: Mapping[str, Any]) -> Iterator[str]:
    if one["reason"]:
        yield f"  why   {brief(one['reason'])}"
    for wait in one["waits"][:_MOST_WAITS]:
        yield f"  waits {wait_line(wait, one['now'])}"
    if len(one["waits"]) > _MOST_WAITS:
        yield f"        and {len(one['waits']) - _MOST_WAITS} more (flashcore why {one['endpoint']})"


def ready_of(one: Mapping[str, Any]) -> str:
    """Ready replicas of those that are wanted, as in `2/2`; `2/2 +1` while one more is there, as during a rollout."""
    more = one["ready"] - one["goal"]
    return f"{one['goal']}/{one['goal']} +{more}" if more > 0 else f"{one['ready']}/{one['goal']}"


def wait_line(wait: Mapping[str, Any], now: float) -> str:
    """One wait: its code, what stands in the way, why, and until when."""
    until = f", {moment(wait['until'], now)}" if wait["until"] is not None else ""
    reason = f": {brief(wait['reason'])}" if wait["reason"] else ""
    return f"{wait['code'].replace('_', ' ')} ({wait['blocked_by']}{until}){reason}"


def _next(one: Mapping[str, Any]) -> Iterator[str]:
    if one["next_wake"] is not None:
        yield f"  next  looks again {moment(one['next_wake'], one['now'])}"


def moment(at: float, now: float) -> str:
    """A time as people say it, as in `at 14:03:20 UTC (in 12 s)`."""
    clock = datetime.fromtimestamp(at, UTC).strftime("%H:%M:%S UTC")
    return f"at {clock} (in {output.seconds(round(at - now))})" if at > now else f"at {clock}"
