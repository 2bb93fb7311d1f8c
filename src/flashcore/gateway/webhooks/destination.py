"""Where a webhook may go: http and https, and no address of this machine or of its neighbours unless that is allowed.

A caller chooses the URL and the gateway calls it. Without a check, callers could reach through the gateway what only
machines in its network can reach. The address is looked up once and then called: a second look-up could give another.
"""

from __future__ import annotations

import asyncio
import ipaddress
from dataclasses import dataclass
from urllib.parse import SplitResult, urlsplit

from flashcore.model.errors import Refused, UsageError

LONGEST_URL = 2048


class InvalidWebhook(UsageError):
    """A URL that no webhook can be sent to."""

    code = "invalid_webhook"


@dataclass(frozen=True, slots=True)
class Destination:
    """A URL whose host was looked up."""

    url: str
    """With the address in place of the host."""
    host: str
    """As the URL had it, with its port: for the Host header."""
    name: str
    """For TLS: the name that the certificate has to have."""


def checked_url(url: object) -> str:
    """The URL. Raises InvalidWebhook for one that could not be called."""
    if not isinstance(url, str) or len(url) > LONGEST_URL:
        raise InvalidWebhook(f"webhook must be a URL of up to {LONGEST_URL} characters")
    _split(url)
    return url


async def look_up(url: str, *, private: bool) -> Destination:
    """Where to send it. Raises OSError when no address is found, Refused when none is public, unless `private`."""
    parts = _split(url)
    host, port = parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=1)
    addresses = [ipaddress.ip_address(address[0]) for *_, address in found]
    usable = [address for address in addresses if private or address.is_global]
    if not usable:
        raise Refused(
            f"the webhook's host {host} has no public address",
            next_step="allow it with webhook_private = 1 under [gateway], if this is your own machine or network",
        )
    literal = f"[{usable[0]}]" if usable[0].version == 6 else str(usable[0])
    return Destination(parts._replace(netloc=f"{literal}:{port}").geturl(), parts.netloc, host)


def _split(url: str) -> SplitResult:
    try:
        parts = urlsplit(url)
        usable = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError as error:
        raise InvalidWebhook(f"webhook {url!r} is not a URL: {error}") from error
    if not usable or parts.username is not None or not url.isascii() or not url.isprintable():
        raise InvalidWebhook(f"webhook {url!r} is not a plain http or https URL", next_step="write https://host/path")
    return parts
