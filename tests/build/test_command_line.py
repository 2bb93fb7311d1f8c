"""`flashcore build`, `lock` and `manifest`, as people call them."""

import json
import shutil
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from tests.build.wheels import wheel

from flashcore.cli.main import cli
from flashcore.model.manifest import MANIFEST_FILE

Flashcore = Callable[..., Result]

HANDLER = ("fastapi", "uvicorn", "websockets")
"""What the handler of a load-balanced endpoint needs."""

APP = """
from flashcore import LoadBalancedEndpoint, QueueEndpoint
first = QueueEndpoint("first-one", dependencies=["alpha"])
second = QueueEndpoint("second")
web = LoadBalancedEndpoint("web")
@first.function
def f(a: int): ...
@second.function
def g(): ...
@web.get("/x")
def x(): ...
"""


@pytest.fixture
def flashcore(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Flashcore:
    """Call the command in a project; it has to succeed, or to end with `code`."""
    folder = tmp_path / "index"
    folder.mkdir()
    wheel(folder, "alpha", needs=["beta"])
    for name in ("beta", "fastapi", "uvicorn"):
        wheel(folder, name, "1.0")
    wheel(folder, "websockets", "15.0")
    root = tmp_path / "shop"
    root.mkdir()
    (root / "flashcore.toml").write_text('app = "shop"\n')
    (root / "app.py").write_text(APP)
    monkeypatch.chdir(root)
    for variable, value in {
        "FIND_LINKS": str(folder),
        "NO_INDEX": "1",
        "OFFLINE": "1",
        "CACHE_DIR": str(tmp_path / "uv"),
    }.items():
        monkeypatch.setenv(f"UV_{variable}", value)

    def call(*arguments: str, code: int = 0) -> Result:
        result = CliRunner().invoke(cli, arguments)
        assert result.exit_code == code, result.output
        return result

    return call


def document(result: Result) -> Any:
    """The one JSON document of a command's output."""
    return json.loads(result.stdout)


def test_handlers_stand_beside_the_manifest_in_the_kept_build_directory(flashcore: Flashcore) -> None:
    """B30: `handler_<endpoint>.py` for each endpoint, under `.flashcore/`."""
    flashcore("build")

    kept = Path(".flashcore/build")
    assert (kept / MANIFEST_FILE).is_file()
    assert sorted(path.name for path in kept.glob("handler_*.py")) == [
        "handler_first_one.py",
        "handler_second.py",
        "handler_web.py",
    ]


def test_a_folder_can_be_named(flashcore: Flashcore, monkeypatch: pytest.MonkeyPatch) -> None:
    """B42: with settings or without."""
    shutil.copytree(".", "../other")
    Path("../other/flashcore.toml").unlink()

    shown = document(flashcore("build", "../other", "--json"))

    assert shown["manifest"]["app"] == "other"
    assert Path("../other/.flashcore/build").resolve() == Path(shown["directory"]).resolve()


def test_keep_build_leaves_each_endpoints_files_to_look_at(flashcore: Flashcore) -> None:
    """B41: unpacked beside the archives; what runs is the archive."""
    flashcore("build", "--keep-build")

    files = Path(".flashcore/build/files")
    assert sorted(path.name for path in files.iterdir()) == ["first-one", "second", "web"]
    assert (files / "second" / "app.py").read_text() == APP


def test_output_is_one_file_with_all_that_a_deploy_elsewhere_needs(flashcore: Flashcore) -> None:
    """B40: with its dependencies, and the same bytes each time."""
    flashcore("build", "--output", "out/shop.tar.gz")
    first = Path("out/shop.tar.gz").read_bytes()

    with tarfile.open("out/shop.tar.gz") as archive:
        names = archive.getnames()
        manifest = json.load(archive.extractfile(MANIFEST_FILE) or pytest.fail("no manifest"))
    shutil.rmtree(".flashcore")
    shutil.rmtree("out")
    flashcore("build", "--output", "out/shop.tar.gz")

    assert {f"{one['artifact']}.tar.gz" for one in manifest["endpoints"]} <= {*names}
    assert manifest["extra"]["bundled"] if "extra" in manifest else manifest["bundled"]
    assert Path("out/shop.tar.gz").read_bytes() == first


def artifacts(flashcore: Flashcore, *options: str) -> dict[str, set[str]]:
    """The packages in the archives of a build with these options, by endpoint."""
    shown = document(flashcore("build", "--json", *options))
    found: dict[str, set[str]] = {}
    for one in shown["manifest"]["endpoints"]:
        with tarfile.open(Path(shown["directory"], f"{one['artifact']}.tar.gz")) as archive:
            paths = (name.split("/") for name in archive.getnames() if name.startswith("dependencies/"))
            found[one["name"]] = {path[1] for path in paths if ".dist-info" not in path[1]}
    return found


def test_options_say_what_is_bundled(flashcore: Flashcore) -> None:
    """B42: for a platform or a Python version, without some packages, or not at all."""
    nothing: dict[str, set[str]] = {"first-one": set(), "second": set(), "web": set()}
    all_of_it = {"first-one": {"alpha", "beta"}, "second": set(), "web": set(HANDLER)}
    assert artifacts(flashcore) == nothing

    pytest.importorskip("uv", reason="uv is not installed")
    for folder in Path("../index").glob("*.whl"):
        if folder.name.startswith(HANDLER):
            folder.unlink()
    for name in HANDLER:
        wheel(Path("../index"), name, "99.0")

    assert artifacts(flashcore, "--platform", "linux-arm64") == all_of_it
    assert artifacts(flashcore, "--python-version", "3.14") == all_of_it
    assert artifacts(flashcore, "--python-version", "3.14", "--exclude", "beta,uvicorn") == {
        "first-one": {"alpha"},
        "second": set(),
        "web": {"fastapi", "websockets"},
    }
    assert artifacts(flashcore, "--platform", "linux-amd64", "--no-deps") == nothing


def test_an_unknown_platform_is_a_mistake_of_use(flashcore: Flashcore) -> None:
    """B42: with those that there are."""
    assert "linux-amd64, linux-arm64" in flashcore("build", "--platform", "mars", code=2).output


def test_lock_writes_what_build_then_uses(flashcore: Flashcore) -> None:
    """B40: for the targets that are named; without any for those that it has; `--check` tells what is missing."""
    for name in HANDLER:
        wheel(Path("../index"), name, "99.0")
    assert "flashcore lock --platform" in flashcore("lock", "--check", code=1).output

    said = flashcore("lock", "--platform", "linux-arm64", "--python-version", "3.13", "--python-version", "3.12").output
    flashcore("lock", "--check")
    text = Path("flashcore.lock").read_text()
    again = flashcore("lock").output

    assert "alpha: new -> 1.0" in said
    assert text.count("[[set]]") == 4  # two sets of requirements, two versions of Python
    assert text.count("sha256:") == 10
    assert "alpha" not in again.replace("resolving alpha", "")
    assert Path("flashcore.lock").read_text() == text
    flashcore("build", "--platform", "linux-arm64", "--python-version", "3.13")
    assert "has no packages for" in flashcore("build", "--platform", "linux-amd64", code=1).output


def test_a_lock_is_part_of_the_tree_and_changes_no_archive_that_bundles_nothing(flashcore: Flashcore) -> None:
    """B40: local replicas have environments of their own."""
    for name in HANDLER:
        wheel(Path("../index"), name, "99.0")
    before = document(flashcore("build", "--json"))["manifest"]["endpoints"]

    flashcore("lock")

    assert document(flashcore("build", "--json"))["manifest"]["endpoints"] == before


def test_manifest_diff_says_what_changed_by_digest(flashcore: Flashcore) -> None:
    """B21: new, changed, removed, same; and whether a change is rolled out or applied in place."""
    flashcore("build")
    text = APP.replace('QueueEndpoint("second")', 'QueueEndpoint("second", replicas=3)')
    text = text.replace("@web.get", "third = QueueEndpoint('third')\n@third.function\ndef h(): ...\n@web.get")
    Path("own.py").write_text(text.replace("def f(a: int)", "def f(a: int, b: str)"))
    Path("app.py").unlink()
    flashcore("build")

    found = {one["endpoint"]: one for one in document(flashcore("manifest", "diff", "--json"))}
    shown = flashcore("manifest", "diff").output

    assert {name: (one["fate"], one["rolls"]) for name, one in found.items()} == {
        "first-one": ("changed", True),
        "second": ("changed", True),
        "third": ("new", True),
        "web": ("changed", True),
    }
    paths = [one["path"] for one in found["second"]["differences"]]
    assert "policy.replicas.maximum" in paths
    assert "  policy.replicas.maximum: 1 -> 3\n" in shown


def test_manifest_diff_of_two_files(flashcore: Flashcore) -> None:
    """B21: a change of policy alone is applied in place; an endpoint that is gone is removed; the rest is the same."""
    flashcore("build")
    kept = Path(".flashcore/build", MANIFEST_FILE)
    shutil.copy(kept, "old.json")
    document_now = json.loads(kept.read_bytes())
    document_now["endpoints"] = [one for one in document_now["endpoints"] if one["name"] != "web"]
    document_now["endpoints"][0]["policy"]["ttl"] = 1234.0
    document_now["endpoints"][0]["policy_digest"] = "0" * 64
    Path("new.json").write_text(json.dumps(document_now))

    shown = flashcore("manifest", "diff", "old.json", "new.json").output

    assert (
        shown == "first-one: changed, applied in place\n  policy.ttl: 86400.0 -> 1234.0\nsecond: same\nweb: removed\n"
    )
    assert "only one build" in flashcore("manifest", "diff", code=1).output
    assert flashcore("manifest", "diff", "old.json").output == "first-one: same\nsecond: same\nweb: same\n"
    Path("new.json").write_text("{")
    assert "new.json is no manifest" in flashcore("manifest", "diff", "old.json", "new.json", code=1).output


def test_the_schema_can_be_asked_for(flashcore: Flashcore, repository: Path) -> None:
    """B20: it is the published one."""
    published = json.loads((repository / "docs" / "manifest.schema.json").read_text())

    assert document(flashcore("manifest", "schema")) == published
