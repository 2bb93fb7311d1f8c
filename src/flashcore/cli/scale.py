"""`flashcore scale`."""

from __future__ import annotations

import click

from flashcore.cli import output
from flashcore.cli.api import of_deployment
from flashcore.cli.common import Invocation, command
from flashcore.cli.connecting import connect
from flashcore.cli.following import Followed, cursor_now, follow
from flashcore.cli.reasons import brief


def number_or_auto(value: str) -> int | None:
    """The number that was typed, None for `auto`."""
    if value == "auto":
        return None
    if not value.isdecimal():
        raise click.BadParameter(f"{value!r} is neither a number nor 'auto'")
    return int(value)


@click.command()
@click.argument("endpoint")
@click.argument("replicas", type=number_or_auto)
@click.option(
    "--timeout", type=click.FloatRange(min=0), default=120.0, show_default=True, help="Seconds to wait until it is so."
)
@click.option("--force", is_flag=True, help="Also more than this machine has room for.")
@command
def scale(invocation: Invocation, endpoint: str, replicas: int | None, timeout: float, force: bool) -> None:  # noqa: FBT001 - click names it
    """Set how many REPLICAS an ENDPOINT has, or `auto` to leave that to its scaler and bounds again."""
    api = connect(invocation.project())
    cursor = cursor_now(api)
    api.call("POST", of_deployment(endpoint, "scale"), {"replicas": replicas, "force": force})
    settled = follow(api, Followed((endpoint,)), cursor, timeout)
    if invocation.as_json:
        output.show_json({"deployments": list(settled.deployments)})
    else:
        for one in settled.deployments:
            why = f": {brief(one['reason'])}" if one["reason"] else ""
            output.say(f"{endpoint}: {one['ready']} of {one['goal']} ready{why}")
    if settled.failed:
        raise SystemExit(output.REFUSED)
