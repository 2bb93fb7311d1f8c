"""Which files of a project are scanned and packed, which never are, and which are an error."""

import os
import socket
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.build.conftest import Project

ProjectWriter = Callable[..., Project]

APP = """
from flashcore import QueueEndpoint
q = QueueEndpoint("q")
@q.function
def f(): ...
"""
HANDLER = {"handler_q.py", "handler_q.json"}


def test_b09_ignore_rules_count_from_the_nearest_folder(project: ProjectWriter) -> None:
    """B09: .gitignore of any folder; .flashcoreignore after it, so that it can take back."""
    made = project(
        {
            "app.py": APP,
            ".gitignore": "*.log\nweights/\n!keep.log\n/only_here.txt\n",
            ".flashcoreignore": "!weights/\nnotes.txt\n",
            "a.log": "",
            "keep.log": "",
            "only_here.txt": "",
            "notes.txt": "",
            "weights/w.bin": "",
            "data/only_here.txt": "",
            "data/.gitignore": "!a.log\nprivate\n",
            "data/a.log": "",
            "data/b.log": "",
            "data/private/x": "",
        }
    )

    assert made.archived("q") - HANDLER == {
        "app.py",
        "keep.log",
        "weights/w.bin",
        "data/only_here.txt",
        "data/a.log",
    }


def test_b09_what_is_nobodys_code_is_left_out_unless_taken_back(project: ProjectWriter) -> None:
    """B09: caches, editors' folders, keys, tests; a project may say otherwise."""
    files: dict[str, str | bytes] = {
        "app.py": APP,
        "__pycache__/app.cpython-311.pyc": "",
        "node_modules/x/index.js": "",
        ".idea/x": "",
        "tests/test_app.py": APP,
        "conftest.py": APP,
        "server.key": "",
        "id_rsa": "",
        "shop.egg-info/PKG-INFO": "",
    }
    made = project(files)
    assert made.archived("q") - HANDLER == {"app.py"}

    made.write(".flashcoreignore", "!*.key\n")
    assert made.archived("q") - HANDLER == {"app.py", "server.key"}


def test_b23_secrets_and_other_peoples_folders_never_get_in(project: ProjectWriter) -> None:
    """B23: whatever the rules say, and however they are asked for."""
    made = project(
        {
            "app.py": APP.replace('"q"', '"q", include=["**/*", ".env", ".git/config"]'),
            ".flashcoreignore": "!.env\n!.env.*\n!.git/\n!.flashcore/\n",
            ".env": "TOKEN=s3cret",
            ".env.production": "TOKEN=s3cret",
            "deep/.env": "TOKEN=s3cret",
            ".git/config": "s3cret",
            ".flashcore/secrets": "s3cret",
            ".venv/pyvenv.cfg": "",
            ".venv/lib/x.py": "",
            "linked/x.txt": "",
        }
    )
    (made.root / "linked" / "settings").symlink_to(made.root / ".env")

    message = made.refusal()
    assert "include: '.env' matches no file" in message
    assert "include: '.git/config' matches no file" in message

    made.write("app.py", APP.replace('"q"', '"q", include=["**/*"]'))
    result = made.build()
    for path in result.artifacts.values():
        assert b"s3cret" not in path.read_bytes()
    assert not [name for name in made.archived("q") if ".env" in name or name.endswith("settings")]


def test_b09_an_import_of_a_file_that_is_left_out_is_an_error(project: ProjectWriter) -> None:
    """B09: the replica would fail where the build can tell; an import that may fail is left alone."""
    made = project(
        {
            "app.py": "import generated\nfrom pkg import other\ntry:\n    import maybe\nexcept ImportError:\n    pass\n"
            + APP,
            "pkg/__init__.py": "from .version import VERSION\n",
            "pkg/other.py": "",
            "pkg/version.py": "",
            "generated.py": "",
            "maybe.py": "",
            ".gitignore": "generated.py\nversion.py\nmaybe.py\n",
        }
    )

    message = made.refusal()

    assert "app.py:1:1: it imports generated, but generated.py is left out of the archive by a rule" in message
    assert "write !generated.py into .flashcoreignore" in message
    assert "pkg/__init__.py:1:1: it imports .version, but pkg/version.py is left out" in message
    assert "maybe" not in message


def test_b08_links_that_loop_or_lead_out_are_not_followed(project: ProjectWriter, tmp_path: Path) -> None:
    """B08: a loop ends; what is outside stays outside; a link inside the project is a copy of what it means."""
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "leak.txt").write_text("leak")
    made = project({"app.py": APP, "data/x.txt": "x", "pkg/deep/y.txt": "y"})
    (made.root / "loop").symlink_to(made.root)
    (made.root / "data" / "up").symlink_to("..")
    (made.root / "pkg" / "deep" / "back").symlink_to(made.root / "pkg")
    (made.root / "out").symlink_to(outside)
    (made.root / "leak.txt").symlink_to(outside / "leak.txt")
    (made.root / "gone").symlink_to("nowhere")
    (made.root / "again").symlink_to("data")
    (made.root / "copy.txt").symlink_to("data/x.txt")

    assert made.archived("q") - HANDLER == {
        "app.py",
        "again/x.txt",
        "copy.txt",
        "data/x.txt",
        "pkg/deep/y.txt",
    }
    told = " ".join(made.build().warnings)
    for name in ("loop", "data/up", "pkg/deep/back", "out", "leak.txt", "gone"):
        assert f"{name} " in told


