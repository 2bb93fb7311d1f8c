"""Plugins to be found: distributions written into a folder as an installer would leave them."""

import os
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from flashcore.hookspecs import EXTENSION_POINTS
from flashcore.registry import loader
from flashcore.registry.index import Setting
from flashcore.registry.loader import Loaded, load
from flashcore.registry.local import local_candidate
from flashcore.registry.policy import Policy
from flashcore.registry.registry import Registry
from flashcore.registry.reports import PluginReport
from flashcore.registry.scan import scan

ONE_STRATEGY = """
from flashcore.plugin import Part, hookimpl

@hookimpl
def flashcore_strategies():
    return {{"{name}": Part("{module}.parts:Strategy", "A strategy", options="{module}.parts:Options")}}
"""

PARTS = """
from dataclasses import dataclass, field, replace

@dataclass(frozen=True, slots=True)
class Options:
    steps: int = 3
    label: str = "plain"

class Strategy:
    def __init__(self, options):
        self.options = options

    def budget(self, goal):
        return None

    def decide(self, view):
        return None
"""


@dataclass(frozen=True)
class Site:
    """A folder like site-packages."""

    folder: Path
    policy: Policy = field(default_factory=Policy)
    project: Path | None = None

    def under(self, policy: Policy) -> "Site":
        """The same folder, loaded under a policy."""
        return replace(self, policy=policy)

    def beside(self, project: Path) -> "Site":
        """The same folder, loaded for a project."""
        return replace(self, project=project)

    def plugin(
        self,
        name: str,
        hooks: str,
        *,
        distribution: str | None = None,
        version: str = "1.0",
        requires: Sequence[str] = (),
        files: Mapping[str, str] | None = None,
    ) -> str:
        """Install a plugin with the text of its hooks module, and return the name of its import package."""
        distribution = distribution or f"flashcore-{name}"
        package = distribution.replace("-", "_")
        folder = self.folder / package
        folder.mkdir(exist_ok=True)
        (folder / "__init__.py").touch()
        for file, text in {"hooks.py": hooks, **(files or {})}.items():
            (folder / file).write_text(textwrap.dedent(text), encoding="utf-8")
        self.metadata(distribution, version, {name: f"{package}.hooks"}, requires)
        return package

    def metadata(
        self, distribution: str, version: str, entries: Mapping[str, str], requires: Sequence[str] = ()
    ) -> Path:
        """Write the metadata of a distribution with entry points of our group."""
        info = self.folder / f"{distribution.replace('-', '_')}-{version}.dist-info"
        info.mkdir(exist_ok=True)
        needs = "".join(f"Requires-Dist: {requirement}\n" for requirement in requires)
        (info / "METADATA").write_text(
            f"Metadata-Version: 2.4\nName: {distribution}\nVersion: {version}\n{needs}\nRequires-Dist: not-a-header\n"
        )
        lines = "".join(f"{name} = {value}\n" for name, value in entries.items())
        (info / "entry_points.txt").write_text(f"[console_scripts]\nx = y:z\n\n[flashcore]\n{lines}")
        return info

    def strategy(
        self, name: str, part: str | None = None, distribution: str | None = None, version: str = "1.0"
    ) -> str:
        """Install a plugin with one working strategy, called `part` or as the plugin is."""
        distribution = distribution or f"flashcore-{name}"
        hooks = ONE_STRATEGY.format(name=part or name, module=distribution.replace("-", "_"))
        return self.plugin(name, hooks, distribution=distribution, version=version, files={"parts.py": PARTS})

    def loaded(self, crashed: Mapping[str, str] | None = None) -> Loaded:
        """Load what is installed here into this process."""
        local = local_candidate(self.project)
        candidates = (*scan([str(self.folder)]), *((local,) if local else ()))
        return load(candidates, self.policy, EXTENSION_POINTS, crashed=crashed or {})

    def registry(self) -> Registry:
        """A registry of what is installed here."""
        return Registry(self.loaded())

    def report(self, name: str) -> PluginReport:
        """The one plugin that answers to `name`, after loading."""
        (found,) = [one for one in self.loaded().reports if one.origin.answers_to(name)]
        return found

    def setting(self, cache: Path | None) -> Setting:
        """What a survey of this folder is made for."""
        return Setting(self.policy, (str(self.folder),), self.project, cache=cache)

    def run(
        self, *arguments: str, cwd: Path | None = None, variables: Mapping[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run `flashcore` in a process that sees what is installed here."""
        return subprocess.run(
            [sys.executable, "-m", "flashcore", *arguments],
            cwd=cwd or self.folder.parent,
            env={**os.environ, "PYTHONPATH": str(self.folder), "NO_COLOR": "1", **(variables or {})},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a busy machine every import may be slow; that is not what most tests are about."""
    monkeypatch.setattr(loader, "SLOW_MS", 60_000.0)


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    """An empty folder on the path; modules that were imported from it are forgotten afterwards."""
    folder = tmp_path / "site-packages"
    folder.mkdir()
    before = dict(sys.modules)
    monkeypatch.syspath_prepend(str(folder))
    yield Site(folder)
    for name in set(sys.modules) - set(before):
        file = getattr(sys.modules[name], "__file__", None)
        if file is None or Path(file).is_relative_to(tmp_path):
            del sys.modules[name]


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    """A folder for kept surveys."""
    return tmp_path / "cache"


@pytest.fixture
def settled(monkeypatch: pytest.MonkeyPatch) -> Callable[[Path], None]:
    """Make everything below a folder look as if it had not been written just now."""

    def settle(folder: Path) -> None:
        for path in [folder, *folder.rglob("*")]:
            found = path.stat()
            os.utime(path, ns=(found.st_atime_ns, found.st_mtime_ns - 10_000_000_000))

    return settle
