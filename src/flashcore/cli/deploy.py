"""`flashcore deploy`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import click

from flashcore.build.project import BuildResult
from flashcore.cli import output
from flashcore.cli.api import ControlApi
from flashcore.cli.building import build_project
from flashcore.cli.common import Invocation, command
from flashcore.cli.connecting import connect, connect_or_start
from flashcore.cli.following import Followed, cursor_now, follow
from flashcore.cli.planning import planned
from flashcore.cli.status import show_deployments
from flashcore.model.errors import UnknownPart
from flashcore.model.manifest import manifest_to_json
from flashcore.registry.doctor import RESTART
from flashcore.settings import Project


@click.command()
@click.option(
    "--timeout",
    type=click.FloatRange(min=0),
    default=300.0,
    show_default=True,
    help="Seconds to wait until all is settled.",
)
@click.option("--detach", is_flag=True, help="Do not wait: the rollout goes on in the background.")
@click.option("--plan", "only_plan", is_flag=True, help="Show what would happen, step by step, and change nothing.")
@click.option("--force", is_flag=True, help="Also what this machine can never have room for.")
@command
def deploy(
    invocation: Invocation,
    timeout: float,
    detach: bool,  # noqa: FBT001 - click names it
    only_plan: bool,  # noqa: FBT001 - click names it
    force: bool,  # noqa: FBT001 - click names it
) -> None:
    """Build the project and roll out what changed; starts the local platform when it is not running.

    Exits with 0 when everything is settled, 1 when something failed, was refused or was taken back, 3 when the time
    was over, 4 when a newer rollout superseded this one. Ctrl-C detaches: the rollout goes on in the background.
    """
    project = invocation.project()
    built = build_project(project)
    if only_plan:
        with _by_its_plugins(project):
            _show_plan(invocation, connect(project), built)
        return
    api = connect_or_start(project)
    cursor = cursor_now(api)
    _upload(api, built)
    asked = {"manifest": manifest_to_json(built.manifest), "force": force}
    with _by_its_plugins(project):
        answer = api.call("POST", "/api/v1/deployments", asked)
    _say_what_changes(answer)
    if detach:
        _finish(invocation, answer, [])
        return
    settled = follow(api, _followed(answer), cursor, timeout)
    _finish(invocation, answer, list(settled.deployments))
    if settled.failed or any("error" in one for one in answer["endpoints"]):
        raise SystemExit(output.REFUSED)


@contextmanager
def _by_its_plugins(project: Project) -> Iterator[None]:
    """The build has found all parts here: a control plane that does not know one has other plugins."""
    try:
        yield
    except UnknownPart as error:
        far = project.settings.api.url
        raise UnknownPart(
            f"the control plane does not have what is installed here: {error.message}",
            next_step=f"install it where {far} runs, and restart that" if far else RESTART,
            **error.data,
        ) from error


def _show_plan(invocation: Invocation, api: ControlApi, built: BuildResult) -> None:
    answer = api.call("POST", "/api/v1/deployments/plan", {"manifest": manifest_to_json(built.manifest)})
    if invocation.as_json:
        output.show_json(answer)
        return
    for line in planned(answer):
        click.echo(line)


def _followed(answer: Mapping[str, Any]) -> Followed:
    accepted = [one for one in answer["endpoints"] if "error" not in one]
    begun = [one for one in accepted if one["change"] in ("new", "rolling out")]
    return Followed(
        names=tuple(one["endpoint"] for one in accepted),
        generations={one["endpoint"]: one["generation"] for one in begun},
        rolled_out=frozenset(one["endpoint"] for one in begun),
    )


def _upload(api: ControlApi, built: BuildResult) -> None:
    for digest, path in built.artifacts.items():
        if not api.has(f"/api/v1/artifacts/{digest}"):
            named = ", ".join(entry.name for entry in built.manifest.endpoints if entry.artifact == digest)
            output.say(f"uploading {named} ({path.stat().st_size / 1e6:.1f} MB)")
            api.upload(f"/api/v1/artifacts/{digest}", path)


def _say_what_changes(answer: Mapping[str, Any]) -> None:
    for one in answer["endpoints"]:
        if "error" in one:
            output.say(f"  {one['endpoint']}: {click.style('refused', fg='red')}: {one['error']['message']}")
        else:
            output.say(f"  {one['endpoint']}: {one['change']}")
    for name in answer["undeclared"]:
        output.say(f"  {name}: still deployed, no longer in the project (flashcore undeploy {name})")


def _finish(invocation: Invocation, answer: Mapping[str, Any], deployments: list[Mapping[str, Any]]) -> None:
    if invocation.as_json:
        output.show_json({**answer, "deployments": deployments})
    elif deployments:
        show_deployments(deployments, answer["gateway"])
