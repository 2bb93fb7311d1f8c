"""What `flashcore doctor` looks at. Every examination is on its own: one that fails is a finding, not the end."""

from __future__ import annotations

import importlib.util
import os
import sqlite3
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from flashcore.cli.common import Invocation
from flashcore.model.errors import FlashcoreError
from flashcore.registry.doctor import Finding, Severity, plugin_findings, restart_findings_here
from flashcore.settings import Project

_ENOUGH_DISK = 1 << 30
_ENOUGH_FILES = 1000
_SOON = 14
"""Days before its end at which a certificate is to be renewed."""


def examine(invocation: Invocation) -> Iterator[Finding]:
    """All findings about this installation, and about the project where there is one."""
    yield from _python()
    yield from plugin_findings(invocation.directory)
    try:
        project = invocation.project()
    except FlashcoreError as error:
        yield Finding(Severity.NOTE, error.message, error.next_step or "")
        return
    yield Finding(Severity.FINE, f"project {project.settings.app} in {project.root}")
    looks: tuple[Callable[[Project], Iterator[Finding]], ...] = (
        _disk,
        _socket_paths,
        _server,
        _token,
        _certificate,
        _gateway_door,
        _api_door,
        _far_api,
    )
    for look in looks:
        try:
            yield from look(project)
        except FlashcoreError as error:
            yield Finding(Severity.WRONG, error.message, error.next_step or "")
        except OSError as error:
            yield Finding(Severity.WRONG, str(error))


def _python() -> Iterator[Finding]:
    version = ".".join(map(str, sys.version_info[:3]))
    yield Finding(Severity.FINE, f"Python {version}, SQLite {sqlite3.sqlite_version}")
    for package in ("uvloop", "httptools"):
        if importlib.util.find_spec(package) is None:
            yield Finding(Severity.NOTE, f"{package} is not installed: the gateway is slower", f"pip install {package}")


def _disk(project: Project) -> Iterator[Finding]:
    # Its local data may lie on a disk of its own; before the first deploy there is none.
    place = next(filter(Path.is_dir, (project.layout.home, project.layout.local)), project.root)
    room = os.statvfs(place)
    free, files = room.f_bavail * room.f_frsize, room.f_favail
    step = "free some space: a full disk stops submissions and deploys"
    severity = Severity.FINE if free > _ENOUGH_DISK else Severity.WRONG
    yield Finding(severity, f"{free / 1e9:.1f} GB free at {place}", "" if severity is Severity.FINE else step)
    if room.f_files and files < _ENOUGH_FILES:
        yield Finding(Severity.WRONG, f"no more than {files} files can be made at {place}", step)


def _socket_paths(project: Project) -> Iterator[Finding]:
    run = project.layout.run
    if project.layout.home not in run.parents:
        yield Finding(Severity.FINE, f"sockets are in {run}: paths in the project would be too long for them")


def _server(project: Project) -> Iterator[Finding]:
    from flashcore.cli.connecting import connect_running
    from flashcore.server.daemon import running_server

    if project.settings.api.url:
        return  # commands call another machine's
    presence = running_server(project)
    if presence is None:
        if project.layout.server_file.exists():
            yield Finding(Severity.NOTE, "the control plane ended without saying so", "flashcore server start")
        else:
            yield Finding(Severity.FINE, f"no platform runs for {project.settings.environment}")
        return
    answer = connect_running(project).get("/api/v1/server")
    yield Finding(Severity.FINE, f"control plane at {presence.url}, gateway at {answer['gateway'] or 'nowhere'}")
    for note in answer["notes"]:
        yield Finding(Severity.NOTE, note)
    # What was installed since is on the path of this process, and not always on that of the one that runs.
    changed = restart_findings_here(answer["plugins"], project.root)
    yield from (one for one in changed if not any(note.startswith(one.message) for note in answer["notes"]))


def _token(project: Project) -> Iterator[Finding]:
    from flashcore.server.token import read_token

    if project.layout.token.exists():
        read_token(project.layout.token)
        yield Finding(Severity.FINE, "the local token is private")


def _certificate(project: Project) -> Iterator[Finding]:
    from flashcore.cli.certificates import ends_at
    from flashcore.server.listening import security_of

    security = security_of(project)
    context, certificate, key = security.context(), security.certificate, security.key
    if context is None or certificate is None or key is None:
        return
    days = (ends_at(certificate, context) - time.time()) / 86_400
    severity, step = (Severity.FINE, "") if days > _SOON else (Severity.NOTE, "renew it, then restart the platform")
    yield Finding(severity, f"the certificate {certificate} and its key fit, for {days:.0f} more days", step)
    if key.stat().st_mode & 0o077:
        yield Finding(Severity.WRONG, f"the key {key} can be read by others", f"chmod 600 {key}")


def _gateway_door(project: Project) -> Iterator[Finding]:
    from flashcore.gateway.security import Security, is_loopback
    from flashcore.server.listening import tls_files

    settings = project.settings
    auth = settings.auth == "on" or (settings.auth == "auto" and not is_loopback(settings.host))
    certificate, key = tls_files(project)
    Security(auth=auth, certificate=certificate, key=key, exposed=settings.exposed).check(settings.host)
    if not is_loopback(settings.host):
        spoken = "TLS" if certificate else "no TLS, as exposed says that something in front of it does"
        yield Finding(Severity.FINE, f"the gateway listens at {settings.host}, and speaks {spoken}")


def _api_door(project: Project) -> Iterator[Finding]:
    from flashcore.server.listening import doors

    for door in doors(project)[:-1]:
        yield Finding(Severity.FINE, f"the control API listens at {door.host}, with {'TLS' if door.tls else 'no TLS'}")


def _far_api(project: Project) -> Iterator[Finding]:
    url = project.settings.api.url
    if not url:
        return
    from flashcore.cli.far import far_api

    api = far_api(project)
    if api is not None:
        answer = api.get("/api/v1/server")
        yield Finding(Severity.FINE, f"commands call {url}: {answer['app']}/{answer['environment']}")
