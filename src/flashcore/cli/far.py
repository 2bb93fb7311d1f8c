"""The control API of another machine: called with TLS, and with a token that was made for it."""

from __future__ import annotations

import os
import ssl
from collections.abc import Mapping
from urllib.parse import urlsplit

from flashcore.cli.api import ControlApi
from flashcore.gateway.security import is_loopback
from flashcore.model.errors import ConfigurationError, Unauthorized
from flashcore.settings import Project


def far_api(project: Project, environ: Mapping[str, str] = os.environ) -> ControlApi | None:
    """The control API that `api.url` names, None where it names none. Raises ConfigurationError or Unauthorized."""
    url = project.settings.api.url
    if not url:
        return None
    tls = trust(project)
    token = environ.get("FLASHCORE_TOKEN", "")
    if not token:
        raise Unauthorized(
            f"FLASHCORE_TOKEN is not set: the control plane at {url} lets nobody in without a token",
            next_step="have one made there: flashcore token create NAME --scope read --scope deploy",
        )
    return ControlApi(url, token, tls)


def trust(project: Project) -> ssl.SSLContext | None:
    """How the certificate behind `api.url` is checked; None where TLS is not spoken, which is this machine or said so.

    Raises ConfigurationError for a URL that would show the token to who is on the way, and for an unreadable `api.ca`.
    """
    settings = project.settings.api
    address = urlsplit(settings.url)
    if address.scheme not in ("http", "https") or not address.hostname:
        raise ConfigurationError(
            f"api.url is {settings.url!r}", next_step="write it as in https://flash.example.com:8701"
        )
    if address.scheme == "http":
        if not (is_loopback(address.hostname) or settings.plain):
            raise ConfigurationError(
                f"{settings.url} is another machine, and without TLS whoever is on the way reads the token",
                next_step="write https://; or, where something else protects the way, set api.plain = true",
            )
        return None
    try:
        return ssl.create_default_context(cafile=project.root / settings.ca if settings.ca else None)
    except OSError as error:
        raise ConfigurationError(
            f"api.ca, {project.root / settings.ca}, cannot be used: {error}",
            next_step="give the path of certificates in PEM",
        ) from error
