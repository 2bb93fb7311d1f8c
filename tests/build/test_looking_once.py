"""B10: what is looked at, how often, and what a second build still looks at."""

import ast
import json
import os
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.build.conftest import Project

from flashcore.build import sources as sources_module
from flashcore.build import syntax
from flashcore.build.syntax import Unparsable
from flashcore.build.tree import KEPT_IN_ALL, read_file
from flashcore.testing.measure import Instructions

ProjectWriter = Callable[..., Project]

APP = """
import deep.helper
from flashcore import QueueEndpoint
q = QueueEndpoint("q")
@q.function
def f(): ...
"""
MEMORY = Path(".flashcore", "builds", "last.json")


@pytest.fixture
def shop(project: ProjectWriter) -> Project:
    """An endpoint with a helper, a file that uses it, and fifty that have nothing to do with it."""
    others = {f"m{number}.py": "import json\n" for number in range(50)}
    helpers = {"deep/__init__.py": "", "deep/helper.py": "import deep.more\n", "deep/more.py": ""}
    return project({"app.py": APP, "uses.py": "from app import q\n", **helpers, **others})


@contextmanager
def opened(root: Path) -> Iterator[list[str]]:
    """The scanned files that are opened meanwhile, as the interpreter's own audit tells of them."""
    seen: list[str] = []
    listening = [True]

    def listen(event: str, arguments: tuple[object, ...]) -> None:
        path = os.path.relpath(str(arguments[0]), root) if event == "open" and listening else ".."
        if not path.startswith((".", "flashcore.lock")) and "/." not in path:
            seen.append(path)

    sys.addaudithook(listen)  # there is no way to take it back: it is told to be deaf
    try:
        yield seen
    finally:
        listening.clear()


@pytest.fixture
def parsed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The files that are parsed meanwhile."""
    seen: list[str] = []

    def parse(path: str, data: bytes) -> ast.Module | Unparsable:
        seen.append(path)
        return syntax.parse(path, data)

    monkeypatch.setattr(sources_module, "parse", parse)
    return seen


def test_files_that_cannot_matter_are_not_parsed(shop: Project, parsed: list[str]) -> None:
    """B10: a thousand files that have nothing to do with it cost no more than reading them."""
    shop.build()

    assert set(parsed) == {"app.py", "deep/__init__.py", "deep/helper.py", "deep/more.py"}


def test_definitions_that_nobody_asks_for_are_not_parsed(
    project: ProjectWriter, parsed: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """B10: of a large project only what is given to endpoints, and what that speaks of."""
    monkeypatch.setattr(sources_module, "CHECKED_IN_ALL", 0)
    helpers = "".join(f"def helper_{number}():\n    return {number}\n\n" for number in range(20))
    made = project(app=f"{APP}\n{helpers}", files={"deep/helper.py": helpers, "deep/__init__.py": ""})

    made.build()

    assert parsed == ["app.py"]


def test_each_file_is_read_once(shop: Project) -> None:
    """B10: by a first build; those that are packed too."""
    with opened(shop.root) as seen:
        shop.build()

    assert sorted(seen) == sorted({*seen})
    assert {"app.py", "deep/more.py", "m3.py"} <= {*seen}


def settled(shop: Project) -> None:
    """Let the last change of every file be a while ago: its times tell then whether it changed again."""
    shop.build()
    kept = shop.root / MEMORY
    content = json.loads(kept.read_bytes())
    content["files"] = {path: stamp[:5] for path, stamp in content["files"].items()}
    kept.write_text(json.dumps(content))


def test_a_build_of_what_did_not_change_reads_nothing(shop: Project, parsed: list[str]) -> None:
    """B10: neither a file's content nor an archive; the result is the last one."""
    first = shop.build()
    settled(shop)
    parsed.clear()

    with opened(shop.root) as seen:
        again = shop.build()

    assert again == first
    assert parsed == []
    assert seen == []


CHANGES: dict[str, Callable[[Project], object]] = {
    "a module": lambda shop: shop.write("deep/more.py", "import json\n"),
    "a file that nobody needs": lambda shop: shop.write("m7.py", "import os\n"),
    "a new file": lambda shop: shop.write("new.txt", ""),
    "a file less": lambda shop: (shop.root / "uses.py").unlink(),
    "a rule": lambda shop: shop.write(".gitignore", "uses.py\n"),
    "a mode": lambda shop: (shop.root / "deep" / "more.py").chmod(0o755),
    "a name": lambda shop: (shop.root / "m1.py").rename(shop.root / "m1b.py"),
    "the archive is gone": lambda shop: next(iter(shop.build().artifacts.values())).unlink(),
    "the archive is torn": lambda shop: next(iter(shop.build().artifacts.values())).write_bytes(b""),
}


