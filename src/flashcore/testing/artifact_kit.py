"""What every artifact store has to do, as functions that need no test framework, and as a class for pytest.

A store's whole test file:

    from flashcore.testing.artifact_kit import ArtifactStoreKit
    from flashcore_acme import AcmeArtifacts

    class TestAcme(ArtifactStoreKit):
        has_urls = True
        def store(self, folder): return AcmeArtifacts("acme://bucket/" + folder.name)

`folder` is empty, and another one for each check; a store of the same folder is the same store, opened once more. The
functions take a Subject and raise Nonconformance.
"""

from __future__ import annotations

import asyncio
import hashlib
import tempfile
from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar
from urllib.parse import urlsplit

from flashcore.hookspecs.artifacts import ArtifactStore
from flashcore.model.errors import NotFound
from flashcore.model.names import Digest
from flashcore.testing.conformance import Nonconformance, require
from flashcore.testing.kit import Check, Kit, checks_of

_SIZES = (0, 1, 65_536, 3_000_001)
_MISSING = Digest("0" * 64)


@dataclass(frozen=True, slots=True)
class Subject:
    """What is tested: how the store is opened, a folder for files to put and get, and what its record claims."""

    make: Callable[[], ArtifactStore]
    folder: Path
    has_urls: bool = False

    def archive(self, data: bytes) -> tuple[Digest, Path]:
        """A file of these bytes, and its digest."""
        digest = Digest(hashlib.sha256(data).hexdigest())
        path = self.folder / f"source-{digest[:12]}"
        path.write_bytes(data)
        return digest, path

    @property
    def target(self) -> Path:
        """Where to get something, in a folder that is not there yet."""
        return self.folder / "got" / "archive"


async def check_what_is_put_is_got(subject: Subject) -> None:
    """Byte by byte, whatever its size, also by who opens the store anew; the file that was put stays."""
    for size in _SIZES:
        data = bytes(index % 251 for index in range(1000)) * (size // 1000) + b"x" * (size % 1000)
        digest, source = subject.archive(data)
        await subject.make().put(digest, source)
        await subject.make().get(digest, subject.target)
        require(subject.target.read_bytes() == data, "what is got is what was put", size)
        require(source.is_file() and source.read_bytes() == data, "the file that was put is left as it is", size)


async def check_what_is_there_is_told(subject: Subject) -> None:
    """`has` and `digests` follow each put and each delete."""
    store = subject.make()
    require(await store.digests() == frozenset(), "a new store is empty", await store.digests())
    one, two = subject.archive(b"one"), subject.archive(b"two")
    await store.put(*one)
    await store.put(*two)
    require(await store.digests() == {one[0], two[0]}, "digests() has all that was put", await store.digests())
    require(await store.has(one[0]) and not await store.has(_MISSING), "has() knows what is there")
    await store.delete(one[0])
    require(not await store.has(one[0]), "what was deleted is not there")
    require(await store.digests() == {two[0]}, "digests() has no more of it", await store.digests())


async def check_the_same_again_is_a_success(subject: Subject) -> None:
    """Whoever retries need not know how far it came: puts and deletes may be repeated."""
    store, (digest, source) = subject.make(), subject.archive(b"once")
    for _ in range(2):
        await store.put(digest, source)
    require(await store.digests() == {digest}, "what is put twice is there once", await store.digests())
    for _ in range(2):
        await store.delete(digest)
    await store.put(digest, source)
    require(await store.has(digest), "what was deleted can be put again")


async def check_what_is_missing_is_not_found(subject: Subject) -> None:
    """NotFound, and nothing is written: a file that stood at the target stays."""
    store = subject.make()
    for before in (None, b"older"):
        if before is not None:
            subject.target.parent.mkdir(parents=True, exist_ok=True)
            subject.target.write_bytes(before)
        try:
            await store.get(_MISSING, subject.target)
        except NotFound:
            pass
        else:
            raise Nonconformance("get() of what is not there raises NotFound")
        left = subject.target.read_bytes() if subject.target.exists() else None
        require(left == before, "get() of what is not there leaves the target as it was", left)


async def check_a_target_is_replaced_whole(subject: Subject) -> None:
    """Whatever stood there before, and with nothing left beside it."""
    store, (digest, source) = subject.make(), subject.archive(b"short")
    await store.put(digest, source)
    subject.target.parent.mkdir(parents=True)
    subject.target.write_bytes(b"much longer than what comes")
    await store.get(digest, subject.target)
    require(subject.target.read_bytes() == b"short", "the target is the archive", subject.target.read_bytes())
    beside = sorted(path.name for path in subject.target.parent.iterdir())
    require(beside == [subject.target.name], "no drafts are left beside the target", beside)


async def check_at_the_same_time(subject: Subject) -> None:
    """Several put and get the same archive, and others, through several handles of the store."""
    archives = [subject.archive(bytes([number]) * 100_000) for number in range(8)]
    await asyncio.gather(*(subject.make().put(*one) for one in archives for _ in range(4)))
    targets = [subject.folder / f"got-{number}" for number in range(len(archives))]
    store = subject.make()
    await asyncio.gather(*(store.get(digest, target) for (digest, _), target in zip(archives, targets, strict=True)))
    for (_, source), target in zip(archives, targets, strict=True):
        require(target.read_bytes() == source.read_bytes(), "each is got as it was put", target)


async def check_urls_are_as_claimed(subject: Subject) -> None:
    """With the capability an address, without it None."""
    store, (digest, source) = subject.make(), subject.archive(b"fetched")
    await store.put(digest, source)
    url = await store.url(digest)
    if subject.has_urls:
        require(url is not None and urlsplit(url).scheme and urlsplit(url).netloc, "url() is an address", url)
    else:
        require(url is None, "without the capability `url` there is no address", url)


class ArtifactStoreKit(Kit):
    """Subclass it, call the subclass Test..., and say how to open the store."""

    checks = checks_of(globals())
    has_urls: ClassVar[bool] = False
    """Whether its record claims `url`."""

    @abstractmethod
    def store(self, folder: Path) -> ArtifactStore:
        """The store of this folder, opened."""

    def examine(self, check: Check) -> None:
        """Run one check on an event loop of its own."""
        with tempfile.TemporaryDirectory(prefix="flashcore-kit-") as name:
            place, files = Path(name, "store"), Path(name, "files")
            place.mkdir()
            files.mkdir()
            asyncio.run(check(Subject(lambda: self.store(place), files, self.has_urls)))
