"""`flashcore server start|stop|status`."""

from __future__ import annotations

import click

from flashcore.cli import output
from flashcore.cli.common import Invocation, command
from flashcore.cli.connecting import connect_or_start, connect_running
from flashcore.server.daemon import running_gateway, running_server, stop_process, was_cut_off
from flashcore.settings import Project


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
    stopped = _stop(project, keep_serving=keep_serving)
    output.say("stopped" if stopped else "the platform is not running")
    if invocation.as_json:
        output.show_json({"stopped": stopped})


@server.command()
@command
def status(invocation: Invocation) -> None:
    """Show where the platform listens; exit status 1 when it does not run."""
    _show(invocation, connect_running(invocation.project()).get("/api/v1/server"))


def _stop(project: Project, *, keep_serving: bool) -> bool:
    """End what runs; whether anything did.

    Only a control plane knows all that is to end: where one is missing it is started for that.
    """
    if running_server(project) is None:
        if keep_serving or not (was_cut_off(project) or running_gateway(project)):
            return False
        connect_or_start(project)
    presence = running_server(project)
    connect_running(project).call("POST", "/api/v1/server/stop", {"keep_serving": keep_serving})
    if presence is not None:
        stop_process(presence)
    return True


def _show(invocation: Invocation, answer: dict[str, object]) -> None:
    if invocation.as_json:
        output.show_json(answer)
        return
    shown = {name: value for name, value in answer.items() if not isinstance(value, list | dict)}
    width = max(map(len, shown))
    for name, value in shown.items():
        click.echo(f"{name:{width}}  {value}")
