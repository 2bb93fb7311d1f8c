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

Generate = Callable[..., Path]

pytestmark = pytest.mark.slow


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
