"""A project on a real platform, and nothing left behind."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from flashcore.testing.project import ProjectUnderTest


@pytest.fixture
def project(tmp_path: Path) -> Iterator[ProjectUnderTest]:
    """An empty project; whatever it started is ended afterwards, and a test that left something running fails."""
    under_test = ProjectUnderTest(tmp_path / "shop")
    under_test.root.mkdir()
    under_test.write("flashcore.toml", 'app = "shop"\n')
    yield under_test
    under_test.run("server", "stop")
    left = under_test.processes()
    for process in left:
        process.kill()
    assert not left, f"left running: {[' '.join(one.cmdline()) for one in left if one.is_running()] or left}"
