"""`flashcore rollout status|promote|pause|resume|abort|retry|undo|restart|history`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import click

from flashcore.cli import output
from flashcore.cli.api import ControlApi, of_deployment
from flashcore.cli.common import Invocation, command
from flashcore.cli.connecting import connect
from flashcore.cli.following import Followed, Settled, cursor_now, follow
from flashcore.cli.picture import picture
from flashcore.cli.reasons import brief
from flashcore.cli.status import show_deployments
from flashcore.model.deployment import DeploymentStatus

F = TypeVar("F", bound=Callable[..., Any])


@click.group()
def rollout() -> None:
    """Look at the rollout of an endpoint, and decide about it."""


def _timeout(function: F) -> F:
    return click.option(
        "--timeout",
        type=click.FloatRange(min=0),
        default=300.0,
        show_default=True,
        help="Seconds to wait until all is settled.",
    )(function)


@rollout.command()
@click.argument("endpoint")
@click.option("--follow", "-f", "following", is_flag=True, help="Show what happens until it is settled.")
@_timeout
@command
def status(invocation: Invocation, endpoint: str, following: bool, timeout: float) -> None:  # noqa: FBT001 - click names it
    """Show the sides of ENDPOINT, what it waits for, and when it goes on.

    With --follow it exits like deploy: 0 settled, 1 failed or taken back, 3 time over, 4 superseded.
    """
    api = connect(invocation.project())
    one = api.get(of_deployment(endpoint))
    if following:
        under_way = not one["settled"] and one["rollout"] is not None and one["rollout"]["state"] != "restoring"
        _follow(invocation, api, one, cursor_now(api), timeout, rolled_out=under_way)
    elif invocation.as_json:
        output.show_json(one)
    else:
        for line in picture(one):
            output.show_line(line)


@rollout.command()
@click.argument("endpoint")
@click.option("--full", is_flag=True, help="Pass every checkpoint to come as well, whatever its gates say.")
@_timeout
@command
def promote(invocation: Invocation, endpoint: str, full: bool, timeout: float) -> None:  # noqa: FBT001 - click names it
    """Let the rollout of ENDPOINT pass the checkpoint at which it waits, and follow it to its end.

    Exits with 1 when another gate still holds it there.
    """
    settled = _ask_and_follow(invocation, endpoint, "promote", timeout, {"full": full})
    if any(one["status"] == DeploymentStatus.AWAITING_PROMOTION.value for one in settled.deployments):
        raise SystemExit(output.REFUSED)


@rollout.command()
@click.argument("endpoint")
@_timeout
@command
def abort(invocation: Invocation, endpoint: str, timeout: float) -> None:
    """Take the rollout of ENDPOINT back: the revision that served before serves alone again."""
    _ask_and_follow(invocation, endpoint, "abort", timeout)


@rollout.command()
@click.argument("endpoint")
@_timeout
@command
def retry(invocation: Invocation, endpoint: str, timeout: float) -> None:
    """Begin the rollout of ENDPOINT again that failed or was taken back, from its first step."""
    _ask_and_follow(invocation, endpoint, "retry", timeout)


@rollout.command()
@click.argument("endpoint")
@click.option("--to", "revision", metavar="REVISION", help="Its id or the start of it (flashcore rollout history).")
@_timeout
@command
def undo(invocation: Invocation, endpoint: str, revision: str | None, timeout: float) -> None:
    """Go back to the revision before; at once where it is still kept warm. A rollout that is under way is aborted."""
    _ask_and_follow(invocation, endpoint, "undo", timeout, {"revision": revision})


@rollout.command()
@click.argument("endpoint")
@_timeout
@command
def restart(invocation: Invocation, endpoint: str, timeout: float) -> None:
    """Replace every replica of ENDPOINT by a new one of the same revision, one at a time, the oldest first."""
    _ask_and_follow(invocation, endpoint, "restart", timeout)


@rollout.command()
@click.argument("endpoint")
@_timeout
@command
def resume(invocation: Invocation, endpoint: str, timeout: float) -> None:
    """Let a paused rollout of ENDPOINT go on, and follow it to its end."""
    _ask_and_follow(invocation, endpoint, "resume", timeout)


@rollout.command()
@click.argument("endpoint")
@command
def pause(invocation: Invocation, endpoint: str) -> None:
    """Stop the rollout of ENDPOINT where it is; both revisions serve on."""
    found = connect(invocation.project()).call("POST", of_deployment(endpoint, "pause"))
    if invocation.as_json:
        output.show_json(found)
    else:
        output.say(f"{endpoint}: paused (flashcore rollout resume {endpoint})")


@rollout.command()
@click.argument("endpoint")
@click.option("--limit", type=click.IntRange(1, 1_000), default=20, show_default=True, help="How many, newest first.")
@command
def history(invocation: Invocation, endpoint: str, limit: int) -> None:
    """List the revisions of ENDPOINT that are kept, and what became of each."""
    answer = connect(invocation.project()).get(f"{of_deployment(endpoint, 'history')}?limit={limit}")
    if invocation.as_json:
        output.show_json(answer)
        return
    rows = [
        [str(one["number"]), one["id"][:12], ", ".join(one["roles"]) or "-", str(one["replicas"]), _outcome(one)]
        for one in answer["revisions"]
    ]
    output.show_table(["NUMBER", "REVISION", "PART", "REPLICAS", "ROLLOUT"], rows)


def _outcome(version: Mapping[str, Any]) -> str:
    told = version["outcome"] or "-"
    return f"{told}: {brief(version['reason'])}" if told in ("failed", "aborted", "restoring") else told


def _ask_and_follow(
    invocation: Invocation, endpoint: str, operation: str, timeout: float, body: Mapping[str, Any] | None = None
) -> Settled:
    api = connect(invocation.project())
    cursor = cursor_now(api)
    generation = api.get(of_deployment(endpoint))["generation"]
    asked = api.call("POST", of_deployment(endpoint, operation), body)
    goes_back = operation == "abort" or (operation == "undo" and asked["generation"] == generation)
    return _follow(invocation, api, asked, cursor, timeout, rolled_out=not goes_back and operation != "restart")


def _follow(
    invocation: Invocation, api: ControlApi, one: Mapping[str, Any], cursor: str, timeout: float, *, rolled_out: bool
) -> Settled:
    name = one["endpoint"]
    meant = frozenset({name}) if rolled_out else frozenset[str]()
    settled = follow(api, Followed((name,), {name: one["generation"]}, meant), cursor, timeout)
    if invocation.as_json:
        output.show_json({"deployments": list(settled.deployments)})
    else:
        show_deployments(settled.deployments, api.get("/api/v1/server")["gateway"] or "")
    if settled.failed:
        raise SystemExit(output.REFUSED)
    return settled
