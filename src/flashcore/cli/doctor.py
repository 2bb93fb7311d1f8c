"""`flashcore doctor`."""

from __future__ import annotations

import click

from flashcore.cli import output
from flashcore.cli.common import Invocation, command
from flashcore.cli.examining import examine
from flashcore.registry.doctor import Severity


@click.command()
@command
def doctor(invocation: Invocation) -> None:
    """Look for what is wrong with this installation and project; exit status 1 when something is."""
    findings = list(examine(invocation))
    if invocation.as_json:
        output.show_json({"findings": findings})
    else:
        for finding in findings:
            output.say(f"{_MARK[finding.severity]} {finding.message}")
            if finding.next_step:
                output.say(f"    next: {finding.next_step}")
    if any(finding.severity is Severity.WRONG for finding in findings):
        raise SystemExit(output.REFUSED)


_MARK = {
    Severity.FINE: click.style("ok   ", fg="green"),
    Severity.NOTE: click.style("note ", fg="yellow"),
    Severity.WRONG: click.style("wrong", fg="red"),
}
