"""The gateway's URL, taken apart."""

from __future__ import annotations

from typing import NamedTuple

from flashcore.model.errors import ConfigurationError


class Address(NamedTuple):
    """Where to connect. `prefix` is the path that every target comes after, without a closing slash."""

    secure: bool
    host: str
    port: int
    prefix: str = ""

    def __str__(self) -> str:
        """As a URL."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'https' if self.secure else 'http'}://{host}:{self.port}{self.prefix}"


def parse_url(url: str) -> Address:
    """Take an http or https URL apart. Raises ConfigurationError for anything else."""
    from urllib.parse import urlsplit

    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise _unusable(url, str(error)) from error
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise _unusable(url, "it does not start with http://HOST or https://HOST")
    secure = parts.scheme == "https"
    return Address(secure, parts.hostname, port or (443 if secure else 80), parts.path.rstrip("/"))


def _unusable(url: str, reason: str) -> ConfigurationError:
    return ConfigurationError(
        f"the gateway's address {url!r} cannot be used: {reason}",
        next_step="set FLASHCORE_GATEWAY_URL as in http://127.0.0.1:8700, or unset it",
    )
