"""The bytes of archives, and the directory that builds are kept in."""

import hashlib
import io
import json
import os
import resource
import signal
import subprocess
import sys
import tarfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.build.conftest import Project

from flashcore import StorageFull
from flashcore.build.archive import BytesEntry, digest_of, write_archive
from flashcore.build.keep import KEPT, Kept
from flashcore.build.project import BuildResult
from flashcore.model.manifest import MANIFEST_FILE

ProjectWriter = Callable[..., Project]

APP = """
from flashcore import QueueEndpoint
q = QueueEndpoint("q")
@q.function
def f(): ...
"""

paths = st.text(st.characters(codec="utf-8", exclude_characters="/\0"), min_size=1, max_size=60).filter(
    lambda name: name not in (".", "..")
)


# Sizes around the blocks of tar files and of the frame; large contents made, not drawn: that would take minutes.
contents = st.builds(
    lambda data, size: (data * (size // len(data) + 1))[:size] if data else data,
    st.binary(max_size=30),
    st.sampled_from([0, 1, 511, 512, 513, 65_534, 65_535, 65_536, 140_000]),
)


@settings(max_examples=50)
@given(st.dictionaries(paths, contents, max_size=4))
def test_b40_an_archive_is_an_ordinary_tar_gz(files: dict[str, bytes]) -> None:
    """B40: whatever its files are called, and across the blocks that it is made of."""
    target = io.BytesIO()
    entries = [BytesEntry(path, data, executable=len(data) % 2 == 0) for path, data in files.items()]

    digest = write_archive(entries, target)

    assert digest == hashlib.sha256(target.getvalue()).hexdigest() == digest_of(reversed(entries))
    with tarfile.open(fileobj=io.BytesIO(target.getvalue()), mode="r:gz") as archive:
        found = {member.name: archive.extractfile(member) for member in archive.getmembers()}
        assert {name: file.read() for name, file in found.items() if file} == files
        for member in archive.getmembers():
            assert (member.uid, member.gid, member.uname, member.gname, member.mtime) == (0, 0, "", "", 0)
            assert member.mode == (0o755 if len(files[member.name]) % 2 == 0 else 0o644)


def test_b40_the_bytes_are_the_same_for_ever() -> None:
    """B40: another Python, another zlib, another machine: a digest that changes would roll out everything."""
    entries = [BytesEntry("b/ü.py", b"x = 1\n"), BytesEntry("a.sh", b"#!/bin/sh\n" * 9000, executable=True)]

    assert digest_of(entries) == "f190eb35c5f1ef91c82bf902987e3f2b2cb92fd8700dbfda0590ed075af9cfb6"


def test_b40_the_same_tree_gives_the_same_digest(project: ProjectWriter, tmp_path: Path) -> None:
    """B40: on another day, in another folder, with another umask, whoever owns it; being executable counts."""
    made = project({"app.py": APP, "data/run.sh": "#!/bin/sh\n"})
    first = made.endpoint("q").artifact

    before = os.umask(0o077)
    try:
        copy = Project(tmp_path / "elsewhere", made.registry)
        for path in ("app.py", "data/run.sh"):
            copy.write(path, (made.root / path).read_bytes())
            os.utime(copy.root / path, (1, 1))
    finally:
        os.umask(before)

    assert copy.endpoint("q").artifact == first
    (copy.root / "data" / "run.sh").chmod(0o700)
    assert copy.endpoint("q").artifact != first


def test_b41_an_archive_that_did_not_change_is_kept(project: ProjectWriter) -> None:
    """B41: the same file, under the same digest, in the next generation."""
    made = project(app=APP)
    ((digest, first),) = made.build().artifacts.items()

    made.write("unused.py", "")
    again = made.build().artifacts[digest]

    assert again != first
    assert again.samefile(first)


def test_b41_the_last_generations_stay(project: ProjectWriter) -> None:
    """B41: somebody may still be uploading from them; older ones go."""
    made = project(app=APP)
    results: list[BuildResult] = []
    for number in range(KEPT + 2):
        made.write("unused.py", f"x = {number}\n")
        results.append(made.build())
    kept = sorted(path.name for path in (made.root / ".flashcore" / "builds").iterdir() if path.is_dir())

    assert len(kept) == KEPT
    assert results[-1].directory.resolve().name == kept[-1]
    assert next(iter(results[-KEPT].artifacts.values())).is_file()


def test_b41_a_build_that_is_refused_leaves_the_last_one(project: ProjectWriter) -> None:
    """B41: whole, and where it was."""
    made = project(app=APP)
    before = made.build()
    manifest = (before.directory / MANIFEST_FILE).read_bytes()

    made.write("app.py", APP.replace('"q"', '"q", cpu="x"'))
    made.refusal()

    assert (before.directory / MANIFEST_FILE).read_bytes() == manifest
    assert all(path.is_file() for path in before.artifacts.values())


class Interrupted(BaseException):
    """Whatever ends a process in the middle."""


def test_b41_an_interrupted_build_leaves_the_last_one_and_no_debris(tmp_path: Path) -> None:
    """B41: at any point while it writes."""
    kept = Kept(tmp_path / "build")
    with kept.next_generation() as folder:
        (folder / "x").write_text("old")

    def interrupted() -> None:
        with kept.next_generation() as folder:
            (folder / "x").write_text("new")
            raise Interrupted

    with pytest.raises(Interrupted):
        interrupted()

    assert (tmp_path / "build" / "x").read_text() == "old"
    assert not list((tmp_path / "builds").glob("draft-*"))


KILLED = """
import os, signal, sys
from pathlib import Path
from flashcore.build.keep import Kept
with Kept(Path(sys.argv[1])).next_generation() as folder:
    (folder / "x").write_text("new")
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_b41_what_a_killed_build_left_is_removed_by_the_next(tmp_path: Path) -> None:
    """B41: the lock went with the process; its draft is nobody's."""
    kept = Kept(tmp_path / "build")
    with kept.next_generation() as folder:
        (folder / "x").write_text("old")

    done = subprocess.run([sys.executable, "-c", KILLED, str(kept.link)], check=False)

    assert done.returncode == -signal.SIGKILL
    assert (kept.link / "x").read_text() == "old"
    with kept.next_generation() as folder:
        assert not [path for path in folder.parent.glob("draft-*") if path != folder]


def test_b41_a_directory_in_the_place_of_the_build_is_moved_aside(tmp_path: Path) -> None:
    """B41: left by somebody's hand."""
    (tmp_path / "build").mkdir()
    kept = Kept(tmp_path / "build")

    with kept.next_generation() as folder:
        (folder / "x").write_text("new")

    assert (tmp_path / "build" / "x").read_text() == "new"


def test_b41_two_builds_at_once_do_not_mix(project: ProjectWriter) -> None:
    """B41: each archive is what its name says; what is present belongs together."""
    made = project(app=APP)
    failures: list[BaseException] = []

    def build_often(number: int) -> None:
        try:
            for turn in range(5):
                made.write(f"data/{number}.txt", f"{number} {turn}")
                for digest, path in made.build().artifacts.items():
                    if path.is_file():  # two later builds may have removed it
                        assert hashlib.sha256(path.read_bytes()).hexdigest() == digest
        except BaseException as error:
            failures.append(error)
            raise

    threads = [threading.Thread(target=build_often, args=(number,)) for number in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert failures == []
    present = (made.root / ".flashcore" / "build").resolve()
    named = {entry["artifact"] for entry in json.loads((present / MANIFEST_FILE).read_bytes())["endpoints"]}
    assert {path.name.removesuffix(".tar.gz") for path in present.glob("*.tar.gz")} == named


def test_b41_a_full_disk_is_an_error_without_debris(project: ProjectWriter) -> None:
    """B41: the last build stays as it is. A limit on the size of files stands in for the end of the disk."""
    made = project({"app.py": APP, "data/a.bin": b"a"})
    before = made.build()
    made.write("data/a.bin", b"a" * 4_000_000)

    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, hard))
    try:
        with pytest.raises(StorageFull, match="there is no room to build in"):
            made.build()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))

    assert before.directory.resolve() == next(iter(before.artifacts.values())).parent
    assert not list((made.root / ".flashcore" / "builds").glob("draft-*"))


@pytest.fixture
def small_disk(project: ProjectWriter, tmp_path: Path) -> Iterator[Project]:
    """A project whose local data is on a file system of three megabytes."""
    made = project({"app.py": APP, "data/a.bin": b"a"})
    local = made.root / ".flashcore"
    local.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", str(local)], capture_output=True, check=False
    )
    if mounted.returncode != 0:
        pytest.skip("file systems cannot be mounted here")
    yield made
    subprocess.run(["umount", "--lazy", str(local)], check=True)


def test_b41_a_disk_that_is_full_is_an_error_without_debris(small_disk: Project) -> None:
    """B41: of a real file system; when there is room again the same build succeeds."""
    before = small_disk.build()
    builds = small_disk.root / ".flashcore" / "builds"
    present = sorted(path.name for path in builds.iterdir())
    small_disk.write("data/a.bin", b"a" * 4_000_000)

    with pytest.raises(StorageFull, match="there is no room to build in"):
        small_disk.build()

    assert sorted(path.name for path in builds.iterdir()) == present
    assert all(path.is_file() for path in before.artifacts.values())
    small_disk.write("data/a.bin", b"b")
    assert small_disk.build().artifacts.keys() != before.artifacts.keys()
