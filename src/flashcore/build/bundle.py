"""Dependencies that travel in an archive: wheels for where replicas run, unpacked into a folder that is kept.

.flashcore/bundles/KEY/     one for each set of packages and target; the least recently used ones go
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from flashcore.build.archive import FileEntry
from flashcore.build.lock import Lock
from flashcore.build.options import PLATFORMS, BuildOptions, Target
from flashcore.build.pins import Pin, resolve, without
from flashcore.build.uv import run_uv
from flashcore.model.errors import BuildError
from flashcore.worker.dependencies import DEPENDENCIES

_KEPT = 16
_LEFT_OUT = ".flashcore-left-out"
"""In each bundle, and in no archive: the packages that were left out of it."""
_FORMAT = 2
"""Grows when the way changes in which bundles are made."""

_MACHINE_OWN = frozenset({".lock", "direct_url.json", "uv_build.json", "uv_cache.json", "REQUESTED", "INSTALLER"})
"""Files that say how and where something was installed, and differ between machines."""


@dataclass(frozen=True, slots=True)
class Bundles:
    """Makes bundles, in `home`."""

    home: Path
    lock: Lock | None
    options: BuildOptions

    def entries(self, requirements: Iterable[str], python: str | None) -> Iterator[FileEntry]:
        """The archive entries of what these requirements stand for; none where nothing is to be bundled.

        `python` is the version that the endpoint asks for. Raises BuildError.
        """
        target = self.options.bundle_for
        wanted = tuple(sorted(set(requirements)))
        if target is None or not wanted:
            return
        folder = self._folder(wanted, Target(target.platform, python or target.python))
        for path in sorted(folder.rglob("*")):
            if path.is_file() and path != folder / _LEFT_OUT:
                relative = path.relative_to(folder).as_posix()
                yield FileEntry(f"{DEPENDENCIES}/{relative}", path, executable=os.access(path, os.X_OK))

    def require_locked(self, requirements: Iterable[str], python: str | None) -> None:
        """Raise BuildError where something is to be bundled that the lock does not have."""
        target = self.options.bundle_for
        wanted = tuple(sorted(set(requirements)))
        if self.lock is not None and target is not None and wanted:
            self.lock.pins(wanted, Target(target.platform, python or target.python))

    def left_out(self, requirements: Iterable[str], python: str | None) -> frozenset[str]:
        """Which of the packages that are to be left out are among what these requirements stand for. As `entries`."""
        target = self.options.bundle_for
        wanted = tuple(sorted(set(requirements)))
        if target is None or not wanted:
            return frozenset()
        folder = self._folder(wanted, Target(target.platform, python or target.python))
        return frozenset((folder / _LEFT_OUT).read_text(encoding="utf-8").split())

    def _folder(self, wanted: tuple[str, ...], target: Target) -> Path:
        key = _key(wanted, target, self.options.exclude, self.lock)
        folder = self.home / key
        if not folder.is_dir():
            try:
                self._make(folder, wanted, target)
            except OSError as error:
                raise BuildError(
                    f"the dependencies could not be put into {self.home}: {error}", next_step="check disk and rights"
                ) from error
        os.utime(folder)
        self._remove_old(folder)
        return folder

    def _make(self, folder: Path, wanted: tuple[str, ...], target: Target) -> None:
        pins = resolve(wanted, target) if self.lock is None else self.lock.pins(wanted, target)
        self.home.mkdir(parents=True, exist_ok=True)
        draft = Path(tempfile.mkdtemp(prefix=".draft-", dir=self.home))
        try:
            _install(without(pins, wanted, self.options.exclude), target, draft)
            _tidy(draft)
            left_out = {pin.name for pin in pins}.intersection(self.options.exclude)
            (draft / _LEFT_OUT).write_text("\n".join(sorted(left_out)), encoding="utf-8")
            draft.chmod(0o755)
            if not folder.is_dir():
                draft.rename(folder)
        finally:
            shutil.rmtree(draft, ignore_errors=True)

    def _remove_old(self, used: Path) -> None:
        kept = sorted((path for path in self.home.iterdir() if path != used), key=lambda path: path.stat().st_mtime)
        for path in kept[: -(_KEPT - 1)]:
            shutil.rmtree(path, ignore_errors=True)


def _key(wanted: tuple[str, ...], target: Target, exclude: tuple[str, ...], lock: Lock | None) -> str:
    """By everything that decides what is in it; without a lock also by where packages come from."""
    pins = None if lock is None else [pin.line for pin in lock.pins(wanted, target)]
    where = {name: value for name, value in os.environ.items() if name.startswith("UV_")} if lock is None else {}
    content = [_FORMAT, wanted, target.platform, target.python, exclude, pins, sorted(where.items())]
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()[:32]


def _install(pins: tuple[Pin, ...], target: Target, folder: Path) -> None:
    if not pins:
        return
    with tempfile.TemporaryDirectory(prefix="flashcore-bundle-") as place:
        pinned = Path(place, "requirements.txt")
        pinned.write_text("\n".join(pin.line for pin in pins) + "\n", encoding="utf-8")
        run_uv(
            [
                *("pip", "install", "--quiet", "--no-deps", "--only-binary", ":all:", "--link-mode", "copy"),
                *("--target", str(folder), "--require-hashes", "-r", str(pinned)),
                *("--python-platform", PLATFORMS[target.platform], "--python-version", target.python),
            ],
            f"the dependencies cannot be installed for {target}",
        )


def _tidy(folder: Path) -> None:
    """Leave what is the same wherever it was installed: no scripts with this machine's paths, no compiled code."""
    shutil.rmtree(folder / "bin", ignore_errors=True)
    for path in list(folder.rglob("*")):
        if path.name == "__pycache__":
            shutil.rmtree(path, ignore_errors=True)
        elif path.name in _MACHINE_OWN and path.is_file():
            path.unlink()
        elif path.name == "RECORD" and path.parent.suffix == ".dist-info":
            lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
            path.write_text("".join(sorted(line for line in lines if _is_kept(line))), encoding="utf-8")


def _is_kept(line: str) -> bool:
    name = line.partition(",")[0].strip('"')
    return not (name.startswith(("bin/", "../")) or "__pycache__" in name or name.rpartition("/")[2] in _MACHINE_OWN)
