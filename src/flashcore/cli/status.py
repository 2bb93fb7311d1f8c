"""`flashcore status`."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

import click

from flashcore.cli import output
from flashcore.cli.api import of_deployment
from flashcore.cli.common import Invocation, command
from flashcore.cli.connecting import connect
from flashcore.cli.picture import ready_of, wait_line
from flashcore.cli.reasons import brief, whole
from flashcore.model.deployment import DeploymentStatus

_COLOURS = {"ready": "green", "idle": "green", "failed": "red", "degraded": "yellow"}


@click.command()
@click.argument("endpoint", required=False)
@command
def status(invocation: Invocation, endpoint: str | None) -> None:
    """Show what is deployed, or one ENDPOINT with its replicas and what it waits for."""
    api = connect(invocation.project())
    if endpoint is not None:
        found = api.get(of_deployment(endpoint))
        output.show_json(found) if invocation.as_json else show_one(found)
        return
    answer = api.get("/api/v1/deployments")
    if invocation.as_json:
        output.show_json(answer)
        return
    show_deployments(answer["deployments"], answer["gateway"])
    for note in answer["notes"]:
        output.say(f"note: {note}")


def show_deployments(deployments: Sequence[Mapping[str, Any]], gateway: str) -> None:
    """The table of endpoints, with the address of each."""
    if not deployments:
        output.say("nothing is deployed (flashcore deploy)")
        return
    rows = [
        [
            one["endpoint"],
            click.style(_words(one["status"]), fg=_COLOURS.get(one["status"], "cyan")),
            ready_of(one),
            (one["revision"] or "-")[:12],
            gateway + one["path"],
        ]
        for one in deployments
    ]
    output.show_table(["ENDPOINT", "STATUS", "READY", "REVISION", "URL"], rows)
    for one in deployments:
        if one["reason"]:
            output.say(f"  {one['endpoint']}: {brief(one['reason'])}")
            if brief(one["reason"]) != one["reason"]:
                output.say(f"    all of it: flashcore status {one['endpoint']}")
        if one["status"] == DeploymentStatus.AWAITING_PROMOTION.value:
            if one["preview"]:
                output.say(f"    try the new version: {gateway}{one['preview']}")
            output.say(f"    next: flashcore rollout promote {one['endpoint']}, or abort")


def show_one(one: Mapping[str, Any]) -> None:
    """One endpoint in full."""
    output.show_line(f"{one['endpoint']} ({_words(one['resource'])}): {_words(one['status'])}, {ready_of(one)} ready")
    if one["reason"]:
        output.show_line(textwrap.indent(whole(one["reason"]), "  "))
    if one["rollout"]:
        rollout = one["rollout"]
        why = f" ({brief(rollout['reason'])})" if rollout["reason"] and rollout["reason"] not in one["reason"] else ""
        click.echo(f"  rollout {rollout['generation']} to {rollout['target'][:12]}: {_words(rollout['state'])}{why}")
    for wait in one["waits"]:
        known = {"reason": ""} if wait["reason"] in one["reason"] else {}
        click.echo(f"  waits for {wait_line({**wait, **known}, one['now'])}")
    output.show_table(
        ["  REPLICA", "REVISION", "PHASE", "HEALTH", "REASON"],
        [
            [f"  {r['id']}", r["revision"][:12], _words(r["phase"]), _words(r["health"]), brief(r["reason"])]
            for r in one["replicas"]
        ],
    )


def _words(value: str) -> str:
    return value.replace("_", " ")
