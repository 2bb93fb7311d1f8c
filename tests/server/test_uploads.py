"""Uploads of archives: whole, or nothing of them is left."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.full_disk import no_file_grows_beyond

from flashcore.model.errors import FlashcoreError, UsageError
from flashcore.model.names import Digest
from flashcore.server.routes.artifacts import Draft


def test_an_upload_that_finds_a_full_disk_leaves_nothing_there(tmp_path: Path) -> None:
    """What was written is removed, and the error is still the one that says what is wrong."""
    draft = Draft(tmp_path)

    with pytest.raises(FlashcoreError, match=r"no room to write .*\.upload"), no_file_grows_beyond(10_000):  # noqa: PT012 - the end of it is at issue
        try:
            for _ in range(50):
                draft.write(b"x" * 1_000)
        finally:
            draft.remove()

    assert [*tmp_path.iterdir()] == []


def test_an_upload_of_other_bytes_leaves_nothing_there(tmp_path: Path) -> None:
    """Its digest is checked once all is there."""
    draft = Draft(tmp_path)
    draft.write(b"x")

    with pytest.raises(UsageError, match="the bytes have the digest"):
        draft.finish(Digest("0" * 64))

    draft.remove()
    assert [*tmp_path.iterdir()] == []
