"""`flashcore scale`."""

from __future__ import annotations

import click

from flashcore.cli import output
from flashcore.cli.common import Invocation, command
from flashcore.cli.connecting import connect
from flashcore.cli.following import Followed, cursor_now, follow
from flashcore.cli.reasons import brief


@click.command()
@click.argument("endpoint")
@click.argument("replicas", type=click.IntRange(min=0))
@click.option(
    "--timeout", type=click.FloatRange(min=0), default=120.0, show_default=True, help="Seconds to wait until it is so."
)
@command
def scale(invocation: Invocation, endpoint: str, replicas: int, timeout: float) -> None:
    """Set how many REPLICAS an ENDPOINT has, within the bounds of its declaration."""
    api = connect(invocation.project())
    cursor = cursor_now(api)
    api.call("POST", f"/api/v1/deployments/{endpoint}/scale", {"replicas": replicas})
    settled = follow(api, Followed((endpoint,)), cursor, timeout)
    if invocation.as_json:
        output.show_json({"deployments": list(settled.deployments)})
    else:
        for one in settled.deployments:
            why = f": {brief(one['reason'])}" if one["reason"] else ""
            output.say(f"{endpoint}: {one['ready']} of {one['goal']} ready{why}")
    if settled.failed:
        raise SystemExit(output.REFUSED)