def test_b08_what_is_no_file_is_left_out(project: ProjectWriter, monkeypatch: pytest.MonkeyPatch) -> None:
    """B08: a pipe would never end."""
    made = project({"app.py": APP})
    os.mkfifo(made.root / "pipe.py")
    with socket.socket(socket.AF_UNIX) as listener:
        monkeypatch.chdir(made.root)  # a socket's path has to be short
        listener.bind("socket")
        result = made.build()

    assert len(result.warnings) == 2
    assert "pipe.py is no regular file: left out" in result.warnings


ODD = {
    "bom": b"\xef\xbb\xbf" + APP.encode(),
    "crlf": APP.replace("\n", "\r\n").encode(),
    "cookie": b"# -*- coding: latin-1 -*-\nNAME = '\xfc'\n" + APP.encode(),
    "form feed": b"\x0c\n" + APP.encode(),
    "tabs": APP.encode() + b"if 1:\n\tx = 1\n",
    "odd escapes": b"x = '\\d'\n" + APP.encode(),
}


@pytest.mark.parametrize("kind", ODD)
def test_b08_files_are_read_as_python_reads_them(project: ProjectWriter, kind: str) -> None:
    """B08: marks, line ends, cookies; warnings of the parser are nobody's business here."""
    made = project({"app.py": ODD[kind]})

    assert list(made.functions()) == ["f"]


BROKEN = {
    "no UTF-8": b"# flashcore \xff\nx = '\xff'\n",
    "newer syntax": b"import flashcore\nmatch x:\n  case 1 -> 2\n",
    "null bytes": b"import flashcore\nx = 1\0\n",
    "too deep": b"import flashcore\nx = " + b"(" * 3000 + b")" * 3000 + b"\n",
}


@pytest.mark.parametrize("kind", BROKEN)
def test_b08_a_file_that_speaks_of_flashcore_and_cannot_be_parsed_is_refused(project: ProjectWriter, kind: str) -> None:
    """B08: it might hold an endpoint; the message says whose grammar was used, and how to leave it out."""
    made = project({"app.py": APP, "odd.py": BROKEN[kind]})

    message = made.refusal()

    assert message.startswith("odd.py")
    if kind == "newer syntax":
        assert "odd.py:3:" in message
        assert "which runs this build, cannot parse it" in message
        assert "run flashcore with the Python that it is written for" in message

    made.write(".flashcoreignore", "odd.py\n")
    assert list(made.functions()) == ["f"]


@pytest.mark.parametrize("kind", BROKEN)
def test_b08_one_that_cannot_matter_is_passed_over(project: ProjectWriter, kind: str) -> None:
    """B08: templates, fixtures, other people's experiments."""
    made = project({"app.py": APP, "odd.py": BROKEN[kind].replace(b"flashcore", b"something")})

    assert list(made.functions()) == ["f"]


def test_b08_a_huge_file_is_passed_over_or_named(project: ProjectWriter) -> None:
    """B08: 50 MB of data in Python's clothes."""
    data = b"DATA = [\n" + b"0,\n" * (17 << 20) + b"]\n"
    made = project({"app.py": APP, "data/big.py": data})
    assert list(made.functions()) == ["f"]

    made.write("data/big.py", data + b"import flashcore\n")
    assert "data/big.py: its 53 MB are too much to scan" in made.refusal()


def test_b08_a_module_that_replicas_need_must_parse(project: ProjectWriter) -> None:
    """B08: its import would fail there."""
    made = project({"app.py": "import helper\n" + APP, "helper.py": "def f(:\n"})

    assert "helper.py:1:7: Python 3." in made.refusal()


def test_b08_a_file_name_that_is_no_text_is_named(project: ProjectWriter) -> None:
    """B08: it could not be told to anybody."""
    made = project({"app.py": APP})
    Path(os.fsdecode(os.fsencode(made.root) + b"/\xff.txt")).touch()

    assert "\\xff.txt: the name of this file is no UTF-8" in made.refusal()


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_b08_a_file_that_cannot_be_read_is_named(project: ProjectWriter) -> None:
    """B08: it could neither be scanned nor packed."""
    made = project({"app.py": APP, "closed.py": ""})
    (made.root / "closed.py").chmod(0)

    assert "closed.py: cannot be read: Permission denied" in made.refusal()


@pytest.mark.parametrize("path", ["flashcore.py", "flashcore/__init__.py"])
def test_a_module_that_hides_flashcore_is_refused(project: ProjectWriter, path: str) -> None:
    """Replicas would import it in place of flashcore."""
    made = project({"app.py": APP, path: ""})

    assert f"{path}: it hides the package flashcore" in made.refusal()
