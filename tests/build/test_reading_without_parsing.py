"""What is read from a file's text is what its parsed code shows, or nothing at all."""

import ast
import sys
import sysconfig
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flashcore.build.imports import statements_of
from flashcore.build.lexical import blanked
from flashcore.build.outline import outline_of
from flashcore.build.written_imports import written_imports

PIECES = [
    "import a",
    "import a.b as c, d",
    "import a;import b",
    "from . import a",
    "from .a.b import c as d, e",
    "from a import (b,\n    c as d,  # import e\n)",
    "from a import *",
    "from a import(b)",
    "from ..a import b; x = 1",
    "if x: import a",
    "if x:\n    import a\nelse:\n    from b import c",
    "try:\n    import a\nexcept ImportError:\n    import b\nelse:\n    import c\nfinally:\n    import d",
    "try:\n    import a\nfinally:\n    import b",
    "if TYPE_CHECKING:\n    from a import b",
    "def f():\n    import a\n    def g():\n        from b import c",
    "def f(): import a",
    "async def f(\n    a,\n):\n    return a",
    "class C:\n    import a\n    def m(self):\n        return 'import b'",
    "@d\ndef f():\n    '''import a\nimport b\n    '''\n    return x",
    "@d(\n1,\n)\nclass C: pass",
    "'''\nimport a\n'''",
    '"""import a"""; import b',
    'x = "import a"',
    "x = '''a'''; y = \"'''\"",
    "# import a '''",
    "x = [\n1,\n'import a',\n]",
    "x = 1 + \\\n2",
    "importa = 1",
    "x = b'\\'' b\"\\\"\"",
    "x = r'\\' + r'a'",
    "f'{a}' f\"{'b'}\"",
    'x = f"""{\na\n}import b"""',
    'x = f"{y["import a"]}"' if sys.version_info >= (3, 12) else "x = f'{y}'",
    "x = 'a' if b else'c'",
    "for x in y:\n    pass\nelse:\n    import a",
    "match x:\n    case 1:\n        import a",
    "with a: import b",
    "lambda: (yield)",
    "x = {'a': [1, (2)]}",
    "def q():\n    pass\n'doc'.upper(); import a",
    "import \\\na",
    "importlib.import_module('a')",
    "",
    "\t",
    "é = 1; from é import ü",
    "def é(): return 1",
]


def statements(text: str) -> ast.Module | None:
    """The text's code, if it is any."""
    try:
        return ast.parse(text)
    except (SyntaxError, ValueError):
        return None


texts = st.lists(st.sampled_from(PIECES), max_size=6).map("\n".join)


def check_imports(data: bytes, code: ast.Module) -> None:
    """Nothing is found, or exactly what parsing finds."""
    found = written_imports(data)
    if found is not None:
        expected = statements_of(code, data)
        assert sorted(map(repr, found)) == sorted(map(repr, expected))


@given(texts)
def test_imports_are_those_of_the_parsed_file(text: str) -> None:
    """B10: wherever a file's text alone tells of its imports, it tells the truth."""
    code = statements(text)
    if code is not None:
        check_imports(text.encode(), code)


TOKENS = ["import", " ", "\n", "a", ".", ",", "(", ")", "'", '"""', "#", "from ", "import ", ":", "\\", "*", "as"]


@given(st.lists(st.sampled_from(TOKENS), max_size=12).map("".join))
def test_imports_of_any_text_are_those_of_the_parsed_file(text: str) -> None:
    """B10: also of what nobody would write."""
    code = statements(text)
    if code is not None:
        check_imports(text.encode(), code)


def check_outline(data: bytes, code: ast.Module) -> None:
    """What was left out are whole definitions of the module's level, and everything else is as it was."""
    outline = outline_of(data)
    if outline is None:
        return
    read = {ast.dump(node, include_attributes=True) for node in ast.parse(outline.kept).body}
    for left_out in outline.unread:
        (node,) = ast.parse(b"\n" * (left_out.line - 1) + left_out.text).body
        assert isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
        assert node.name == left_out.name
        assert not node.decorator_list
        read.add(ast.dump(node, include_attributes=True))
    assert read == {ast.dump(node, include_attributes=True) for node in code.body}


@given(texts)
def test_an_outline_holds_all_statements(text: str) -> None:
    """B10: at their own lines, none cut, none lost."""
    code = statements(text)
    if code is not None:
        check_outline(text.encode(), code)


@given(texts)
def test_what_is_blanked_keeps_its_place(text: str) -> None:
    """B10: lines, columns and brackets are those of the file."""
    data = text.encode()
    left = blanked(data)
    if left is not None:
        assert len(left) == len(data)
        assert [at for at, byte in enumerate(left) if byte == 10] == [at for at, byte in enumerate(data) if byte == 10]


LIBRARY = Path(sysconfig.get_path("stdlib"))


@pytest.mark.parametrize("path", sorted(LIBRARY.glob("*.py"))[::12], ids=lambda path: path.name)
def test_it_is_true_of_pythons_own_library(path: Path) -> None:
    """B10: code of many hands and thirty years."""
    data = path.read_bytes()
    code = statements(data.decode("utf-8", "replace"))
    if code is not None:
        check_imports(data, code)
        check_outline(data, code)


def test_most_files_need_not_be_parsed() -> None:
    """B10: two in three of the standard library, where imports stand in functions and strings go on for pages."""
    files = [path.read_bytes() for path in sorted(LIBRARY.glob("*.py"))]

    told = [data for data in files if written_imports(data) is not None]

    assert len(told) > 0.6 * len(files)
