"""`flashcore rollout promote|pause|resume|abort`."""

from __future__ import annotations

import click

from flashcore.cli import output
from flashcore.cli.common import Invocation, command
from flashcore.cli.connecting import connect
from flashcore.cli.following import cursor_now, until_settled
from flashcore.cli.status import show_deployments
from flashcore.model.deployment import DeploymentStatus


@click.group()
def rollout() -> None:
    """Decide about the rollout of an endpoint that is under way."""


@rollout.command()
@click.argument("endpoint")
@click.option(
    "--timeout",
    type=click.FloatRange(min=0),
    default=300.0,
    show_default=True,
    help="Seconds to wait until all is settled.",
)
@command
def promote(invocation: Invocation, endpoint: str, timeout: float) -> None:
    """Let the rollout of ENDPOINT pass the checkpoint at which it waits, and follow it to its end.

    Exits with 1 when another gate still holds it there.
    """
    _ask_and_follow(invocation, endpoint, "promote", timeout)


@rollout.command()
@click.argument("endpoint")
@click.option(
    "--timeout",
    type=click.FloatRange(min=0),
    default=300.0,
    show_default=True,
    help="Seconds to wait until all is settled.",
)
@command
def abort(invocation: Invocation, endpoint: str, timeout: float) -> None:
    """Take the rollout of ENDPOINT back: the revision that served before serves alone again."""
    _ask_and_follow(invocation, endpoint, "abort", timeout)


@rollout.command()
@click.argument("endpoint")
@click.option(
    "--timeout",
    type=click.FloatRange(min=0),
    default=300.0,
    show_default=True,
    help="Seconds to wait until all is settled.",
)
@command
def resume(invocation: Invocation, endpoint: str, timeout: float) -> None:
    """Let a paused rollout of ENDPOINT go on, and follow it to its end."""
    _ask_and_follow(invocation, endpoint, "resume", timeout)


@rollout.command()
@click.argument("endpoint")
@command
def pause(invocation: Invocation, endpoint: str) -> None:
    """Stop the rollout of ENDPOINT where it is; both revisions serve on."""
    found = connect(invocation.project()).call("POST", f"/api/v1/deployments/{endpoint}/pause")
    if invocation.as_json:
        output.show_json(found)
    else:
        output.say(f"{endpoint}: paused (flashcore rollout resume {endpoint})")


def _ask_and_follow(invocation: Invocation, endpoint: str, operation: str, timeout: float) -> None:
    api = connect(invocation.project())
    cursor = cursor_now(api)
    api.call("POST", f"/api/v1/deployments/{endpoint}/{operation}")
    settled = until_settled(api, [endpoint], cursor, timeout)
    if invocation.as_json:
        output.show_json({"deployments": list(settled.deployments)})
    else:
        show_deployments(settled.deployments, api.get("/api/v1/server")["gateway"] or "")
    if settled.failed or any(one["status"] == DeploymentStatus.AWAITING_PROMOTION.value for one in settled.deployments):
        raise SystemExit(output.REFUSED)