@pytest.mark.parametrize("change", CHANGES)
def test_whatever_changed_is_seen(shop: Project, change: str) -> None:
    """B10: with and without what the last build noted, the result is the same."""
    settled(shop)

    CHANGES[change](shop)
    remembering = shop.build()
    archives = {digest: path.read_bytes() for digest, path in remembering.artifacts.items()}
    (shop.root / MEMORY).unlink()

    assert shop.build().manifest == remembering.manifest
    assert all(archives.values())


def test_a_change_in_the_moment_of_a_build_is_seen(shop: Project) -> None:
    """B10: times that are the same to the nanosecond do not hide it while the file is young."""
    before = shop.endpoint("q").artifact
    target = shop.root / "deep" / "more.py"
    times = target.stat()

    target.write_text("x")
    first = shop.endpoint("q").artifact
    kept = json.loads((shop.root / MEMORY).read_bytes())
    target.write_text("y")
    os.utime(target, ns=(times.st_atime_ns, times.st_mtime_ns))
    status = target.stat()
    young = [status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino, status.st_mode]
    kept["files"]["deep/more.py"] = [*young, kept["files"]["deep/more.py"][5]]
    (shop.root / MEMORY).write_text(json.dumps(kept))

    assert len({before, first, shop.endpoint("q").artifact}) == 3


def test_files_that_endpoints_ask_for_are_looked_at_too(project: ProjectWriter) -> None:
    """B10: also those that rules leave out."""
    made = project(
        {"app.py": APP.replace("import deep.helper\n", "").replace('("q"', '("q", include=["weights/*"]')},
    )
    made.write(".gitignore", "weights/\n")
    made.write("weights/a.bin", "a")
    first = made.endpoint("q").artifact

    made.write("weights/b.bin", "b")

    assert made.endpoint("q").artifact != first


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff", b'{"key": 1}', b'{"key": null, "files": 3}'])
def test_a_memory_that_is_torn_is_forgotten(shop: Project, content: bytes) -> None:
    """B10: nothing but time depends on it."""
    before = shop.endpoint("q")
    (shop.root / MEMORY).write_bytes(content)

    assert shop.endpoint("q") == before
    assert json.loads((shop.root / MEMORY).read_bytes())["files"]


def test_a_memory_that_was_made_otherwise_is_forgotten(shop: Project) -> None:
    """B10: by another flashcore, with other plugins, for another target."""
    before = shop.build()
    content = json.loads((shop.root / MEMORY).read_bytes())
    (shop.root / MEMORY).write_text(json.dumps({**content, "key": "other", "manifest": {}}))

    assert shop.build().manifest == before.manifest


def test_the_memory_of_builds_at_once_is_one_of_theirs(shop: Project) -> None:
    """B10: it is replaced as a whole."""
    threads = [threading.Thread(target=shop.build) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    builds = shop.root / ".flashcore" / "builds"
    assert json.loads((builds / "last.json").read_bytes())["files"]
    assert [path.name for path in builds.glob("last.json.*")] == []


def test_the_work_grows_with_the_number_of_files_and_no_faster(project: ProjectWriter) -> None:
    """B10: also where each file imports the next one; counted, for what it takes in seconds is the machine's."""

    def work(files: int) -> int:
        chain = {f"c{n}.py": f"import c{n + 1}\n" if n + 1 < files else "" for n in range(files)}
        made = project({**chain, "app.py": APP.replace("deep.helper", "c0")})
        with Instructions() as counted:
            made.build()
        return counted.count

    work(1)  # what is imported and remembered once
    few, some, many = work(50), work(100), work(200)

    # Twice as many more files; with the square it would be four times as much work.
    assert many - some < 2.5 * (some - few)


def test_a_file_that_grows_while_it_is_read_is_read_to_its_end(tmp_path: Path) -> None:
    """B10: what the disk said a moment ago is a hint."""
    path = tmp_path / "x"
    path.write_bytes(b"x" * 100)

    assert read_file(str(path), 10) == b"x" * 100
    assert read_file(str(path), 1000) == b"x" * 100
    assert KEPT_IN_ALL > 30_000_000
