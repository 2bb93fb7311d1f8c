"""`flashcore server start|stop|status`."""

from __future__ import annotations

import click

from flashcore.cli import output
from flashcore.cli.common import Invocation, command
from flashcore.cli.connecting import connect, connect_or_start
from flashcore.server.daemon import running_server, stop_process


@click.group()
def server() -> None:
    """Start, stop and inspect the local platform: control plane and gateway."""


@server.command()
@command
def start(invocation: Invocation) -> None:
    """Start the platform in the background; does nothing when it runs."""
    api = connect_or_start(invocation.project())
    _show(invocation, api.get("/api/v1/server"))


@server.command()
@click.option("--keep-serving", is_flag=True, help="End only the control plane: gateway and replicas go on.")
@command
def stop(invocation: Invocation, keep_serving: bool) -> None:  # noqa: FBT001 - click names it
    """End the platform and all replicas. What is deployed is remembered, and comes back with the next start."""
    project = invocation.project()
    presence = running_server(project)
    if presence is None:
        output.say("the platform is not running")
    else:
        connect(project).call("POST", "/api/v1/server/stop", {"keep_serving": keep_serving})
        stop_process(presence)
        output.say("stopped")
    if invocation.as_json:
        output.show_json({"stopped": presence is not None})


@server.command()
@command
def status(invocation: Invocation) -> None:
    """Show where the platform listens; exit status 1 when it does not run."""
    _show(invocation, connect(invocation.project()).get("/api/v1/server"))


def _show(invocation: Invocation, answer: dict[str, object]) -> None:
    if invocation.as_json:
        output.show_json(answer)
        return
    output.show_table(
        ["", ""], [[name, str(value)] for name, value in answer.items() if not isinstance(value, list | dict)]
    )
