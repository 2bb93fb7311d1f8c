"""Which files of a project are left out.

The nearest rule counts: .gitignore and .flashcoreignore of the file's own folder, then of the folders above; the
latter after the former, so that it can take back (`!weights/`) what git leaves out. Below them all are defaults, which
can be taken back too, and what never gets into an archive whatever anybody writes.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathspec import GitIgnoreSpec

RULE_FILES = (".gitignore", ".flashcoreignore")

_NEVER_FOLDERS = frozenset({".git", ".hg", ".svn", ".bzr", ".flashcore"})

_DEFAULT_FOLDERS = frozenset(
    {
        ".aws",
        ".eggs",
        ".gnupg",
        ".hypothesis",
        ".idea",
        ".ipynb_checkpoints",
        ".mypy_cache",
        ".nox",
        ".pytest_cache",
        ".ruff_cache",
        ".ssh",
        ".tox",
        ".vscode",
        "__pycache__",
        "node_modules",
    }
)
_DEFAULT_FILES = frozenset(
    {
        ".DS_Store",
        ".coverage",
        ".flashcoreignore",
        ".gitattributes",
        ".gitignore",
        ".netrc",
        ".npmrc",
        ".pypirc",
        "Thumbs.db",
        "conftest.py",
        "credentials.json",
        "id_dsa",
        "id_ecdsa",
        "id_ed25519",
        "id_rsa",
    }
)
_DEFAULT_SUFFIXES = (".key", ".log", ".p12", ".pem", ".pfx", ".pyc", ".pyo", ".swo", ".swp", "~")
_DEFAULT_PATHS = frozenset(
    {
        ".dockerignore",
        ".editorconfig",
        ".github",
        ".gitlab-ci.yml",
        ".pre-commit-config.yaml",
        "Dockerfile",
        "Makefile",
        "flashcore.lock",
        "flashcore.toml",
        "poetry.lock",
        "pyproject.toml",
        "setup.cfg",
        "test",
        "tests",
        "tox.ini",
        "uv.lock",
    }
)
"""Paths from the root of what serves developers: a change of it is none of what replicas run."""

_DEFAULT_PAPERS = ("CHANGELOG", "CONTRIBUTING", "LICENSE", "README")
"""How such files of the root begin."""


@dataclass(frozen=True, slots=True)
class Rules:
    """The rules that hold in one folder: its own last."""

    specs: tuple[tuple[str, GitIgnoreSpec], ...] = ()
    """Each with the path of its folder: empty for the root, else with a closing slash."""

    def within(self, folder: Path, prefix: str) -> Rules:
        """The rules that hold in `folder`, whose path from the root is `prefix`."""
        lines = [line for name in RULE_FILES for line in _lines(folder / name)]
        if not lines:
            return self
        from pathspec import GitIgnoreSpec

        return Rules((*self.specs, (prefix, GitIgnoreSpec.from_lines(lines))))

    def leave_out(self, path: str, name: str, *, folder: bool) -> bool:
        """Whether a file or folder is left out. `path` is from the root, `name` its last part."""
        if is_never(name, folder=folder):
            return True
        shown = f"{path}/" if folder else path
        for prefix, spec in reversed(self.specs):
            verdict = spec.check_file(shown[len(prefix) :]).include
            if verdict is not None:
                return bool(verdict)
        if path in _DEFAULT_PATHS:
            return True
        if folder:
            return name in _DEFAULT_FOLDERS or name.endswith(".egg-info")
        return name in _DEFAULT_FILES or name.endswith(_DEFAULT_SUFFIXES) or path.startswith(_DEFAULT_PAPERS)


def is_never(name: str, *, folder: bool) -> bool:
    """Whether a file or folder of that name never gets into an archive: other people's data, and secrets."""
    return name in _NEVER_FOLDERS if folder else name == ".env" or name.startswith(".env.")


def may_be_packed(root: Path, real: Path) -> bool:
    """Whether a file or folder, by its path without links, is of the project and may get into an archive at all."""
    if not real.is_relative_to(root):
        return False
    *folders, name = real.relative_to(root).parts or ("",)
    return not (any(is_never(part, folder=True) for part in (*folders, name)) or is_never(name, folder=False))


def is_environment(folder: Path) -> bool:
    """Whether a folder holds a virtual environment."""
    return (folder / "pyvenv.cfg").is_file() or (folder / "conda-meta").is_dir()


def _lines(file: Path) -> list[str]:
    try:
        return file.read_text(encoding="utf-8", errors="surrogateescape").splitlines()
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
        return []
