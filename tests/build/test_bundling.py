"""Dependencies that travel in the archive: resolved for elsewhere, locked, left out, measured, and imported."""

import json
import os
import subprocess
import sys
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.build.conftest import Project
from tests.build.wheels import sdist, wheel

from flashcore import BuildError
from flashcore.build.lock import LOCK_FILE, Lock, Locked, read_lock, shown, write_lock
from flashcore.build.options import BuildOptions, Target, names_of, target
from flashcore.build.pins import Pin, resolve
from flashcore.build.project import BuildResult, build
from flashcore.model.errors import UsageError

ProjectWriter = Callable[..., Project]

LINUX = Target("linux-amd64", "3.12")
ARM = Target("linux-arm64", "3.13")
HERE = Target("linux-amd64", f"{sys.version_info.major}.{sys.version_info.minor}")

APP = """
from flashcore import QueueEndpoint
q = QueueEndpoint("q", dependencies=["alpha"])
@q.function
def version():
    import alpha, beta
    return [alpha.VERSION, beta.VERSION]
"""


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of packages, the only place where uv looks: alpha needs beta and gamma, gamma needs delta."""
    folder = tmp_path / "index"
    folder.mkdir()
    wheel(folder, "alpha", needs=["beta", "gamma>=1"])
    wheel(folder, "beta")
    wheel(folder, "gamma", needs=["delta"])
    wheel(folder, "delta")
    for name, value in {
        "FIND_LINKS": str(folder),
        "NO_INDEX": "1",
        "OFFLINE": "1",
        "CACHE_DIR": str(tmp_path / "uv"),
    }.items():
        monkeypatch.setenv(f"UV_{name}", value)
    return folder


def bundled(made: Project, options: BuildOptions) -> tuple[BuildResult, dict[str, bytes]]:
    """The build, and the contents of the dependencies in the archive of q."""
    result = build(made.root, app="shop", registry=made.registry, options=options)
    entry = result.manifest.endpoint("q")
    assert entry is not None
    with tarfile.open(result.artifacts[entry.artifact]) as archive:
        found = {name: archive.extractfile(name) for name in archive.getnames() if name.startswith("dependencies/")}
        return result, {name.removeprefix("dependencies/"): file.read() for name, file in found.items() if file}


def test_dependencies_are_bundled_for_another_platform(project: ProjectWriter, index: Path) -> None:
    """B42: the wheels of there, not of here, with all that they need."""
    wheel(index, "beta", "2.0", tag="cp313-cp313-manylinux_2_17_aarch64")
    wheel(index, "beta", "1.5", tag="cp312-cp312-manylinux_2_17_x86_64")
    made = project(app=APP)

    result, amd = bundled(made, BuildOptions(LINUX))
    _, arm = bundled(made, BuildOptions(ARM))

    assert {path.partition("/")[0] for path in amd} >= {"alpha", "beta", "gamma", "delta"}
    assert (amd["beta/__init__.py"], arm["beta/__init__.py"]) == (b"VERSION = '1.5'\n", b"VERSION = '2.0'\n")
    assert result.manifest.python_version == "3.12"
    assert result.manifest.extra["bundled"] == {"platform": "linux-amd64", "exclude": []}


def test_nothing_is_bundled_where_an_environment_is_made(project: ProjectWriter, index: Path) -> None:
    """B42: without a target, and with --no-deps, whoever runs the artifact installs what it needs."""
    _, found = bundled(project(app=APP), BuildOptions())

    assert found == {}


def test_a_replica_imports_what_was_bundled(project: ProjectWriter, index: Path, tmp_path: Path) -> None:
    """B42: by the generated handler, from the unpacked archive, where nothing else has these packages."""
    made = project(app=APP)
    result, _ = bundled(made, BuildOptions(HERE))
    entry = result.manifest.endpoint("q")
    assert entry is not None
    with tarfile.open(result.artifacts[entry.artifact]) as archive:
        archive.extractall(tmp_path / "replica", filter="data")

    code = (
        "import asyncio, json, handler_q\n"
        "from flashcore.wire.envelope import Call, wrap_call\n"
        "print(json.dumps(asyncio.run(handler_q.handler({'id': '1', 'input': wrap_call(Call('version'))}))))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path / "replica",
        env={"PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["$flashcore"]["value"] == ["1.0", "1.0"]


def test_the_same_packages_give_the_same_archive(project: ProjectWriter, index: Path, tmp_path: Path) -> None:
    """B40: made anew, in another folder: no script, no cache and no record of this machine is in it."""
    first, files = bundled(project(app=APP), BuildOptions(HERE))
    copy = Project(tmp_path / "elsewhere", project().registry)
    copy.write("app.py", APP)

    second, _ = bundled(copy, BuildOptions(HERE))

    assert second.artifacts.keys() == first.artifacts.keys()
    assert not [path for path in files if path.startswith("bin/") or "__pycache__" in path or "direct_url" in path]
    assert not [text for text in files.values() if str(tmp_path).encode() in text]


def test_a_package_that_the_image_has_is_left_out_with_what_only_it_needs(project: ProjectWriter, index: Path) -> None:
    """B42: gamma goes, and delta with it; beta is needed by alpha too."""
    wheel(index, "gamma", "1.1", needs=["delta", "beta"])

    _, found = bundled(project(app=APP), BuildOptions(HERE, exclude=names_of(" Gamma ,")))

    assert {path.partition("/")[0].partition("-")[0] for path in found} == {"alpha", "beta"}


def test_a_resolved_set_is_kept_by_its_inputs(
    project: ProjectWriter, index: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """B42: a second build runs no installer, also when the project's code has changed; other inputs do."""
    made = project(app=APP)
    bundled(made, BuildOptions(HERE))
    monkeypatch.setattr("flashcore.build.uv.uv_program", lambda: "/nothing/uv")

    made.write("other.py", "x = 1\n")
    _, found = bundled(made, BuildOptions(HERE))

    assert "alpha/__init__.py" in found
    with pytest.raises(FileNotFoundError):
        resolve(["alpha"], HERE)
    with pytest.raises(BuildError, match="/nothing/uv"):
        bundled(made, BuildOptions(HERE, exclude=("gamma",)))


