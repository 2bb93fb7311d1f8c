"""The artifact store that is a directory."""

import hashlib
import os
import resource
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from flashcore import NotFound, StateError, StorageFull
from flashcore.builtin.file_artifacts import FileArtifactStore
from flashcore.builtin.local.drafts import draft_beside, is_abandoned
from flashcore.hookspecs.artifacts import ArtifactStore
from flashcore.model.names import Digest
from flashcore.testing.artifact_kit import ArtifactStoreKit


class TestFile(ArtifactStoreKit):
    """The artifact store `file`."""

    def store(self, folder: Path) -> ArtifactStore:
        """In a directory that is not there yet."""
        return FileArtifactStore(str(folder / "artifacts"))


@pytest.fixture
def store(tmp_path: Path) -> FileArtifactStore:
    """An empty store; its directory is made when something is put."""
    return FileArtifactStore(str(tmp_path / "artifacts"))


def archive(tmp_path: Path, data: bytes = b"archive") -> tuple[Digest, Path]:
    """A file and its digest."""
    path = tmp_path / f"source-{len(data)}"
    path.write_bytes(data)
    return Digest(hashlib.sha256(data).hexdigest()), path


async def test_what_is_put_is_got(store: FileArtifactStore, tmp_path: Path) -> None:
    """Under its digest, and listed."""
    digest, source = archive(tmp_path)
    assert not await store.has(digest)
    assert await store.digests() == frozenset()

    await store.put(digest, source)
    await store.get(digest, tmp_path / "deep" / "target")

    assert (tmp_path / "deep" / "target").read_bytes() == b"archive"
    assert await store.has(digest)
    assert await store.digests() == {digest}
    assert await store.url(digest) is None


async def test_putting_and_deleting_twice_is_a_success(store: FileArtifactStore, tmp_path: Path) -> None:
    """Whoever retries need not know how far it came."""
    digest, source = archive(tmp_path)
    await store.put(digest, source)
    await store.put(digest, tmp_path / "no longer there")

    await store.delete(digest)
    await store.delete(digest)

    assert not await store.has(digest)


async def test_what_is_not_there_is_said(store: FileArtifactStore, tmp_path: Path) -> None:
    """And nothing is left at the target."""
    with pytest.raises(NotFound, match="deploy again"):
        await store.get(Digest("0" * 64), tmp_path / "target")

    assert not (tmp_path / "target").exists()


@pytest.mark.parametrize("digest", ["", "../../etc/passwd", "0" * 63, "A" * 64])
async def test_only_digests_are_names(store: FileArtifactStore, tmp_path: Path, digest: str) -> None:
    """Nothing leads out of the directory."""
    with pytest.raises(StateError, match="no sha256 digest"):
        await store.get(Digest(digest), tmp_path / "target")


async def test_a_full_disk_leaves_nothing(store: FileArtifactStore, tmp_path: Path) -> None:
    """Neither a part of the archive nor a draft."""
    digest, source = archive(tmp_path, b"x" * 2_000_000)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, hard))
    try:
        with pytest.raises(StorageFull):
            await store.put(digest, source)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))

    assert not await store.has(digest)
    assert list((tmp_path / "artifacts").iterdir()) == []


async def test_a_directory_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    """With what to do."""
    (tmp_path / "file").write_text("")
    digest, source = archive(tmp_path)

    with pytest.raises(StateError, match="cannot be written"):
        await FileArtifactStore(str(tmp_path / "file" / "below")).put(digest, source)


async def test_drafts_of_others_are_not_archives(store: FileArtifactStore, tmp_path: Path) -> None:
    """Another process may be putting one right now."""
    digest, source = archive(tmp_path)
    await store.put(digest, source)
    (tmp_path / "artifacts" / ".draft-x").write_text("half")

    assert await store.digests() == {digest}


PUTTING = """
import asyncio, sys
from pathlib import Path
from flashcore.builtin.file_artifacts import FileArtifactStore

asyncio.run(FileArtifactStore(sys.argv[1]).put("0" * 64, Path(sys.argv[2])))
"""


@contextmanager
def putting(folder: Path, pipe: Path) -> Iterator[tuple[subprocess.Popen[bytes], Path]]:
    """A process in the middle of a put, and its draft: what it reads has no end before the block has."""
    os.mkfifo(pipe)
    before = set(folder.glob(".draft-*"))
    with ExitStack() as ended:
        process = ended.enter_context(subprocess.Popen([sys.executable, "-c", PUTTING, str(folder), str(pipe)]))
        ended.callback(process.kill)
        ended.enter_context(pipe.open("wb"))  # once it reads
        (draft,) = set(folder.glob(".draft-*")) - before
        yield process, draft


async def test_what_a_killed_process_left_half_written_is_removed(store: FileArtifactStore, tmp_path: Path) -> None:
    """With the next archive, and once it was not touched for a while; not what another process is still writing."""
    folder = tmp_path / "artifacts"
    digest, source = archive(tmp_path)
    with putting(folder, tmp_path / "one") as (killed, old), putting(folder, tmp_path / "two") as (_, written):
        killed.kill()
        killed.wait()
        for path in (old, written):
            os.utime(path, (1e9, 1e9))
        fresh = folder / ".draft-999999999.1-x"
        fresh.write_text("of another container")

        await store.put(digest, source)

        assert {path.name for path in folder.iterdir()} == {digest, written.name, fresh.name}


def test_a_draft_is_of_a_process_not_of_a_number(tmp_path: Path) -> None:
    """In a container a process often has the number of the one before it."""
    own = draft_beside(tmp_path / "x")
    before = own.with_name(own.name.replace(f"{os.getpid()}.", f"{os.getpid()}.1"))

    assert [is_abandoned(own), is_abandoned(before)] == [False, True]
