"""The folder of sockets may lie outside of the project, where nobody looks for what a platform needs."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.full_disk import read_only, small_disk_at

from flashcore.model.errors import ConfigurationError
from flashcore.model.layout import Layout
from flashcore.server.daemon import make_socket_folder


class FarSockets(Layout):
    """Sockets on another disk than the project."""

    @property
    def run(self) -> Path:
        """There."""
        return self.root / "disk/sockets"


def test_a_folder_of_sockets_that_cannot_be_made_says_why_it_is_there(tmp_path: Path) -> None:
    """As where /tmp is read-only: the project is writable, and its path too long."""
    layout = FarSockets(tmp_path, "production")
    with small_disk_at(tmp_path / "disk") as disk, read_only(disk), pytest.raises(ConfigurationError) as refused:
        make_socket_folder(layout)

    assert f"{layout.run} cannot be written: Read-only file system; sockets lie there" in refused.value.message
    assert "TMPDIR" in (refused.value.next_step or "")
