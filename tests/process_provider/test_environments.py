"""What an endpoint declares as dependencies is there when its code is imported."""

import asyncio
import os
import shlex
import stat
import sys
import textwrap
import time
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.process_provider.conftest import HINTS, ONE, Machine, gone, ready, until

from flashcore.builtin.process import installing
from flashcore.builtin.process.environments import Environments, handlers_requirements
from flashcore.builtin.process.installing import InstallFailed
from flashcore.builtin.process.interpreters import find_interpreter, this_minor
from flashcore.builtin.process.launch import Launch, write_launch
from flashcore.builtin.process.requirements import unmet
from flashcore.hookspecs.providers import Pending
from flashcore.model.declaration import Template
from flashcore.model.errors import ConfigurationError
from flashcore.model.layout import Layout
from flashcore.model.names import Digest, EndpointName, InstanceId, ReplicaId, RevisionId

SOURCE = Path(__file__).resolve().parents[2] / "src"
TWO = ReplicaId("e-2")
USES_TINY = "import sys, tiny\nprint('tiny is', tiny.VALUE, 'in', sys.prefix, flush=True)\ndef f(): ..."


def write_wheel(folder: Path, name: str, version: str, code: str, needs: str = "") -> None:
    """A wheel with one module of that name."""
    folder.mkdir(parents=True, exist_ok=True)
    info = f"{name}-{version}.dist-info"
    files = {
        f"{name}.py": code,
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{needs}",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{info}/entry_points.txt": f"[console_scripts]\nuse-{name} = {name}:main\n",
    }
    files[f"{info}/RECORD"] = "".join(f"{path},,\n" for path in [*files, f"{info}/RECORD"])
    with zipfile.ZipFile(folder / f"{name}-{version}-py3-none-any.whl", "w") as wheel:
        for path, text in files.items():
            wheel.writestr(path, text)


@pytest.fixture
def wheels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The only place that packages come from: `tiny`, and what the worker needs."""
    folder = tmp_path / "wheels"
    write_wheel(folder, "tiny", "1.0", "VALUE = 'installed'\ndef main():\n    print(VALUE)\n")
    write_wheel(folder, "cloudpickle", "3.1.0", "")
    for name, value in {"FIND_LINKS": str(folder), "NO_INDEX": "1"}.items():
        monkeypatch.setenv(f"UV_{name}", value)
        monkeypatch.setenv(f"PIP_{name}", value)
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "cache"))
    return folder


def nothing(_: str) -> None:
    """Whoever does not care how it goes on."""


async def python_for(layout: Layout, *needed: str, say: Callable[[str], None] = nothing) -> str:
    """The interpreter that runs a project's code with these requirements."""
    return (await Environments(layout, 60).python_for(this_minor(), needed, layout.unpacked, say)).path


def left(layout: Layout) -> list[str]:
    """The names of all environments, finished or not."""
    return sorted(path.name for path in layout.venvs.iterdir()) if layout.venvs.is_dir() else []


async def test_what_is_declared_is_installed(machine: Machine, wheels: Path) -> None:
    """It is told while it lasts, made once for all replicas, and holds nothing of the platform's own packages."""
    provider = await machine.provider()
    template = Template(dependencies=("tiny>=1",))
    revision = await machine.revision(USES_TINY, template, env={"PYTHONPATH": str(SOURCE)})
    await provider.apply(revision, frozenset({ONE}), HINTS)
    pending = await until(provider, Pending, lambda state: state.reason.startswith("installing"))
    await ready(provider)
    await provider.apply(revision, frozenset({ONE, TWO}), HINTS)
    await ready(provider, TWO)

    (name,) = left(machine.layout)
    assert pending.reason == f"installing 2 requirements for Python {this_minor()}: cloudpickle>=3, tiny>=1"
    assert f"tiny is installed in {machine.layout.venvs / name}" in machine.log()
    python = machine.layout.venvs / name / "bin" / "python"
    asked = await asyncio.create_subprocess_exec(str(python), "-c", "import psutil", stderr=asyncio.subprocess.DEVNULL)
    assert await asked.wait() == 1


async def test_nothing_is_installed_where_everything_is_there(layout: Layout) -> None:
    """The platform's own interpreter is used, and no environment is made."""
    assert await python_for(layout) == sys.executable
    assert await python_for(layout, "psutil>=5", "PyTest") == sys.executable
    assert left(layout) == []