def test_a_package_without_wheels_is_named_with_the_way_out(project: ProjectWriter, index: Path) -> None:
    """B42: nothing is compiled for elsewhere; the author is told what to do about it."""
    sdist(index, "omega")
    made = project(app=APP.replace('["alpha"]', '["alpha", "omega"]'))

    with pytest.raises(BuildError) as caught:
        bundled(made, BuildOptions(LINUX))

    message = str(caught.value)
    assert "cannot be resolved for linux-amd64, Python 3.12" in message
    assert "build a wheel of omega for that platform (pip wheel omega)" in message
    assert "--exclude omega" in message


def test_a_package_that_is_nowhere_is_named(project: ProjectWriter, index: Path) -> None:
    """B42: with what uv says of it."""
    made = project(app=APP.replace('["alpha"]', '["nowhere-to-be-found"]'))

    with pytest.raises(BuildError, match="nowhere-to-be-found"):
        bundled(made, BuildOptions(LINUX))


def lock(made: Project, index_target: Target = HERE) -> None:
    """Lock what q needs."""
    write_lock(
        made.root,
        Lock((Locked(("alpha",), index_target.platform, index_target.python, resolve(["alpha"], index_target)),)),
    )


def test_what_is_bundled_comes_from_the_lock(project: ProjectWriter, index: Path) -> None:
    """B40: a newer version on the index changes nothing until somebody locks again, which is a visible diff."""
    made = project(app=APP)
    lock(made)
    before = (made.root / LOCK_FILE).read_text()
    first, _ = bundled(made, BuildOptions(HERE))

    wheel(index, "beta", "9.0")
    made.write("other.py", "x = 1\n")
    second, found = bundled(made, BuildOptions(HERE))
    lock(made)
    third, _ = bundled(made, BuildOptions(HERE))

    assert second.artifacts.keys() == first.artifacts.keys()
    assert found["beta/__init__.py"] == b"VERSION = '1.0'\n"
    assert third.artifacts.keys() != first.artifacts.keys()
    changed = {*(made.root / LOCK_FILE).read_text().splitlines()} - {*before.splitlines()}
    assert 'version = "9.0"' in changed
    assert len(changed) == 2  # and its hash
    assert first.warnings == ()


def test_without_a_lock_the_build_says_so(project: ProjectWriter, index: Path) -> None:
    """B40: another day may bring other versions."""
    result, _ = bundled(project(app=APP), BuildOptions(HERE))

    assert any(LOCK_FILE in warning for warning in result.warnings)


def test_a_package_whose_bytes_are_not_the_locked_ones_is_refused(
    project: ProjectWriter, index: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """B40: the same version with another content is another package."""
    made = project(app=APP)
    lock(made)
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "another cache"))
    (index / "beta-1.0-py3-none-any.whl").unlink()
    wheel(index, "beta", needs=["delta"])

    with pytest.raises(BuildError, match=r"[Hh]ash"):
        bundled(made, BuildOptions(HERE))


