"""`flashcore hold-traffic`, `release-traffic`, `cordon` and `uncordon`."""

from __future__ import annotations

import time
from typing import Any

import click

from flashcore.cli import output
from flashcore.cli.api import ControlApi, of_deployment
from flashcore.cli.common import Invocation, command
from flashcore.cli.connecting import connect
from flashcore.cli.following import GATEWAYS_PATIENCE, await_gateways


@click.command("hold-traffic")
@click.argument("endpoint")
@command
def hold_traffic(invocation: Invocation, endpoint: str) -> None:
    """Keep new calls of ENDPOINT waiting at the gateway; what is under way finishes."""
    _ask(invocation, endpoint, f"new calls wait (flashcore release-traffic {endpoint})", "hold-traffic")


@click.command("release-traffic")
@click.argument("endpoint")
@command
def release_traffic(invocation: Invocation, endpoint: str) -> None:
    """Let the calls of ENDPOINT through again."""
    _ask(invocation, endpoint, "calls are answered again", "release-traffic")


@click.command()
@click.argument("endpoint")
@click.argument("replica")
@command
def cordon(invocation: Invocation, endpoint: str, replica: str) -> None:
    """Take a REPLICA of ENDPOINT out of the traffic; it finishes what it has, lives on, and is not replaced."""
    said = f"{replica} gets no calls (flashcore uncordon {endpoint} {replica})"
    _ask(invocation, endpoint, said, "replicas", replica, "cordon")


@click.command()
@click.argument("endpoint")
@click.argument("replica")
@command
def uncordon(invocation: Invocation, endpoint: str, replica: str) -> None:
    """Put a REPLICA of ENDPOINT back into the traffic."""
    _ask(invocation, endpoint, f"{replica} gets calls again", "replicas", replica, "uncordon")


def _ask(invocation: Invocation, endpoint: str, said: str, *operation: str) -> None:
    found = routed(connect(invocation.project()), endpoint, *operation)
    if invocation.as_json:
        output.show_json(found)
    else:
        output.say(f"{endpoint}: {said}")


def routed(api: ControlApi, endpoint: str, *operation: str) -> Any:
    """What an operation on an endpoint's routes answers, once gateways go by it; one that takes too long is named."""
    answer = api.call("POST", of_deployment(endpoint, *operation))
    await_gateways(api, (endpoint,), time.monotonic() + GATEWAYS_PATIENCE)
    return answer
