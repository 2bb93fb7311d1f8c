"""Where the control API listens: in the clear on this machine, and beyond it with TLS or on somebody's word."""

from __future__ import annotations

import errno
import socket
import ssl
from dataclasses import dataclass
from pathlib import Path

from flashcore.gateway.security import Security, is_loopback
from flashcore.model.errors import ConfigurationError
from flashcore.settings import Project, Settings

PORTS_TRIED = 50


@dataclass(frozen=True, slots=True)
class Door:
    """An address to listen at, and what is spoken there."""

    host: str
    tls: ssl.SSLContext | None = None


def tls_files(project: Project) -> tuple[Path | None, Path | None]:
    """The certificate and the key that are configured."""
    tls = project.settings.tls
    certificate, key = (project.root / path if path else None for path in (tls.certificate, tls.key))
    return certificate, key


def security_of(project: Project) -> Security:
    """What protects the control API: tokens always. Raises ConfigurationError where it may not listen as it is told."""
    settings = project.settings
    certificate, key = tls_files(project)
    security = Security(auth=True, certificate=certificate, key=key, exposed=settings.exposed)
    security.check(settings.api.host or "127.0.0.1", "the control API")
    return security


def doors(project: Project) -> tuple[Door, ...]:
    """Where it listens; commands of this machine call the last of them. Raises ConfigurationError.

    At `api.host` it speaks TLS where there is a certificate. Programs of this machine go on in the clear over the
    loopback interface, which is in few certificates.
    """
    security, asked = security_of(project), project.settings.api.host
    inner = Door(inner_host(project.settings))
    if not asked:
        return (inner,)
    outer = Door(asked, security.context())
    return (inner,) if outer == inner else (outer, inner)


def inner_host(settings: Settings) -> str:
    """Where it is spoken to in the clear: beyond this machine only if something in front of it speaks TLS."""
    return settings.host if settings.exposed or is_loopback(settings.host) else "127.0.0.1"


def listen(host: str, port: int) -> socket.socket:
    """A socket that listens on the port or on the next free one. Raises ConfigurationError when none is free."""
    tried = range(port, min(port + PORTS_TRIED, 65_536)) if port else range(1)
    for candidate in tried:
        listener = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((host, candidate))
            listener.listen(128)
        except OSError as error:
            listener.close()
            if error.errno != errno.EADDRINUSE:
                raise ConfigurationError(
                    f"the control API cannot listen on {host}:{candidate}: {error.strerror}",
                    next_step="set host, api.host or ports.api in flashcore.toml",
                ) from error
        else:
            listener.set_inheritable(False)
            return listener
    raise ConfigurationError(
        f"no port from {tried.start} to {tried.stop - 1} is free on {host} for the control API",
        next_step="set ports.api in flashcore.toml",
    )
