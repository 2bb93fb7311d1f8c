"""User code is found by its file, whatever its file is called, and once."""

import os
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
from tests.worker.conftest import function

from flashcore import QueueEndpoint, remote
from flashcore.model.codec import to_json
from flashcore.model.errors import BuildError
from flashcore.model.manifest import FunctionEntry
from flashcore.wire.envelope import Arguments, Call
from flashcore.worker.functions import FunctionTable
from flashcore.worker.load import as_written, load_functions, load_module

pytestmark = pytest.mark.usefixtures("imports")


def write(root: Path, **files: str) -> None:
    """Write files; their names may hold `/`."""
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def load(root: Path, *entries: FunctionEntry) -> FunctionTable:
    """The table of these entries."""
    return load_functions(root, [to_json(entry) for entry in entries])


def call(table: FunctionTable, name: str, *args: object) -> object:
    """Call a plain function of the table."""
    return table.invocation(Call(name, arguments=Arguments(args))).begin()


@pytest.mark.parametrize(
    "module", ["plain_name.py", "03_workers/a-b.py", "v1.2/x.py", "pack/__init__.py", "deep/er/still.py", "class.py"]
)
def test_a_module_is_loaded_by_its_path(tmp_path: Path, module: str) -> None:
    """B31: dashes, digits, dots and keywords in names are nobody's problem."""
    write(tmp_path, **{module: "def f(): return __name__"})

    table = load(tmp_path, function("f", module=module))

    assert call(table, "f")


def test_names_of_modules_are_those_that_other_modules_import(tmp_path: Path) -> None:
    """B31: a module that is imported by name elsewhere is the same one, so its state is there once."""
    write(tmp_path, **{"shop/state.py": "SEEN = []", "shop/f.py": "from shop.state import SEEN\ndef f(): return SEEN"})

    table = load(tmp_path, function("f", module="shop/f.py"))

    assert call(table, "f") is load_module(tmp_path, "shop/state.py").SEEN
    assert sys.modules["shop.state"].__file__ == str(tmp_path / "shop/state.py")


@pytest.mark.parametrize("was", ["missing", "empty"])
def test_what_was_unpacked_a_moment_ago_is_found(tmp_path: Path, was: str) -> None:
    """Although Python has looked into the folder before, and its time does not tell that it changed."""
    root = tmp_path / "artifact"
    if was == "empty":
        root.mkdir()
        os.utime(root, (1.0, 1.0))
    sys.path.insert(0, str(root))
    assert find_spec("neighbour") is None
    write(root, **{"asks.py": "from neighbour import f", "neighbour.py": "def f(): return 1"})
    os.utime(root, (1.0, 1.0))

    assert call(load(root, function("f", module="asks.py")), "f") == 1


def test_relative_imports_work_under_odd_names(tmp_path: Path) -> None:
    """A folder that is no identifier is a package all the same."""
    write(tmp_path, **{"03-odd/part.py": "X = 5", "03-odd/f.py": "from .part import X\ndef f(): return X"})

    assert call(load(tmp_path, function("f", module="03-odd/f.py")), "f") == 5


def test_a_file_named_as_a_standard_module_does_not_replace_it(tmp_path: Path) -> None:
    """A user's `queue.py` is loaded beside Python's, not instead of it."""
    import queue

    write(tmp_path, **{"queue.py": "def f(): return 'mine'"})

    assert call(load(tmp_path, function("f", module="queue.py")), "f") == "mine"
    assert sys.modules["queue"] is queue


def test_two_functions_of_one_module_import_it_once(tmp_path: Path) -> None:
    """B06: both are served, and share what the module holds."""
    write(tmp_path, **{"both.py": "N = []\ndef f(): N.append(1); return N\ndef g(): return N"})

    table = load(tmp_path, function("f", module="both.py"), function("g", module="both.py"))

    assert call(table, "f") is call(table, "g")


def test_decorated_objects_are_seen_through(tmp_path: Path) -> None:
    """What runs in the replica is the author's function, not the stub that calls the replica."""
    write(tmp_path, **{"deco.py": "from flashcore import QueueEndpoint, remote\n"
                                  "e = QueueEndpoint('e')\n"
                                  "@e.function\ndef f(x): return x + 1\n"
                                  "@remote(e)\nclass C:\n  def m(self): return 'c'\n"})  # fmt: skip

    table = load(tmp_path, function("f", module="deco.py"), function("C", "class", module="deco.py", methods=("m",)))

    assert call(table, "f", 1) == 2
    assert table.invocation(Call("C", "m")).begin() == "c"


def test_a_decorator_above_ours_is_kept() -> None:
    """functools.wraps copies our attribute; the wrapper runs all the same."""
    import functools

    endpoint = QueueEndpoint("e")

    def inner() -> None: ...

    decorated = remote(endpoint)(inner)

    @functools.wraps(decorated)
    def outer() -> None: ...

    assert as_written(decorated) is inner
    assert as_written(outer) is outer


@pytest.mark.parametrize(
    ("source", "kind", "said"),
    [
        ("", "function", "m.py:0: f is not defined"),
        ("f = 5", "function", "is a int, which cannot be called"),
        ("def f(): ...", "class", "not a class"),
        ("class f:\n  pass", "class", "no method 'go'"),
    ],
)
def test_an_entry_that_does_not_fit_the_code_is_told_with_its_place(
    tmp_path: Path, source: str, kind: str, said: str
) -> None:
    """The scanner saw a name that is not there when the module runs here."""
    write(tmp_path, **{"m.py": source})

    with pytest.raises(BuildError, match=said):
        load(tmp_path, function("f", kind, module="m.py", methods=("go",) if kind == "class" else ()))


def test_what_a_module_raises_comes_through(tmp_path: Path) -> None:
    """A package that is missing is named by Python's own error, and no half module stays behind."""
    write(tmp_path, **{"raises.py": "import package_that_is_missing", "v1.2/raises.py": "1 / 0"})

    with pytest.raises(ModuleNotFoundError, match="package_that_is_missing"):
        load(tmp_path, function("f", module="raises.py"))
    with pytest.raises(ZeroDivisionError):
        load(tmp_path, function("f", module="v1.2/raises.py"))

    assert "raises" not in sys.modules
    assert not [name for name in sys.modules if name.startswith("flashcore_user_v1")]


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    """An artifact that lacks what its entries speak of says which file."""
    with pytest.raises(BuildError, match=r"gone\.py is not a Python file"):
        load(tmp_path, function("f", module="gone.py"))


def test_an_entry_of_a_newer_kind_is_refused(tmp_path: Path) -> None:
    """What cannot be understood is not guessed at."""
    with pytest.raises(BuildError, match="function entry cannot be read"):
        load_functions(tmp_path, [{"name": "f", "kind": "wish"}])
