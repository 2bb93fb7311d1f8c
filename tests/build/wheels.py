"""Packages made of a few files, in a folder where uv finds them: no test of these needs a network."""

from __future__ import annotations

import base64
import hashlib
import io
import tarfile
import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path


def wheel(folder: Path, name: str, version: str = "1.0", needs: Iterable[str] = (), tag: str = "py3-none-any") -> Path:
    """Write a wheel with one module, which knows its version, and a script."""
    information = f"{name}-{version}.dist-info"
    required = "".join(f"Requires-Dist: {one}\n" for one in needs)
    files = {
        f"{name}/__init__.py": f"VERSION = {version!r}\n",
        f"{information}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{required}",
        f"{information}/WHEEL": f"Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\nTag: {tag}\n",
        f"{information}/entry_points.txt": f"[console_scripts]\n{name} = {name}:main\n",
    }
    files[f"{information}/RECORD"] = _record(files, f"{information}/RECORD")
    target = folder / f"{name}-{version}-{tag}.whl"
    with zipfile.ZipFile(target, "w") as archive:
        for path, text in files.items():
            archive.writestr(path, text)
    return target


def sdist(folder: Path, name: str, version: str = "1.0") -> Path:
    """Write a source distribution that nobody has made a wheel of."""
    target = folder / f"{name}-{version}.tar.gz"
    with tarfile.open(target, "w:gz") as archive:
        data = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n".encode()
        member = tarfile.TarInfo(f"{name}-{version}/PKG-INFO")
        member.size = len(data)
        archive.addfile(member, io.BytesIO(data))
    return target


def _record(files: Mapping[str, str], own: str) -> str:
    lines = [f"{path},sha256={_hash(text)},{len(text)}\n" for path, text in files.items()]
    return "".join([*lines, f"{own},,\n"])


def _hash(text: str) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()
