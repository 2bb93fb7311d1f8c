"""From a project to its control API."""

from __future__ import annotations

from flashcore.cli import output
from flashcore.cli.api import ControlApi
from flashcore.model.errors import Unavailable
from flashcore.presence import Presence
from flashcore.server.daemon import running_server, start_server
from flashcore.server.token import read_token
from flashcore.settings import Project


def connect(project: Project) -> ControlApi:
    """The control API of the running platform. Raises Unavailable when it does not run."""
    presence = running_server(project)
    if presence is None:
        raise Unavailable(
            f"the platform of {project.settings.app}/{project.settings.environment} is not running",
            next_step="start it: flashcore server start, or flashcore deploy",
        )
    return _api(project, presence)


def connect_or_start(project: Project) -> ControlApi:
    """The control API, of a platform that is started when it does not run."""
    presence = running_server(project)
    if presence is None:
        output.say("starting the platform")
        presence = start_server(project)
    return _api(project, presence)


def _api(project: Project, presence: Presence) -> ControlApi:
    return ControlApi(presence.url, read_token(project.layout.token))
