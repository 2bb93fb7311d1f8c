"""From a project to its control API."""

from __future__ import annotations

from typing import NoReturn

from flashcore.cli import output
from flashcore.cli.api import ControlApi
from flashcore.model.errors import Unavailable
from flashcore.presence import Presence
from flashcore.server.daemon import belongs_to_session, running_gateway, running_server, start_server, was_cut_off
from flashcore.server.token import read_token
from flashcore.settings import Project


def connect(project: Project) -> ControlApi:
    """The control API of the platform; a control plane of this machine that was cut off is started again.

    Raises Unavailable when none runs and none is missed, and as far_api.
    """
    if (far := _far(project)) is not None:
        return far
    presence = running_server(project)
    if presence is None and was_cut_off(project):
        output.say("the control plane was cut off; starting it again")
        presence = _start(project)
    return _api(project, presence) if presence is not None else _refuse(project)


def connect_running(project: Project) -> ControlApi:
    """The control API of the control plane that runs. Raises Unavailable when none does, and as far_api."""
    if (far := _far(project)) is not None:
        return far
    presence = running_server(project)
    return _api(project, presence) if presence is not None else _refuse(project)


def connect_or_start(project: Project) -> ControlApi:
    """The control API, of a platform that is started when it does not run on this machine. Raises as far_api."""
    if (far := _far(project)) is not None:
        return far
    presence = running_server(project)
    if presence is None:
        output.say("starting the platform")
        presence = _start(project)
    return _api(project, presence)


def _far(project: Project) -> ControlApi | None:
    if not project.settings.api.url:
        return None
    # TLS takes long to import, and most commands speak to this machine.
    from flashcore.cli.far import far_api

    return far_api(project)


def _start(project: Project) -> Presence:
    """Start it; whoever does not wait for that is told that it goes on."""
    try:
        return start_server(project)
    except KeyboardInterrupt:
        output.say("the platform goes on starting in the background (flashcore server stop ends it)")
        raise


def _refuse(project: Project) -> NoReturn:
    where = f"{project.settings.app}/{project.settings.environment}"
    if belongs_to_session(project.layout):
        raise Unavailable(
            f"{where} is a `flashcore dev` session: it has no control plane to ask",
            next_step="look at its terminal, or name a deployed environment with --env",
        )
    serving = running_gateway(project)
    raise Unavailable(
        f"the platform of {where} is not running"
        if serving is None
        else f"the control plane of {where} is not running; its gateway goes on at {serving.url}",
        next_step="start it: flashcore server start, or flashcore deploy",
    )


def _api(project: Project, presence: Presence) -> ControlApi:
    return ControlApi(presence.url, read_token(project.layout.token))