def test_a_lock_that_does_not_know_a_target_says_how_to_lock_it(project: ProjectWriter, index: Path) -> None:
    """B42: nothing is resolved behind the author's back."""
    made = project(app=APP)
    lock(made)

    with pytest.raises(BuildError, match=r"flashcore lock --platform linux-arm64 --python-version 3\.13"):
        bundled(made, BuildOptions(ARM))


def test_a_lock_reads_back(tmp_path: Path) -> None:
    """B40: whatever is in it, in one order."""
    pins = (Pin("b", "2", ("sha256:1", "sha256:2"), ("a",)), Pin("a", "1"))
    made = Lock(
        (
            Locked(("b>=1", "a; python_version < '4'"), "linux-arm64", "3.13", pins),
            Locked(("a",), "linux-amd64", "3.12", pins[1:]),
        )
    )

    write_lock(tmp_path, made)

    read = read_lock(tmp_path)
    assert read is not None
    assert sorted(read.sets) == sorted(made.sets)
    assert {pin for one in read.sets for pin in one.package} == {*pins}
    assert shown(read) == (tmp_path / LOCK_FILE).read_text()


@pytest.mark.parametrize(
    "text", ["version = 2", "[[set]", "version = 1\nset = 3", "version = 1\n[[set]]\nplatform = 1", "\xff"]
)
def test_a_lock_that_cannot_be_read_is_named(tmp_path: Path, text: str) -> None:
    """B40: it decides what runs, so that nothing is guessed."""
    (tmp_path / LOCK_FILE).write_text(text, encoding="latin-1")

    with pytest.raises(BuildError, match=r"flashcore\.lock cannot be read"):
        read_lock(tmp_path)


def test_an_archive_that_is_too_large_is_refused_before_it_is_written(project: ProjectWriter, index: Path) -> None:
    """B43: with its ten largest parts; a package counts as a whole."""
    made = project(app=APP)
    for number in range(12):
        made.write(f"data/{number}.bin", bytes(100_000 * (number + 1)))
    made.build()

    with pytest.raises(BuildError) as caught:
        bundled(made, BuildOptions(HERE, largest=2_000_000))

    message = str(caught.value)
    assert "the archive of 'q' would have" in message
    assert "2.0 MB are allowed" in message
    assert [line.split()[-1] for line in message.splitlines() if "data/" in line] == [
        f"data/{n}.bin" for n in range(11, 1, -1)
    ]
    assert "put large data on a volume" in message
    assert not list((made.root / ".flashcore" / "builds").glob("draft-*"))


@pytest.mark.parametrize(
    ("platform", "python", "meant"),
    [
        (None, None, HERE),
        ("linux/amd64", "3.14", Target("linux-amd64", "3.14")),
        ("linux-aarch64", "3.11", Target("linux-arm64", "3.11")),
        ("linux-x86_64", None, HERE),
    ],
)
def test_targets_have_the_names_that_people_know(platform: str | None, python: str | None, meant: Target) -> None:
    """B42: as containers and wheels spell them."""
    assert target(platform, python, here=HERE.python) == meant


@pytest.mark.parametrize(("platform", "python"), [("windows", None), (None, "3.10"), (None, "3.15"), (None, "three")])
def test_targets_that_nobody_runs_are_refused(platform: str | None, python: str | None) -> None:
    """B42: with those that there are."""
    with pytest.raises(UsageError, match="use one of"):
        target(platform, python, here="3.12")


@pytest.mark.slow
def test_a_real_package_with_compiled_code_is_bundled_for_another_machine(project: ProjectWriter) -> None:
    """B42: from the index, for a processor that is not this one's."""
    made = project(app=APP.replace('["alpha"]', '["markupsafe==3.0.2"]'))

    _, found = bundled(made, BuildOptions(ARM))

    assert [path for path in found if path.endswith("aarch64-linux-gnu.so")]


def test_a_package_that_is_excluded_and_that_nobody_needs_is_warned_of(project: ProjectWriter, index: Path) -> None:
    """A name that is misspelt leaves nothing out; also when the bundle is known already."""
    made = project(app=APP)

    for _ in range(2):
        result, found = bundled(made, BuildOptions(HERE, exclude=names_of("gamma,gama")))
        assert [warning for warning in result.warnings if "exclude" in warning] == [
            "no endpoint needs gama, which is to be excluded: check the name"
        ]
        assert not [path for path in found if "flashcore-left-out" in path]
        made.write("other.py", "x = 1\n")


def test_an_exclusion_without_a_bundle_is_warned_of(project: ProjectWriter, index: Path) -> None:
    """There is nothing that it could be left out of."""
    result, _ = bundled(project(app=APP), BuildOptions(exclude=("numpy",)))

    assert [warning for warning in result.warnings if "numpy need not be excluded" in warning]