async def test_an_installation_that_fails_is_told_with_the_installers_words(machine: Machine, wheels: Path) -> None:
    """To try again is of no use; the sentence names what is missing, the output is in the log's place."""
    provider = await machine.provider()
    template = Template(dependencies=("no-such-package>=1",))

    await provider.apply(await machine.revision(template=template), frozenset({ONE}), HINTS)
    told_of = await gone(provider)

    assert told_of.permanent
    assert told_of.reason.startswith("cloudpickle>=3, no-such-package>=1 cannot be installed: ")
    missing = ("no-such-package was not found", "No matching distribution found for no-such-package")
    assert any(words in told_of.reason for words in missing)  # uv's, or pip's where there is no uv
    assert "next: correct `dependencies` of the endpoint" in told_of.reason
    assert any("no-such-package" in line for line in told_of.log_tail)
    assert left(machine.layout) == []


async def test_a_package_index_that_is_away_is_waited_for(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    """A network may be back in a minute: the wish stays, and says when it is tried again."""
    # Of a connection that was refused, pip speaks only when it tries again.
    for name, retries in (("UV_INDEX_URL", "UV_HTTP_RETRIES"), ("PIP_INDEX_URL", "PIP_RETRIES")):
        monkeypatch.setenv(name, "http://127.0.0.1:9/simple")
        monkeypatch.setenv(retries, "1")
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    provider = await machine.provider()
    revision = await machine.revision(template=Template(dependencies=("no-such-package",)))

    await provider.apply(revision, frozenset({ONE}), HINTS)
    pending = await until(provider, Pending, lambda state: state.retry_at is not None)

    assert "no-such-package cannot be installed" in pending.reason


async def test_two_at_once_make_one_environment(layout: Layout, wheels: Path) -> None:
    """Two control planes of one project, each with two replicas: all get the same, and no draft stays."""
    first, second = Environments(layout, 60), Environments(layout, 60)
    said: list[str] = []

    made = await asyncio.gather(
        *(one.python_for(this_minor(), ("tiny",), layout.unpacked, said.append) for one in (first, first, second))
    )

    assert len(set(made)) == 1
    assert left(layout) == [made[0].environment]
    assert len(said) == 2


async def test_an_installation_that_is_broken_off_leaves_nothing(
    layout: Layout, wheels: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody wants it any more: the installer ends, its half of an environment goes, and the next one is whole."""
    slow = layout.root / "uv"
    make = f'for folder; do :; done; exec {shlex.quote(sys.executable)} -m venv --without-pip "$folder"'
    slow.write_text(f"#!/bin/sh\ncase $1 in venv) {make};; *) exec sleep 600;; esac\n")
    slow.chmod(0o755)
    with monkeypatch.context() as patched:
        patched.setattr(installing, "find_uv", lambda: str(slow))
        making = asyncio.create_task(python_for(layout, "tiny"))
        async with asyncio.timeout(60):
            while not list(layout.venvs.glob(".draft-*/bin/python")):  # noqa: ASYNC110 - a file has no event
                await asyncio.sleep(0.01)
        making.cancel()
        await asyncio.wait([making])

    assert left(layout) == []
    await python_for(layout, "tiny")
    assert len(left(layout)) == 1


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        (
            """Looking in indexes: https://example.invalid/simple, file:///packages
            WARNING: Location 'file:///packages/cloudpickle/' is ignored: it is neither a file nor a directory.
            Processing /packages/cloudpickle-3.1.2-py3-none-any.whl
            ERROR: Could not find a version that satisfies the requirement tiny==9 (from versions: none)
            WARNING: Location 'file:///packages/tiny/' is ignored: it is neither a file nor a directory.
            ERROR: No matching distribution found for tiny==9""",
            (
                "ERROR: Could not find a version that satisfies the requirement tiny==9 (from versions: none) "
                "ERROR: No matching distribution found for tiny==9"
            ),
        ),
        (
            """Using Python 3.11.7 environment at: /packages
              \u00d7 No solution found when resolving dependencies:
              ╰─▶ Because tiny was not found, your requirements are unsatisfiable.""",
            (
                "No solution found when resolving dependencies: "
                "Because tiny was not found, your requirements are unsatisfiable."
            ),
        ),
    ],
    ids=["pip", "uv"],
)
async def test_of_all_that_an_installer_says_the_reason_is_told(
    layout: Layout, monkeypatch: pytest.MonkeyPatch, said: str, reason: str
) -> None:
    """It stands in every line about the rollout that failed by it; the log has the rest."""
    failing = layout.root / "uv"
    failing.write_text(f"#!/bin/sh\ncat <<'END'\n{textwrap.dedent(said)}\nEND\nexit 1\n", encoding="utf-8")
    failing.chmod(0o755)
    monkeypatch.setattr(installing, "find_uv", lambda: str(failing))

    with pytest.raises(InstallFailed) as failed:
        await python_for(layout, "tiny")

    assert failed.value.message == f"cloudpickle>=3, tiny cannot be installed: {reason}"
    assert len(failed.value.output) == len(said.splitlines())


async def test_an_installation_that_takes_too_long_is_ended(layout: Layout, monkeypatch: pytest.MonkeyPatch) -> None:
    """The time is bounded, and another try is allowed."""
    endless = layout.root / "uv"
    endless.write_text("#!/bin/sh\nsleep 600\n")
    endless.chmod(0o755)
    monkeypatch.setattr(installing, "find_uv", lambda: str(endless))

    with pytest.raises(InstallFailed, match=r"had not ended after 0\.2 s") as failed:
        await Environments(layout, 0.2).python_for(this_minor(), ("tiny",), layout.unpacked, nothing)

    assert failed.value.passing
    assert left(layout) == []


async def test_scripts_find_their_interpreter(layout: Layout, wheels: Path) -> None:
    """An environment is made elsewhere and moved: what it installed as commands works in its place."""
    script = Path(await python_for(layout, "tiny")).with_name("use-tiny")

    process = await asyncio.create_subprocess_exec(str(script), stdout=asyncio.subprocess.PIPE)
    output, _ = await process.communicate()

    assert output == b"installed\n"


@pytest.mark.slow
async def test_pip_is_used_where_there_is_no_uv(layout: Layout, wheels: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Slower, with the same result."""
    monkeypatch.setattr(installing, "find_uv", lambda: None)

    script = Path(await python_for(layout, "tiny")).with_name("use-tiny")
    with pytest.raises(InstallFailed, match="no-such-package"):
        await python_for(layout, "no-such-package")

    process = await asyncio.create_subprocess_exec(str(script), stdout=asyncio.subprocess.PIPE)
    assert (await process.communicate())[0] == b"installed\n"


@pytest.mark.slow
async def test_a_package_from_the_index_is_installed(layout: Layout) -> None:
    """As it is for users, where a package index can be reached."""
    try:
        python = await python_for(layout, "cowsay==6.1")
    except InstallFailed as failed:
        if not failed.passing:
            raise
        pytest.skip("no package index can be reached")

    process = await asyncio.create_subprocess_exec(python, "-c", "import cowsay, cloudpickle")
    assert await process.wait() == 0


async def test_environments_that_nobody_uses_are_removed(layout: Layout) -> None:
    """Those of replicas stay, and those used lately; so does what another control plane is making now."""
    old = time.time() - 1000
    for name in ("used", "unused", ".draft-999999-abcd", f".draft-{os.getppid()}-abcd"):
        (layout.venvs / name).mkdir(parents=True)
        os.utime(layout.venvs / name, (old, old))
    (layout.venvs / "fresh").mkdir()
    folder = layout.local / "environments" / "other" / "replicas" / "e-1"
    folder.mkdir(parents=True)
    launch = Launch(EndpointName("e"), ONE, RevisionId("r"), InstanceId("i"), Digest("d"), environment="used")
    write_launch(folder / "launch.json", launch)

    await Environments(layout, 60).tidy(unused=500)

    assert left(layout) == [f".draft-{os.getppid()}-abcd", "fresh", "used"]


async def test_an_environment_that_goes_while_it_is_looked_at_keeps_nobody_from_starting(layout: Layout) -> None:
    """Two control planes of a project start at once, and both tidy: here it is a name with nothing behind it."""
    layout.venvs.mkdir(parents=True)
    (layout.venvs / "gone").symlink_to(layout.venvs / "nowhere")

    await Environments(layout, 60).tidy(unused=500)

    assert left(layout) == ["gone"]


def lead_nowhere(link: Path) -> None:
    """What a link looks like when what it leads to was removed."""
    link.unlink()
    link.symlink_to("/nowhere/python")


async def test_an_environment_whose_interpreter_is_gone_is_made_again(layout: Layout, wheels: Path) -> None:
    """Somebody has removed that Python from the machine: a link to nothing is no interpreter."""
    python = await python_for(layout, "tiny")
    lead_nowhere(Path(python))

    assert await python_for(layout, "tiny") == python

    process = await asyncio.create_subprocess_exec(python, "-c", "import tiny")
    assert await process.wait() == 0


def fake_python(folder: Path, script: str) -> None:
    """An interpreter of a version that nobody has."""
    folder.mkdir()
    path = folder / "python3.98"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)


async def test_another_version_of_python_is_found_on_path(
    layout: Layout, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first one that runs: a version manager's place holder ends with an error, others lie about their version."""
    fake_python(tmp_path / "a", "exit 1")
    fake_python(tmp_path / "b", "echo 3.97.0 cpython linux-x86_64")
    fake_python(tmp_path / "c", "echo 3.98.7 cpython linux-x86_64")
    monkeypatch.setenv("PATH", os.pathsep.join(str(tmp_path / name) for name in "abc"))

    found = await find_interpreter("3.98")
    used = await Environments(layout, 60).python_for("3.98", (), layout.unpacked, nothing)

    assert (found.version, found.minor) == ("3.98.7", "3.98")
    assert used.path == found.path == str(tmp_path / "c" / "python3.98")


async def test_a_version_that_is_not_there_is_refused_with_a_way_out() -> None:
    """Nothing is downloaded unasked."""
    with pytest.raises(ConfigurationError, match=r"wants Python 3\.99, and there is none on PATH") as refused:
        await find_interpreter("3.99")

    assert "install Python 3.99" in str(refused.value)


async def test_code_for_a_python_that_is_not_there_is_told_for_good(machine: Machine) -> None:
    """The endpoint's own wish counts before the version that it was built with."""
    provider = await machine.provider()
    revision = await machine.revision(template=Template(python_version="3.99"))

    await provider.apply(revision, frozenset({ONE}), HINTS)
    told_of = await gone(provider)

    assert told_of.permanent
    assert "the code wants Python 3.99" in told_of.reason


def test_dependencies_in_the_artifact_count(layout: Layout) -> None:
    """What was bundled with the code need not be installed."""
    files = {"own/__init__.py": b"", "own-2.0.dist-info/METADATA": b"Metadata-Version: 2.1\nName: own\nVersion: 2.0\n"}
    folder = layout.unpacked / "x"
    for name, data in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)

    assert unmet(("own>=1",), [str(folder)]) == ()
    assert unmet(("own>=3",), [str(folder)]) == ("own>=3 (version 2.0 is installed)",)


@pytest.mark.parametrize(
    ("requirement", "problems"),
    [
        ("pytest", 0),
        ("PyTest>=1; python_version >= '3'", 0),
        ("no-such-package; python_version < '3'", 0),
        ("no-such-package", 1),
        ("cookiecutter[no-such-extra]", 0),
        ("not a requirement!", 1),
        ("uvicorn @ https://example.invalid/uvicorn.whl", 0),
    ],
)
def test_requirements_are_read_as_installers_read_them(requirement: str, problems: int) -> None:
    """Names in any spelling, markers, extras, addresses."""
    assert len(unmet((requirement,), sys.path)) == problems


def test_what_a_handler_needs_is_read_beside_it(tmp_path: Path) -> None:
    """The build has written it down; a handler without such a list needs nothing."""
    (tmp_path / "handler_a.json").write_text('{"requirements": ["fastapi>=0.141"], "functions": []}')
    (tmp_path / "handler_b.json").write_text("[]")

    assert handlers_requirements(tmp_path / "handler_a.py") == ("fastapi>=0.141",)
    assert handlers_requirements(tmp_path / "handler_b.py") == ()
    assert handlers_requirements(tmp_path / "handler_c.py") == ()


@pytest.fixture
def layout(root: Path) -> Layout:
    """A project's."""
    return Layout(root, "test")
