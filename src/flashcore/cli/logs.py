"""`flashcore logs`."""

from __future__ import annotations

import sys

import click

from flashcore.cli import output
from flashcore.cli.api import escaped, of_deployment
from flashcore.cli.common import Invocation, command
from flashcore.cli.connecting import connect
from flashcore.model.errors import UsageError


@click.command()
@click.argument("endpoint")
@click.option("--replica", help="Only this replica, also one that has ended.")
@click.option(
    "--tail", type=click.IntRange(min=0), default=100, show_default=True, help="How many lines of each replica."
)
@click.option("--follow", "-f", is_flag=True, help="Go on with what comes.")
@command
def logs(invocation: Invocation, endpoint: str, replica: str | None, tail: int, follow: bool) -> None:  # noqa: FBT001 - click names it
    """Show what the replicas of an ENDPOINT print, each line with the replica in front.

    Of an endpoint that was undeployed there is what its last replicas printed, for as long as it is kept.
    """
    if follow and invocation.as_json:
        raise UsageError("--follow has no end, and --json is one document", next_step="leave one of them out")
    api = connect(invocation.project())
    query = f"tail={tail}&follow={str(follow).lower()}" + (f"&replica={escaped(replica)}" if replica else "")
    lines = api.lines(f"{of_deployment(endpoint, 'logs')}?{query}", timeout=None)
    if invocation.as_json:
        output.show_json({"lines": list(lines)})
        return
    # What is kept elsewhere is kept as it is.
    show = output.show_line if sys.stdout.isatty() else click.echo
    for line in lines:
        show(line)
