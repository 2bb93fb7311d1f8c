"""`flashcore server start|stop|status|backup|restore`."""

from __future__ import annotations

from pathlib import Path

import click

from flashcore.cli import output
from flashcore.cli.backup import backup, restore_state
from flashcore.cli.common import Invocation, command
from flashcore.cli.connecting import connect_or_start, connect_running
from flashcore.gateway.retired import retired_gateways
from flashcore.model.errors import UsageError
from flashcore.server.daemon import (
    STOP_TIMEOUT,
    running_gateway,
    running_server,
    stop_process,
    wait_for_start,
    was_cut_off,
)
from flashcore.server.farewell import left_something, require_all_ended
from flashcore.settings import Project


@click.group()
def server() -> None:
    """Start, stop and inspect the local platform: control plane and gateway."""


@server.command()
@click.option(
    "--manifest",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Keep the environment as this file says, from now on and after each start.",
)
@click.option("--test", is_flag=True, help="With --manifest: run it beside, under other names, until the server ends.")
@click.option(
    "--no-manifest", is_flag=True, help="Keep no manifest any more: what is deployed stays; a test is removed."
)
@command
def start(
    invocation: Invocation,
    manifest: Path | None,
    test: bool,  # noqa: FBT001 - click names it
    no_manifest: bool,  # noqa: FBT001 - click names it
) -> None:
    """Start the platform in the background; does nothing when it runs."""
    if (test and manifest is None) or (manifest is not None and no_manifest):
        raise UsageError("--test needs --manifest, and --no-manifest goes without them")
    api = connect_or_start(invocation.project())
    if manifest is not None:
        api.call("PUT", "/api/v1/manifest", {"path": str(manifest.absolute()), "test": test})
    elif no_manifest:
        for ending in ("false", "true"):
            api.call("DELETE", f"/api/v1/manifest?test={ending}")
    _show(invocation, api.get("/api/v1/server"))


@server.command()
@click.option("--keep-serving", is_flag=True, help="End only the control plane: gateway and replicas go on.")
@command
def stop(invocation: Invocation, keep_serving: bool) -> None:  # noqa: FBT001 - click names it
    """End the platform and all replicas. What is deployed is remembered, and comes back with the next start.

    One whose URL is configured is told to, and not waited for.
    """
    project = invocation.project()
    if project.settings.api.url:
        _tell_to_stop(invocation, project, keep_serving=keep_serving)
        return
    stopped = _stop(project, keep_serving=keep_serving)
    output.say("stopped" if stopped else "the platform is not running")
    if invocation.as_json:
        output.show_json({"stopped": stopped})


@server.command()
@command
def status(invocation: Invocation) -> None:
    """Show where the platform listens; exit status 1 when it does not run."""
    _show(invocation, connect_running(invocation.project()).get("/api/v1/server"))


server.add_command(backup)
server.add_command(restore_state)


@server.command("restart-gateway")
@command
def restart_gateway(invocation: Invocation) -> None:
    """Have a new gateway take the place of the one that runs, which ends what it had begun beside the new one."""
    answer = connect_running(invocation.project()).call("POST", "/api/v1/server/gateway/restart", {})
    if invocation.as_json:
        output.show_json(answer)
    else:
        output.say(f"the gateway goes on at {answer['gateway']} (pid {answer['gateway_pid']})")


def _tell_to_stop(invocation: Invocation, project: Project, *, keep_serving: bool) -> None:
    """Have the platform end whose URL is configured: its processes are another machine's, and cannot be waited for."""
    said = connect_running(project).call("POST", "/api/v1/server/stop", {"keep_serving": keep_serving})
    output.say(
        f"the platform at {project.settings.api.url} stops, within {said['seconds']:.0f} s; it is not waited for"
    )
    if invocation.as_json:
        output.show_json({"stopped": False})


def _stop(project: Project, *, keep_serving: bool) -> bool:
    """End what runs; whether anything did. Raises what kept any of it from ending.

    Only a control plane knows all that is to end: where one is missing it is started for that.
    """
    wait_for_start(project)
    if running_server(project) is None:
        gateways = running_gateway(project) or retired_gateways(project.layout)
        left = was_cut_off(project) or gateways or left_something(project.layout)
        if keep_serving or not left:
            return False
        connect_or_start(project)
    presence = running_server(project)
    said = connect_running(project).call("POST", "/api/v1/server/stop", {"keep_serving": keep_serving})
    if presence is not None:
        stop_process(presence, max(STOP_TIMEOUT, said["seconds"]))
        if not keep_serving:
            require_all_ended(project.layout, presence)
    return True


def _show(invocation: Invocation, answer: dict[str, object]) -> None:
    if invocation.as_json:
        output.show_json(answer)
        return
    shown = {name: value for name, value in answer.items() if not isinstance(value, list | dict | None)}
    width = max(map(len, shown))
    for name, value in shown.items():
        click.echo(f"{name:{width}}  {value}")
