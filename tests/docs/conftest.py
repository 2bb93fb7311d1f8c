"""The pages of the documentation, taken apart."""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

FENCE = re.compile(r"^```(?P<language>\w*)[^\n]*\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)
NOTE = re.compile(r"<!-- (?P<note>[^>]*) -->\n+\Z")


@dataclass(frozen=True)
class Snippet:
    """A fenced block of a page, with the comment above it."""

    page: str
    line: int
    language: str
    text: str
    note: str

    def __str__(self) -> str:
        """Where it is."""
        return f"{self.page}:{self.line}"


def pages(repository: Path) -> list[Path]:
    """All pages that people read."""
    own = [repository / "README.md", *sorted((repository / "docs").glob("*.md"))]
    return [*own, *sorted((repository / "examples").glob("*/README.md")), *repository.glob("plugins/*/README.md")]


def snippets_of(page: Path, repository: Path) -> Iterator[Snippet]:
    """The fenced blocks of one page."""
    text = page.read_text(encoding="utf-8")
    for found in FENCE.finditer(text):
        before = text[: found.start()]
        note = NOTE.search(before)
        yield Snippet(
            page.relative_to(repository).as_posix(),
            before.count("\n") + 1,
            found["language"],
            found["text"],
            note["note"] if note else "",
        )


@pytest.fixture(scope="session")
def snippets(repository: Path) -> Callable[[str], list[Snippet]]:
    """All snippets in a language."""
    found = [snippet for page in pages(repository) for snippet in snippets_of(page, repository)]

    def in_language(language: str) -> list[Snippet]:
        return [snippet for snippet in found if snippet.language == language]

    return in_language
