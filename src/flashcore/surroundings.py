"""What replicas get from the platform beside their revision: where they are, how to call others, and their secrets."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from flashcore.model.errors import ConfigurationError, Refused
from flashcore.model.names import RevisionId
from flashcore.model.revision import Revision
from flashcore.model.token import inner_token
from flashcore.presence import read_presence
from flashcore.settings import Project
from flashcore.wire.hop import HOP_HEADER, hop_key, hop_secret
from flashcore.wire.hop import KEY_VARIABLE as HOP_KEY_VARIABLE
from flashcore.wire.sealed import KEY_VARIABLE


@dataclass(frozen=True, slots=True)
class ProjectSurroundings:
    """Those of one project's platform. Read anew for each start: the gateway may have moved, a secret been added."""

    project: Project

    def environment(self, revision: Revision) -> Mapping[str, str]:
        """App, environment, endpoint, and the gateway's address where one runs."""
        settings = self.project.settings
        gateway = read_presence(self.project.layout.gateway_file)
        found = {
            "FLASHCORE_APP": settings.app,
            "FLASHCORE_ENV": settings.environment,
            "FLASHCORE_ENDPOINT": revision.content.endpoint,
        }
        if gateway is not None:
            found["FLASHCORE_GATEWAY_URL"] = gateway.url
        if secret := hop_secret(self.project.layout.hop_key):
            found[HOP_KEY_VARIABLE] = hop_key(secret, revision.id)
        return found

    def probe_headers(self, revision: RevisionId) -> Mapping[str, str]:
        """What a replica of that revision lets requests of the control plane in by."""
        secret = hop_secret(self.project.layout.hop_key)
        return {HOP_HEADER.decode(): hop_key(secret, revision)} if secret else {}

    def secrets(self, names: tuple[str, ...]) -> Mapping[str, str]:
        """The values, from this process's environment or the project's secrets file; and what replicas prove with.

        That is the key that calls are signed with, and a token to call the gateway.

        Raises Refused, which names the secrets that are nowhere.
        """
        file = self.project.layout.local / "secrets"
        known = {**(read_secrets(file) if names else {}), **os.environ}
        missing = [name for name in names if name not in known]
        if missing:
            raise Refused(
                f"no value is known for the secrets {', '.join(missing)}",
                next_step=f"write NAME=VALUE lines to {file} (mode 600), or set them where the server is started",
                missing=missing,
            )
        layout = self.project.layout
        own = {**_call_key(layout.call_key), **_inner_token(layout.token)}
        return {**own, **{name: known[name] for name in names}}


def _inner_token(file: Path) -> Mapping[str, str]:
    """What replicas call the gateway with; nothing where there is no token to make it of."""
    try:
        token = file.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError):
        return {}  # whoever reads it as a credential says what is wrong with it
    return {"FLASHCORE_TOKEN": inner_token(token)} if token else {}


def _call_key(file: Path) -> Mapping[str, str]:
    """What pickled calls are signed with; without the file replicas take JSON alone."""
    try:
        return {KEY_VARIABLE: file.read_text(encoding="ascii").strip()}
    except OSError:
        return {}


def read_secrets(file: Path) -> Mapping[str, str]:
    """NAME=VALUE lines; blank lines and lines that begin with # are passed over.

    Raises ConfigurationError when others may read the file or a line is something else; values are never shown.
    """
    try:
        mode = file.stat().st_mode & 0o777
        text = file.read_text(encoding="utf-8")
    except FileNotFoundError:
        return {}
    if mode & 0o077:
        raise ConfigurationError(f"{file} can be read by others (mode {mode:03o})", next_step=f"chmod 600 {file}")
    found: dict[str, str] = {}
    for number, line in enumerate(text.splitlines(), start=1):
        name, equals, value = line.partition("=")
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        if not equals or not name.strip().isidentifier():
            raise ConfigurationError(f"{file}:{number} is no NAME=VALUE line", next_step="correct the line")
        found[name.strip()] = value.strip()
    return found
