"""B21: what belongs to an endpoint's archive, and so what a change rolls out."""

from collections.abc import Callable

import pytest
from tests.build.conftest import Project

ProjectWriter = Callable[..., Project]


def endpoint(name: str, imports: str = "", settings: str = "") -> str:
    """A file with one endpoint."""
    return (
        f"{imports}\nfrom flashcore import QueueEndpoint\n{name} = QueueEndpoint('{name}'{settings})\n"
        f"@{name}.function\ndef run_{name}(): ...\n"
    )


@pytest.fixture
def shop(project: ProjectWriter) -> Project:
    """Two endpoints with something in common and something of their own."""
    return project(
        {
            "a.py": endpoint("a", "import common, own.deep.a_only"),
            "sub/b.py": endpoint("b", "from common import x\nfrom . import neighbour"),
            "sub/neighbour.py": "",
            "sub/b_data.txt": "b",
            "common.py": "x = 1\n",
            "own/__init__.py": "",
            "own/deep/__init__.py": "from .. import sibling\n",
            "own/deep/a_only.py": "",
            "own/sibling.py": "",
            "own/assets/words.txt": "a",
            "unused.py": "",
            "other/unused.txt": "",
            "other/unused.py": "",
        }
    )


def test_imports_and_the_data_beside_them_are_packed(shop: Project) -> None:
    """B21: followed through packages, relative and absolute; what nobody imports stays behind."""
    assert shop.archived("a") == {
        "a.py",
        "common.py",
        "handler_a.json",
        "handler_a.py",
        "own/__init__.py",
        "own/assets/words.txt",
        "own/deep/__init__.py",
        "own/deep/a_only.py",
        "own/sibling.py",
    }
    assert shop.archived("b") == {
        "common.py",
        "handler_b.json",
        "handler_b.py",
        "sub/b.py",
        "sub/b_data.txt",
        "sub/neighbour.py",
    }


CHANGES = {
    "own/deep/a_only.py": {"a"},
    "own/assets/words.txt": {"a"},
    "sub/b_data.txt": {"b"},
    "common.py": {"a", "b"},
    "unused.py": set[str](),
    "other/unused.txt": set[str](),
    "README.md": set[str](),
    "settings.json": {"a", "b"},
}


@pytest.mark.parametrize("path", CHANGES)
def test_a_change_reaches_only_who_needs_the_file(shop: Project, path: str) -> None:
    """B21: one fingerprint for all would roll everything. What is beside common.py in the root may be read by it."""
    before = {one.name: one.artifact for one in shop.build().manifest.endpoints}

    shop.write(path, "# changed\n")

    after = {one.name: one.artifact for one in shop.build().manifest.endpoints}
    assert {name for name in before if before[name] != after[name]} == CHANGES[path]


def test_settings_change_only_their_own_digest(shop: Project) -> None:
    """B21: the template makes a revision, the policy is applied in place, neither touches another endpoint."""
    before = shop.endpoint("b")
    other = shop.endpoint("a")

    shop.write("sub/b.py", endpoint("b", "from common import x\nfrom . import neighbour", ", replicas=3"))
    policy = shop.endpoint("b")
    shop.write("sub/b.py", endpoint("b", "from common import x\nfrom . import neighbour", ", cpu=2"))
    template = shop.endpoint("b")

    assert policy.template_digest == before.template_digest
    assert policy.policy_digest != before.policy_digest
    assert template.template_digest != before.template_digest
    assert template.policy_digest == before.policy_digest
    assert shop.endpoint("a") == other


@pytest.mark.parametrize(
    "imports",
    [
        "import importlib\ndef load(n): return importlib.import_module(n)",
        "from importlib import import_module as im\ndef load(n): return im(f'own.{n}')",
        "def load(n): return __import__(n)",
        "import pkgutil, own\nMODULES = list(pkgutil.iter_modules(own.__path__))",
    ],
)
def test_a_computed_import_takes_the_whole_project_and_says_so(shop: Project, imports: str) -> None:
    """B21: nobody knows which module it will be."""
    shop.write("sub/neighbour.py", imports)

    assert "other/unused.txt" in shop.archived("b")
    assert "other/unused.txt" not in shop.archived("a")
    warning = next(warning for warning in shop.build().warnings if "computed name" in warning)
    assert warning.startswith("sub/neighbour.py:")
    assert "the archive of 'b' holds the whole project" in warning


@pytest.mark.parametrize("call", ["importlib.import_module('own.sibling')", "importlib.resources.files('own.sibling')"])
def test_an_import_by_a_written_name_is_followed(shop: Project, call: str) -> None:
    """B21: it is an import like any other."""
    shop.write("sub/neighbour.py", f"import importlib\n{call}\n")

    assert "own/sibling.py" in shop.archived("b")
    assert "other/unused.txt" not in shop.archived("b")


def test_include_adds_files_also_those_that_git_leaves_out(shop: Project) -> None:
    """B21: weights are not committed, and are needed all the same."""
    shop.write(".gitignore", "*.bin\n")
    shop.write("weights/deep/w.bin", b"\0")
    shop.write("sub/b.py", endpoint("b", settings=", include=['weights/**/*.bin', 'other/*.txt']"))

    assert shop.archived("b") >= {"weights/deep/w.bin", "other/unused.txt"}
    assert "weights/deep/w.bin" not in shop.archived("a")


@pytest.mark.parametrize("pattern", ["nothing/*", "../x", "/etc/passwd", ""])
def test_an_include_that_means_nothing_is_refused(shop: Project, pattern: str) -> None:
    """B21: A spelling mistake would be missed in the replica."""
    shop.write("sub/b.py", endpoint("b", settings=f", include=[{pattern!r}]"))

    assert f"include: {pattern!r}" in shop.refusal()


def test_import_cycles_end(shop: Project) -> None:
    """B21: as Python allows them."""
    shop.write("common.py", "import own.sibling\n")
    shop.write("own/sibling.py", "import common\n")

    assert "own/sibling.py" in shop.archived("b")


def test_the_packages_of_a_module_are_run_before_it(shop: Project) -> None:
    """B21: their files are needed, and what those import."""
    shop.write("own/deep/work.py", endpoint("c"))

    assert shop.archived("c") >= {"own/__init__.py", "own/deep/__init__.py", "own/sibling.py"}


@pytest.mark.parametrize("path", ["queue.py", "types/__init__.py"])
def test_a_module_that_hides_one_of_pythons_own_is_refused(project: ProjectWriter, path: str) -> None:
    """B21: in the replica every library would get it: the worker itself could not start."""
    shop = project({"a.py": endpoint("a", f"import {path.split('/', maxsplit=1)[0].removesuffix('.py')}"), path: ""})

    refusal = shop.refusal()
    assert path in refusal
    assert "Python's own module" in refusal


def test_a_module_with_such_a_name_may_be_in_a_package_or_unused(project: ProjectWriter) -> None:
    """B21: there it hides nothing."""
    shop = project(
        {"a.py": endpoint("a", "import own.queue"), "own/queue.py": "", "own/__init__.py": "", "json.py": ""}
    )

    assert "own/queue.py" in shop.archived("a")
