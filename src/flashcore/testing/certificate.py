"""A certificate that was made a moment ago, for tests of TLS with real handshakes. Needs the program `openssl`."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class CertificateFiles:
    """In PEM."""

    certificate: Path
    key: Path


def make_certificate(folder: Path, name: str = "localhost", days: int = 1) -> CertificateFiles:
    """A certificate for `name` that is signed by itself: who trusts it names its own file. It ends after `days`."""
    files = CertificateFiles(folder / f"{name}.pem", folder / f"{name}.key")
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"),
            *("-days", str(days), "-subj", f"/CN={name}", "-addext", f"subjectAltName=DNS:{name}"),
            *("-keyout", str(files.key), "-out", str(files.certificate)),
        ],
        check=True,
        capture_output=True,
    )
    files.key.chmod(0o600)
    return files
