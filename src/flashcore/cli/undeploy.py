"""`flashcore undeploy`."""

from __future__ import annotations

import time

import click

from flashcore.cli import output
from flashcore.cli.api import ControlApi, of_deployment
from flashcore.cli.common import Invocation, command
from flashcore.cli.connecting import connect
from flashcore.cli.following import cursor_now
from flashcore.cli.reasons import brief
from flashcore.model import errors


@click.command()
@click.argument("endpoint", required=False)
@click.option("--all", "everything", is_flag=True, help="Every endpoint of the environment.")
@click.option("--force", is_flag=True, help="Do not ask, and do not wait for jobs and requests to finish.")
@click.option(
    "--timeout",
    type=click.FloatRange(min=0),
    default=120.0,
    show_default=True,
    help="Seconds to wait until all is gone.",
)
@command
def undeploy(invocation: Invocation, endpoint: str | None, everything: bool, force: bool, timeout: float) -> None:  # noqa: FBT001 - click names them
    """Drain and remove one ENDPOINT, or all of them, with every job and file that belongs to them."""
    if (endpoint is None) == (not everything):
        raise errors.UsageError("name one endpoint, or give --all", next_step="flashcore undeploy NAME")
    api = connect(invocation.project())
    deployed = [one["endpoint"] for one in api.get("/api/v1/deployments")["deployments"]]
    names = deployed if everything else [str(endpoint)]
    if not force and output.interactive() and names:
        click.confirm(
            f"Remove {', '.join(names)} from {invocation.project().settings.environment}?", abort=True, err=True
        )
    cursor = cursor_now(api)
    for name in names:
        api.call("DELETE", f"{of_deployment(name)}?force={str(force).lower()}")
    deadline = time.monotonic() + timeout
    while left := _remaining(api, names):
        if time.monotonic() > deadline:
            raise errors.DeadlineExceeded(
                f"not gone after {output.seconds(timeout)}: {'; '.join(left)}",
                next_step="it goes on in the background: flashcore status",
            )
        cursor = api.get(f"/api/v1/events?cursor={cursor}&wait=2")["cursor"]
    if invocation.as_json:
        output.show_json({"removed": names})
    else:
        output.say(f"removed {', '.join(names)}" if names else "nothing was deployed")


def _remaining(api: ControlApi, names: list[str]) -> list[str]:
    """What is not gone yet, each with what is still there of it."""
    return [
        f"{one['endpoint']} ({brief(one['reason']) or one['status']})"
        for one in api.get("/api/v1/deployments")["deployments"]
        if one["endpoint"] in names
    ]
