"""The kit for artifact stores sees each fault that it is there for."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from flashcore.builtin.file_artifacts import FileArtifactStore
from flashcore.model.errors import NotFound, StateError
from flashcore.model.names import Digest
from flashcore.testing import artifact_kit as kit
from flashcore.testing.conformance import Nonconformance


class Store(FileArtifactStore):
    """Sound so far."""

    def __init__(self, location: str) -> None:
        super().__init__(location)
        self.folder = Path(location)


class Moves(Store):
    """Takes the file away that is put."""

    async def put(self, digest: Digest, source: Path) -> None:
        """Move it."""
        await super().put(digest, source)
        source.unlink(missing_ok=True)  # noqa: ASYNC240 - a small file, in a test


class Short(Store):
    """Keeps the first megabyte."""

    async def get(self, digest: Digest, target: Path) -> None:
        """Not all of it."""
        await super().get(digest, target)
        with target.open("r+b") as file:
            file.truncate(min(1 << 20, target.stat().st_size))  # noqa: ASYNC240 - as above


class Blind(Store):
    """Does not know what it has."""

    async def digests(self) -> frozenset[Digest]:
        """Nothing."""
        return frozenset()


class Once(Store):
    """Refuses what is there already."""

    async def put(self, digest: Digest, source: Path) -> None:
        """Raises the second time."""
        if await self.has(digest):
            raise Nonconformance("it is there")
        await super().put(digest, source)


class Touches(Store):
    """Makes the target before it looks."""

    async def get(self, digest: Digest, target: Path) -> None:
        """An empty file is left."""
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(b"")  # noqa: ASYNC240 - as above
        await super().get(digest, target)


class Drafts(Store):
    """Leaves its draft."""

    async def get(self, digest: Digest, target: Path) -> None:
        """Beside the target."""
        await super().get(digest, target)
        shutil.copy(target, target.with_suffix(".draft"))


class Alone(Store):
    """Has one draft for all."""

    async def put(self, digest: Digest, source: Path) -> None:
        """Written by all at once."""
        draft = self.folder / "draft"
        data = source.read_bytes()  # noqa: ASYNC240 - as above
        with draft.open("wb") as file:
            file.write(data[: len(data) // 2])
            await asyncio.sleep(0)
            file.write(data[len(data) // 2 :])
        if not draft.exists():
            raise NotFound("somebody else was faster")
        shutil.copy(draft, self.folder / digest)


class Addressed(Store):
    """Has an address that nobody was promised."""

    async def url(self, digest: Digest) -> str | None:
        """Of this machine alone."""
        return f"file://{self.folder / digest}"


FAULTS: list[tuple[type[Store], Callable[[kit.Subject], Awaitable[None]]]] = [
    (Moves, kit.check_what_is_put_is_got),
    (Short, kit.check_what_is_put_is_got),
    (Blind, kit.check_what_is_there_is_told),
    (Once, kit.check_the_same_again_is_a_success),
    (Touches, kit.check_what_is_missing_is_not_found),
    (Drafts, kit.check_a_target_is_replaced_whole),
    (Alone, kit.check_at_the_same_time),
    (Addressed, kit.check_urls_are_as_claimed),
]


@pytest.mark.parametrize(("broken", "check"), FAULTS, ids=lambda one: one.__name__)
async def test_a_fault_is_seen(
    broken: type[Store], check: Callable[[kit.Subject], Awaitable[None]], tmp_path: Path
) -> None:
    """Each by the check that is there for it."""
    place = tmp_path / "store"
    place.mkdir()
    with pytest.raises((Nonconformance, StateError)):
        await check(kit.Subject(lambda: broken(str(place)), tmp_path))


def test_every_check_has_a_fault_that_it_sees() -> None:
    """A check that sees nothing checks nothing."""
    assert {check for _, check in FAULTS} == set(kit.ArtifactStoreKit.checks.values())
