"""What was generated, for the tests of the templates."""

from collections.abc import Callable
from pathlib import Path

import pytest

from flashcore.cli.scaffold import generate

Generate = Callable[..., Path]


@pytest.fixture
def generated(tmp_path: Path) -> Generate:
    """Generates from a template, with these answers and the defaults."""

    def make(template: str, **answers: str) -> Path:
        return generate(template, tmp_path, answers, ask=False)

    return make
