"""Projects made of a few files, and the registry that they are built with."""

import sys
import tarfile
import textwrap
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from flashcore import BuildError
from flashcore.build.project import BuildResult, build
from flashcore.model.declaration import Declaration
from flashcore.model.manifest import EndpointEntry, FunctionEntry
from flashcore.registry.index import Setting
from flashcore.registry.opening import open_registry
from flashcore.registry.policy import Policy
from flashcore.registry.registry import Registry

ACME_HOOKS = """
from flashcore.plugin import Part, hookimpl

@hookimpl
def flashcore_strategies():
    return {
        "canary": Part(
            "flashcore_acme.forms:Canary",
            "Weighted steps",
            options="flashcore_acme.forms:Canary",
            declares=("flashcore_acme:Canary",),
        )
    }

@hookimpl
def flashcore_scalers():
    return {
        "tide": Part(
            "flashcore_acme.forms:Tide", "By the moon", options="flashcore_acme.forms:Tide",
            declares=("flashcore_acme:Tide",),
        )
    }

@hookimpl
def flashcore_resource_types():
    return {
        "cron": Part("flashcore_acme.forms:Cron", "By the clock", declares=("flashcore_acme:CronEndpoint",)),
        "site": Part("flashcore_acme.forms:Site", "With pages", declares=("flashcore_acme:SiteEndpoint",)),
    }

@hookimpl
def flashcore_handler_generators():
    return {"site": Part("flashcore_acme.forms:SiteHandlers", "An entry, and pages in a folder beside it")}
"""
ACME_FORMS = """
from dataclasses import dataclass, replace

from flashcore.builtin.queue_resource import QueueResource as Cron
from flashcore.hookspecs.handlers import Generated, GeneratedFile

class Site(Cron):
    @property
    def defaults(self):
        return replace(super().defaults, handler="site")

class SiteHandlers:
    def generate(self, declaration, functions):
        entry, page = f"handler_{declaration.name}.py", f"handler_{declaration.name}/pages/start.html"
        return Generated((GeneratedFile(entry, "handler = print\\n"), GeneratedFile(page, "<p>Welcome</p>")), entry)

    def requirements(self):
        return ()

@dataclass(frozen=True)
class Canary:
    steps: int
    pause: float = 60.0

@dataclass(frozen=True)
class Tide:
    high: int = 2
"""


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    """The built-in parts, and a plugin called acme with a strategy, a scaler and a resource type."""
    site = tmp_path_factory.mktemp("site")
    package = site / "flashcore_acme"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "hooks.py").write_text(ACME_HOOKS)
    (package / "forms.py").write_text(ACME_FORMS)
    metadata = site / "flashcore_acme-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: flashcore-acme\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text("[flashcore]\nacme = flashcore_acme.hooks\n")
    sys.path.insert(0, str(site))
    opened = open_registry(Setting(Policy(allowed=("acme",)), tuple(sys.path)))
    yield opened
    opened.close()
    # Tests of other folders, which come next in this process, have plugins of this name, too.
    sys.path.remove(str(site))
    for name in [name for name in sys.modules if name.partition(".")[0] == "flashcore_acme"]:
        del sys.modules[name]


@dataclass
class Project:
    """A project on the disk."""

    root: Path
    registry: Registry

    def write(self, path: str, text: str | bytes) -> Path:
        """Write a file; text is dedented."""
        target = self.root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(text, bytes):
            target.write_bytes(text)
        else:
            target.write_text(textwrap.dedent(text), encoding="utf-8")
        return target

    def build(self) -> BuildResult:
        """Build it."""
        return build(self.root, app="shop", registry=self.registry)

    def endpoint(self, name: str) -> EndpointEntry:
        """Build it, and give that endpoint."""
        found = self.build().manifest.endpoint(name)
        assert found is not None, name
        return found

    def functions(self) -> dict[str, FunctionEntry]:
        """Build it, and give all functions by name."""
        return {entry.name: entry for one in self.build().manifest.endpoints for entry in one.functions}

    def declaration(self, name: str) -> Declaration:
        """Build it, and give an endpoint as its author wrote it."""
        entry = self.endpoint(name)
        return Declaration(entry.name, entry.resource, entry.template, entry.policy)

    def refusal(self) -> str:
        """Build it, which is to fail, and give the message."""
        with pytest.raises(BuildError) as caught:
            self.build()
        return str(caught.value)

    def archived(self, name: str) -> set[str]:
        """Build it, and name the files of an endpoint's archive, but for those of flashcore."""
        result = self.build()
        entry = result.manifest.endpoint(name)
        assert entry is not None, name
        with tarfile.open(result.artifacts[entry.artifact]) as archive:
            return {path for path in archive.getnames() if not path.startswith("flashcore/")}


@pytest.fixture
def project(tmp_path: Path, registry: Registry) -> Callable[..., Project]:
    """Write a project: `project(app="...")` for app.py alone, or a dict of paths and texts."""

    def write(files: dict[str, str | bytes] | None = None, *, app: str | None = None) -> Project:
        made = Project(tmp_path / "shop", registry)
        made.root.mkdir(exist_ok=True)
        for path, text in {**(files or {}), **({} if app is None else {"app.py": app})}.items():
            made.write(path, text)
        return made

    return write
