"""Archives onto the disk: what they may hold, and where it may go."""

import asyncio
import hashlib
import io
import os
import signal
import sys
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.process_provider.conftest import Machine, archive_of

from flashcore.builtin.process.code import CodeFolders
from flashcore.builtin.process.unpack import BadArchive, unpack
from flashcore.model.names import Digest


def unpacked(tmp_path: Path, archive: bytes) -> Path:
    """The folder of an archive's content."""
    (tmp_path / "archive").write_bytes(archive)
    unpack(tmp_path / "archive", Digest(hashlib.sha256(archive).hexdigest()), tmp_path / "target")
    return tmp_path / "target"


def member(**fields: object) -> bytes:
    """A tar archive of a good file and one with these fields."""
    written = io.BytesIO()
    with tarfile.open(fileobj=written, mode="w") as tar:
        good = tarfile.TarInfo("good.py")
        tar.addfile(good)
        bad = tarfile.TarInfo("bad")
        for name, value in fields.items():
            setattr(bad, name, value)
        tar.addfile(bad)
    return written.getvalue()


def zipped(name: str, mode: int = 0o100644) -> bytes:
    """A zip archive of one file."""
    written = io.BytesIO()
    with zipfile.ZipFile(written, "w") as bundle:
        info = zipfile.ZipInfo(name)
        info.external_attr = mode << 16
        bundle.writestr(info, b"content")
    return written.getvalue()


def test_files_arrive_with_their_content_and_their_executable_bit(tmp_path: Path) -> None:
    """Other modes are set right, owners are whoever unpacks."""
    written = io.BytesIO()
    with tarfile.open(fileobj=written, mode="w:gz") as tar:
        tar.addfile(_file("pack", kind=tarfile.DIRTYPE))
        tar.addfile(_file("pack/a b/ä.py", b"x = 1"), io.BytesIO(b"x = 1"))
        tar.addfile(_file("run.sh", b"", mode=0o4777), io.BytesIO(b""))

    target = unpacked(tmp_path, written.getvalue())

    assert (target / "pack/a b/ä.py").read_text() == "x = 1"
    assert ((target / "run.sh").stat().st_mode & 0o7777) == 0o755
    assert ((target / "pack/a b/ä.py").stat().st_mode & 0o7777) == 0o644


def _file(name: str, data: bytes = b"", *, mode: int = 0o600, kind: bytes = tarfile.REGTYPE) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.size, info.mode, info.type = len(data), mode, kind
    return info


def test_zip_archives_are_understood(tmp_path: Path) -> None:
    """A plugin's builder may prefer them."""
    target = unpacked(tmp_path, zipped("pack/run", 0o100755))

    assert (target / "pack/run").read_bytes() == b"content"
    assert os.access(target / "pack/run", os.X_OK)


@pytest.mark.parametrize(
    "archive",
    [
        lambda: member(name="../out"),
        lambda: member(name="a/../../out"),
        lambda: member(name="/etc/out"),
        lambda: member(name="link", type=tarfile.SYMTYPE, linkname="/etc/passwd"),
        lambda: member(name="link", type=tarfile.LNKTYPE, linkname="good.py"),
        lambda: member(name="device", type=tarfile.CHRTYPE),
        lambda: member(name="pipe", type=tarfile.FIFOTYPE),
        lambda: member(name="good.py"),
        lambda: archive_of({"a": b"", "a/b": b""}),
        lambda: zipped("../out"),
        lambda: zipped("link", 0o120777),
        lambda: zipped("a\\..\\out"),
        lambda: archive_of({"a": b"x" * 100_000})[:-50],
        lambda: b"no archive at all",
        lambda: b"",
    ],
    ids=["parent", "through a folder", "absolute", "symlink", "hard link", "device", "pipe", "twice",
         "file and folder", "zip parent", "zip symlink", "zip backslash", "cut off", "no archive", "empty"],
)  # fmt: skip
def test_what_must_not_be_unpacked_leaves_nothing(tmp_path: Path, archive: Callable[[], bytes]) -> None:
    """The archive is refused as a whole; what came before its bad member is removed."""
    with pytest.raises(BadArchive):
        unpacked(tmp_path, archive())

    assert sorted(path.name for path in tmp_path.iterdir()) == ["archive"]


async def test_an_artifact_is_unpacked_once_for_all_who_ask(machine: Machine) -> None:
    """Ten ask at the same time and get the same folder."""
    digest = await machine.artifact({"a.py": b"x = 1"})
    folders = CodeFolders(machine.layout.unpacked, machine.store)

    found = await asyncio.gather(*(folders.folder_of(digest) for _ in range(10)))

    assert set(found) == {machine.layout.unpacked / digest}
    assert [path.name for path in machine.layout.unpacked.iterdir()] == [digest]


async def test_leftovers_are_tidied_away(machine: Machine) -> None:
    """Halves of a crash, and code that neither runs nor is stored; what runs stays, though the store lost it."""
    stored, used = await machine.artifact({"a": b"1"}), Digest("b" * 64)
    folders = CodeFolders(machine.layout.unpacked, machine.store)
    await folders.folder_of(stored)
    for name in (
        used,
        "c" * 64,
        f".draft-{os.getpid()}.1-x",
        ".draft-999999999-y",
        ".draft-1-z",
        ".draft-x",
        ".draft-",
    ):
        (machine.layout.unpacked / name).mkdir()

    await folders.tidy([used])

    assert sorted(path.name for path in machine.layout.unpacked.iterdir()) == sorted([".draft-1-z", stored, used])


KILLED = """
import asyncio, os, shutil, signal, sys
from pathlib import Path
from flashcore.builtin.file_artifacts import FileArtifactStore
from flashcore.builtin.process.code import CodeFolders

shutil.copyfileobj = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
artifacts, unpacked, digest = sys.argv[1:]
asyncio.run(CodeFolders(Path(unpacked), FileArtifactStore(artifacts)).folder_of(digest))
"""


async def test_a_kill_while_an_archive_is_fetched_keeps_nobody_from_starting(machine: Machine) -> None:
    """The half of it is taken for what it is, by the next provider, and goes."""
    digest, layout = await machine.artifact({"a": b"1"}), machine.layout
    killed = await asyncio.create_subprocess_exec(
        sys.executable, "-c", KILLED, str(layout.artifacts), str(layout.unpacked), digest
    )
    assert await killed.wait() == -signal.SIGKILL
    assert len([*layout.unpacked.iterdir()]) == 1

    await machine.provider()

    assert [*layout.unpacked.iterdir()] == []
