"""What is in each artifact, unpacked beside it for people to look at; nothing runs from there."""

from __future__ import annotations

import shutil
import tarfile
from collections.abc import Mapping
from pathlib import Path

from flashcore.model.errors import BuildError
from flashcore.model.manifest import Manifest
from flashcore.model.names import Digest

FILES = "files"
"""The folder in the build directory; it has one folder for each endpoint."""


def unpack_all(manifest: Manifest, artifacts: Mapping[Digest, Path], directory: Path) -> None:
    """Unpack each endpoint's artifact to `directory/files/ENDPOINT`. Raises BuildError."""
    try:
        for entry in manifest.endpoints:
            target = directory / FILES / entry.name
            shutil.rmtree(target, ignore_errors=True)
            with tarfile.open(artifacts[entry.artifact]) as archive:
                archive.extractall(target, filter="data")
    except (OSError, tarfile.TarError) as error:
        raise BuildError(f"the artifacts could not be unpacked: {error}", next_step="check disk and rights") from error
