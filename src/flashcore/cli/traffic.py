"""`flashcore hold-traffic`, `release-traffic`, `cordon` and `uncordon`."""

from __future__ import annotations

import click

from flashcore.cli import output
from flashcore.cli.common import Invocation, command
from flashcore.cli.connecting import connect


@click.command("hold-traffic")
@click.argument("endpoint")
@command
def hold_traffic(invocation: Invocation, endpoint: str) -> None:
    """Keep new calls of ENDPOINT waiting at the gateway; what is under way finishes."""
    _ask(invocation, endpoint, "hold-traffic", f"new calls wait (flashcore release-traffic {endpoint})")


@click.command("release-traffic")
@click.argument("endpoint")
@command
def release_traffic(invocation: Invocation, endpoint: str) -> None:
    """Let the calls of ENDPOINT through again."""
    _ask(invocation, endpoint, "release-traffic", "calls are answered again")


@click.command()
@click.argument("endpoint")
@click.argument("replica")
@command
def cordon(invocation: Invocation, endpoint: str, replica: str) -> None:
    """Take a REPLICA of ENDPOINT out of the traffic; it finishes what it has, lives on, and is not replaced."""
    said = f"{replica} gets no calls (flashcore uncordon {endpoint} {replica})"
    _ask(invocation, endpoint, f"replicas/{replica}/cordon", said)


@click.command()
@click.argument("endpoint")
@click.argument("replica")
@command
def uncordon(invocation: Invocation, endpoint: str, replica: str) -> None:
    """Put a REPLICA of ENDPOINT back into the traffic."""
    _ask(invocation, endpoint, f"replicas/{replica}/uncordon", f"{replica} gets calls again")


def _ask(invocation: Invocation, endpoint: str, operation: str, said: str) -> None:
    found = connect(invocation.project()).call("POST", f"/api/v1/deployments/{endpoint}/{operation}")
    if invocation.as_json:
        output.show_json(found)
    else:
        output.say(f"{endpoint}: {said}")
