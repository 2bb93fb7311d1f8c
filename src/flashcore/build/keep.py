"""The kept build directory: one generation after another, each whole.

    .flashcore/
      build -> builds/GENERATION      replaced in one step when a generation is complete
      builds/GENERATION/              manifest, handlers, archives
      builds/draft-.../               one that is being written; whatever is left of it is removed by the next build
      builds/last.json                what the last build saw (see `last_build`)
      builds/lock                     held while a generation is written and put in place

Whoever opens `build` sees one generation. A build that was interrupted, or found no room, leaves the last one as it is.
"""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from flashcore.model.errors import BuildError, StorageFull
from flashcore.model.manifest import MANIFEST_FILE

KEPT = 3
"""Generations that stay: somebody may still be uploading archives of the last ones."""

_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
_DRAFT = "draft-"


@dataclass(frozen=True, slots=True)
class Kept:
    """The kept build directory; `link` is where the present generation is found."""

    link: Path

    @property
    def _home(self) -> Path:
        return self.link.with_name("builds")

    def prepare(self) -> None:
        """Make the directory, so that making it later changes nothing that a scan has seen. Raises as builds do."""
        try:
            self._home.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise _refusal(self.link, error) from error

    @property
    def memory(self) -> Path:
        """Where the last build notes what it saw."""
        return self._home / "last.json"

    def present(self) -> Path | None:
        """The present generation's own directory."""
        return self.link.resolve() if self.link.is_dir() else None

    def before(self) -> Path | None:
        """The directory of the last generation before the present one, if it is kept."""
        present = self.present()
        older = [path for path in self._generations() if present is not None and path.name < present.name]
        return older[-1] if older else None

    @contextmanager
    def next_generation(self) -> Iterator[Path]:
        """A directory to write into, which becomes the present generation if nothing is raised meanwhile.

        Builds write one after the other. Raises StorageFull, or BuildError when the directory cannot be written.
        """
        try:
            self._home.mkdir(parents=True, exist_ok=True)
            with (self._home / "lock").open("w") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX)
                self._remove_drafts()
                yield from self._written()
        except OSError as error:
            raise _refusal(self.link, error) from error

    def _written(self) -> Iterator[Path]:
        draft = self._home / f"{_DRAFT}{os.getpid()}"
        draft.mkdir()
        try:
            yield draft
            for path in (*draft.glob("*.gz"), *draft.glob(MANIFEST_FILE)):  # at the end: all waits are one
                _sync(path)
            complete = self._home / f"{time.time_ns():020d}"
            draft.rename(complete)
        except BaseException:  # whatever ends the build early, a signal included, leaves no debris
            shutil.rmtree(draft, ignore_errors=True)
            raise
        self._put_in_place(complete)
        self._remove_old(complete)

    def _put_in_place(self, complete: Path) -> None:
        if self.link.is_dir() and not self.link.is_symlink():
            self.link.rename(self._home / f"{_DRAFT}replaced")
        link = self._home / f"{_DRAFT}link"
        link.unlink(missing_ok=True)
        link.symlink_to(Path(self._home.name, complete.name))
        link.replace(self.link)

    def _remove_old(self, present: Path) -> None:
        generations = [path for path in self._generations() if path != present]
        for path in generations[: -(KEPT - 1)]:
            shutil.rmtree(path, ignore_errors=True)

    def _generations(self) -> list[Path]:
        return sorted(path for path in self._home.iterdir() if path.name.isdigit())

    def _remove_drafts(self) -> None:
        for path in self._home.glob(f"{_DRAFT}*"):
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _refusal(link: Path, error: OSError) -> StorageFull | BuildError:
    if error.errno in _FULL:
        return StorageFull(
            f"there is no room to build in {link.parent}: {error.strerror}", next_step="make room, then build again"
        )
    return BuildError(
        f"the build could not be written to {link.parent}: {error}", next_step="check the directory's rights"
    )
