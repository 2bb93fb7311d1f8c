"""Where a webhook may go: http and https, and no address of this machine or of its neighbours unless that is allowed.

A caller chooses the URL and the gateway calls it. Without a check, callers could reach through the gateway what only
machines in its network can reach. The address is looked up once and then called: a second look-up could give another.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, IPv6Network
from urllib.parse import SplitResult, urlsplit

from flashcore.model.errors import Refused, UsageError

LONGEST_URL = 2048

_WITH_IPV4_AT_THE_END = tuple(map(IPv6Network, ("64:ff9b::/96", "64:ff9b:1::/48", "::ffff:0:0:0/96", "::/96")))
"""Translation from IPv6 to IPv4 (RFC 6052, 8215, 2765), and the addresses that were once for tunnels."""


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


def place_of(url: str) -> str:
    """Host and port of a URL that was checked: what is slow there is slow for all of its URLs."""
    return urlsplit(url).netloc.lower()


async def look_up(url: str, *, private: bool) -> Destination:
    """Where to send it. Raises OSError when no address is found, Refused when none is public, unless `private`."""
    parts = _split(url)
    host, port = parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)
    try:
        found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except UnicodeError as error:
        raise OSError(f"{host} is not the name of a host: {error}") from error
    addresses = [ipaddress.ip_address(address[0]) for *_, address in found]
    usable = [address for address in addresses if private or is_public(address)]
    if not usable:
        raise Refused(
            f"the webhook's host {host} has no public address",
            next_step="allow it with webhook_private = 1 under [gateway], if this is your own machine or network",
        )
    literal = f"[{usable[0]}]" if usable[0].version == 6 else str(usable[0])
    return Destination(parts._replace(netloc=f"{literal}:{port}").geturl(), parts.netloc, host)


def is_public(address: IPv4Address | IPv6Address) -> bool:
    """Whether it is somewhere out there; an IPv6 address that stands for one of IPv4 is judged as that one."""
    if isinstance(address, IPv6Address):
        inner = _inner(address)
        if inner is not None:
            return is_public(inner)
        if address.is_site_local:
            return False
    return address.is_global and not address.is_multicast and not address.is_reserved


def _inner(address: IPv6Address) -> IPv4Address | None:
    """The IPv4 address that some network may send this one's packets to."""
    if address.teredo is not None:
        return address.teredo[0]
    known = address.ipv4_mapped or address.sixtofour
    if known is None and any(address in network for network in _WITH_IPV4_AT_THE_END):
        return IPv4Address(int(address) & 0xFFFF_FFFF)
    return known


def _split(url: str) -> SplitResult:
    try:
        parts = urlsplit(url)
        usable = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError as error:
        raise InvalidWebhook(f"webhook {url!r} is not a URL: {error}") from error
    if not usable or parts.username is not None or not url.isascii() or not url.isprintable() or " " in url:
        raise InvalidWebhook(f"webhook {url!r} is not a plain http or https URL", next_step="write https://host/path")
    return parts
