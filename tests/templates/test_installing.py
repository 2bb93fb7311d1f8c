"""A generated plugin is installed where flashcore is, works there, and leaves no trace when it is uninstalled."""

import json
import os
import subprocess
import sys
import sysconfig
import venv
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from flashcore.testing.project import ProjectUnderTest

Generate = Callable[..., Path]

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


@dataclass(frozen=True)
class Environment:
    """A virtual environment of its own."""

    folder: Path

    @property
    def python(self) -> Path:
        """Its interpreter."""
        return self.folder / "bin" / "python"

    def run(self, *command: str, within: Path | None = None) -> str:
        """Run a command of the environment's Python; returns what it prints."""
        variables = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
        ran = subprocess.run(
            [str(self.python), *command],
            cwd=within or self.folder,
            env={**variables, "FLASHCORE_NO_CACHE": ""},
            check=False,
            capture_output=True,
            text=True,
        )
        assert ran.returncode == 0, f"{ran.stdout}\n{ran.stderr}"
        return ran.stdout

    def install(self, folder: Path) -> None:
        """Install a folder, editable, and nothing that it needs: that is there already."""
        command = [sys.executable, "-m", "pip", "--python", str(self.python), "install", "-qq", "--no-deps"]
        subprocess.run(
            [*command, "--no-build-isolation", "--ignore-installed", "-e", str(folder)],
            check=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )

    def uninstall(self, distribution: str) -> None:
        """Take it away again."""
        command = [sys.executable, "-m", "pip", "--python", str(self.python), "uninstall", "-qq", "-y", distribution]
        subprocess.run(command, check=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)

    def plugins(self) -> dict[str, Any]:
        """The plugins that flashcore lists there, by name."""
        listed = json.loads(self.run("-m", "flashcore", "plugins", "list", "--json"))
        return {plugin["name"]: plugin for plugin in listed["plugins"]}

    def files(self) -> set[Path]:
        """Everything in it but compiled code."""
        return {path for path in self.folder.rglob("*") if "__pycache__" not in path.parts}


@pytest.fixture(scope="module")
def environment(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Environment:
    """An environment with this checkout, which sees the packages of the one that runs the tests, but not its own."""
    made = Environment(tmp_path_factory.mktemp("environment"))
    venv.create(made.folder)
    packages = made.run("-c", "import sysconfig; print(sysconfig.get_path('purelib'))").strip()
    # A path in a .pth file is added, but the .pth files in it are not read: what is editable there stays unseen.
    (Path(packages) / "others.pth").write_text(sysconfig.get_path("purelib"))
    made.install(repository)
    return made


APP = """
from flashcore import QueueEndpoint
from flashcore_contrib_tried import Tried

VERSION = 1
work = QueueEndpoint("work", replicas=2, strategy=Tried(step=1))


@work.function
def version() -> int:
    return VERSION
"""


@pytest.mark.parametrize("concern", ["strategy", "gate", "scaler", "probe", "routing_policy"])
def test_a_plugin_works_where_it_is_installed_and_leaves_no_trace(
    environment: Environment, generated: Generate, concern: str
) -> None:
    """Its own tests pass, it is listed as active, and after it was uninstalled all is as before."""
    folder = generated("plugin", name="tried", concern=concern)
    before = environment.files()

    environment.install(folder)
    environment.run("-m", "pytest", "-q", "-p", "no:cacheprovider", within=folder)
    plugin = environment.plugins()["tried"]
    environment.uninstall("flashcore-contrib-tried")

    assert (plugin["state"], plugin["distribution"]) == ("active", "flashcore-contrib-tried")
    assert [list(parts) for parts in plugin["parts"].values()] == [["tried"]]
    assert "tried" not in environment.plugins()
    assert environment.files() == before


def test_a_strategy_from_a_plugin_ships_a_new_version(
    environment: Environment, generated: Generate, tmp_path: Path
) -> None:
    """From a declaration that names it, over the build that does not import it, to the rollout that it decides."""
    environment.install(generated("plugin", name="tried", concern="strategy"))
    project = ProjectUnderTest(tmp_path / "shop", python=str(environment.python))
    project.write("flashcore.toml", 'app = "shop"\n')
    project.write("app.py", APP)

    try:
        strategy = project.must("build", "--json").json["manifest"]["endpoints"][0]["policy"]["strategy"]
        project.must("deploy")
        project.write("app.py", APP.replace("VERSION = 1", "VERSION = 2"))
        project.must("deploy")
        answer = project.must("call", "work").out
        deployment = project.must("status", "work", "--json").json
    finally:
        project.run("server", "stop")
        environment.uninstall("flashcore-contrib-tried")

    assert (strategy["name"], strategy["options"]) == ("tried", {"step": 1})
    assert answer == "2\n"
    assert deployment["status"] == "ready"
    assert len({replica["revision"] for replica in deployment["replicas"]}) == 1
    assert project.processes() == []
