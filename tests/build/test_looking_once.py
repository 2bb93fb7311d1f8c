"""B10: what is looked at, how often, and what a second build still looks at."""

import json
import threading
from collections.abc import Callable

import pytest
from tests.build.conftest import Project

from flashcore.build.discover import Discovery
from flashcore.build.graph import ImportGraph
from flashcore.build.import_memory import ImportMemory, read_memory
from flashcore.build.modules import ModuleIndex
from flashcore.build.problems import Problems
from flashcore.build.sources import Sources
from flashcore.build.tree import walk

ProjectWriter = Callable[..., Project]

APP = """
import deep.helper
from flashcore import QueueEndpoint
q = QueueEndpoint("q")
@q.function
def f(): ...
"""


@pytest.fixture
def shop(project: ProjectWriter) -> Project:
    """An endpoint with a helper, a file that uses it, and fifty that have nothing to do with it."""
    others = {f"m{number}.py": "import json\n" for number in range(50)}
    helpers = {"deep/__init__.py": "", "deep/helper.py": "import deep.more\n", "deep/more.py": ""}
    return project({"app.py": APP, "uses.py": "from app import q\n", **helpers, **others})


def discovered(made: Project, memory: ImportMemory) -> tuple[list[str], int]:
    """The files that matter, and how many were parsed to know it, with an archive's imports followed."""
    tree = walk(made.root, Problems())
    sources = Sources(tree, memory)
    graph = ImportGraph(sources, ModuleIndex(tree))
    found = Discovery(tree, graph, Problems()).files()
    for path in ("app.py", "deep/__init__.py", "deep/helper.py", "deep/more.py"):
        graph.of(path)
    return found, sources.parsed


def test_b10_files_that_cannot_matter_are_not_parsed(shop: Project) -> None:
    """A thousand files that have nothing to do with it cost no more than reading them."""
    found, parsed = discovered(shop, ImportMemory())

    assert found == ["app.py", "uses.py"]
    assert parsed == 4  # app, uses, helper, and one of the two that are empty


def test_b10_a_second_build_parses_what_matters_and_what_changed(shop: Project) -> None:
    """The imports of all other files are remembered by their content."""
    shop.build()
    kept = shop.root / ".flashcore" / "builds" / "imports.json"

    assert discovered(shop, read_memory(kept))[1] == 1

    shop.write("deep/more.py", "import json\n")
    assert discovered(shop, read_memory(kept))[1] == 2


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff", b'{"made_by": [1, "3.11"]}', b'{"made_by": 1}'])
def test_b10_a_memory_that_is_torn_is_forgotten(shop: Project, content: bytes) -> None:
    """Nothing but time depends on it."""
    before = shop.endpoint("q")
    kept = shop.root / ".flashcore" / "builds" / "imports.json"
    kept.write_bytes(content)

    assert shop.endpoint("q") == before
    assert json.loads(kept.read_bytes())["imports"]


def test_b10_a_memory_of_another_version_is_forgotten(shop: Project) -> None:
    """It may have been made by other rules."""
    before = shop.endpoint("q")
    kept = shop.root / ".flashcore" / "builds" / "imports.json"
    content = json.loads(kept.read_bytes())
    kept.write_text(json.dumps({"made_by": [0, "3.9"], "imports": {digest: [] for digest in content["imports"]}}))

    assert shop.endpoint("q") == before


def test_b10_the_memory_of_builds_at_once_is_one_of_theirs(shop: Project) -> None:
    """It is replaced as a whole."""
    threads = [threading.Thread(target=shop.build) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    builds = shop.root / ".flashcore" / "builds"
    assert json.loads((builds / "imports.json").read_bytes())["imports"]
    assert [path.name for path in builds.glob("imports.json.*")] == []


def test_b10_what_is_remembered_is_what_the_files_say(shop: Project) -> None:
    """With and without memory the same archives are made, after any change of one file."""
    shop.build()
    for text in (
        "import deep.more\n",
        "",
        "from deep import more\ntry:\n    import nothing\nexcept ImportError: pass\n",
    ):
        shop.write("deep/helper.py", text)
        remembering = shop.endpoint("q")
        (shop.root / ".flashcore" / "builds" / "imports.json").unlink()
        assert shop.endpoint("q") == remembering
