"""Where a gateway, or the control API, may listen, and what it must ask of its callers there."""

from __future__ import annotations

import ipaddress
import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from flashcore.model.errors import ConfigurationError


@dataclass(frozen=True, slots=True)
class Security:
    """One listener's. TLS is spoken where there is a certificate."""

    auth: bool = False
    """Whether callers need a token."""
    certificate: Path | None = None
    key: Path | None = None
    exposed: bool = False
    """Somebody has said that it may listen beyond this machine without TLS or without tokens."""
    proxies: frozenset[str] = frozenset()
    """Addresses whose X-Forwarded-* headers are believed."""

    def check(self, host: str, who: str = "the gateway") -> None:
        """Raise ConfigurationError where listening at `host` would let strangers in, or let them listen."""
        if (self.certificate is None) is not (self.key is None):
            raise ConfigurationError("TLS needs both tls.certificate and tls.key", next_step="set the other one, too")
        if is_loopback(host) or self.exposed or (self.auth and self.certificate is not None):
            return
        lacks = [what for what, there in _PROTECTIONS.items() if not there(self)]
        raise ConfigurationError(
            f"{who} is to listen at {host}, beyond this machine, without {' and without '.join(lacks)}",
            next_step=f"set {', '.join(_HOW[what] for what in lacks)}; or, behind a proxy that does it, exposed = true",
        )

    def context(self) -> ssl.SSLContext | None:
        """What TLS is spoken with. Raises ConfigurationError for files that cannot be used."""
        if self.certificate is None:
            return None
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.set_alpn_protocols(["http/1.1"])
        try:
            context.load_cert_chain(self.certificate, self.key)
        except (OSError, ssl.SSLError) as error:
            raise ConfigurationError(
                f"the certificate {self.certificate} cannot be used with the key {self.key}: {error}",
                next_step="give the paths of a certificate chain and of its key, both in PEM",
            ) from error
        return context


_PROTECTIONS: Mapping[str, Callable[[Security], bool]] = {
    "tokens": lambda security: security.auth,
    "TLS": lambda security: security.certificate is not None,
}
_HOW: Mapping[str, str] = {"tokens": 'auth = "on"', "TLS": "tls.certificate and tls.key"}


def peer_address(text: str) -> str:
    """An address as connections tell it. Raises ConfigurationError for a name, which says nothing of who connects."""
    try:
        return str(ipaddress.ip_address(text.strip("[]")))
    except ValueError:
        raise ConfigurationError(
            f"the trusted proxy {text!r} is no IP address", next_step="give the address that it connects from"
        ) from None


def is_loopback(host: str) -> bool:
    """Whether only programs of this machine reach that address."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False
