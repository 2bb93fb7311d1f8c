"""What a certificate says of itself, asked in the one way that the standard library has: a handshake with oneself."""

from __future__ import annotations

import contextlib
import ssl
from pathlib import Path

from flashcore.model.errors import ConfigurationError

_ROUNDS = 10


def ends_at(certificate: Path, server: ssl.SSLContext) -> float:
    """When the certificate that a server speaks TLS with ends, in seconds since 1970.

    Raises ConfigurationError for one that has ended, has not begun, or is none that a client takes.
    """
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client.check_hostname = False
    client.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN  # it may be signed by anybody, who is not asked here
    client.load_verify_locations(certificate)
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    asking = client.wrap_bio(to_client, to_server)
    answering = server.wrap_bio(to_server, to_client, server_side=True)
    try:
        for _ in range(_ROUNDS):
            for side in (asking, answering):
                with contextlib.suppress(ssl.SSLWantReadError):
                    side.do_handshake()
    except ssl.SSLError as error:
        raise ConfigurationError(
            f"the certificate {certificate} is of no use: {getattr(error, 'verify_message', '') or error}",
            next_step="renew it, then restart what speaks TLS with it",
        ) from error
    said = asking.getpeercert() or {}
    return ssl.cert_time_to_seconds(str(said["notAfter"]))
