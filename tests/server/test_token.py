"""The local token is made once, kept private, and compared whole."""

from __future__ import annotations

import multiprocessing
from pathlib import Path

import pytest
from tests.full_disk import no_file_grows_beyond

from flashcore.model.errors import ConfigurationError, StorageFull, Unauthorized
from flashcore.server.token import check_token, create_token, read_token


def test_the_token_is_made_once_and_private(tmp_path: Path) -> None:
    """A second start reads the token of the first, and nobody else can."""
    path = tmp_path / "token"

    first = create_token(path)

    assert create_token(path) == first
    assert path.stat().st_mode & 0o777 == 0o600
    assert list(tmp_path.iterdir()) == [path]


def test_a_token_for_which_there_is_no_room_is_named_and_leaves_nothing(tmp_path: Path) -> None:
    """`flashcore dev` said that there was no room for its output."""
    path = tmp_path / "token"

    with no_file_grows_beyond(0), pytest.raises(StorageFull, match=str(path)):
        create_token(path)

    assert list(tmp_path.iterdir()) == []


def test_processes_that_start_at_once_agree_on_one_token(tmp_path: Path) -> None:
    """Whoever is first wins, and everybody reads that token."""
    path = tmp_path / "token"

    with multiprocessing.get_context("spawn").Pool(4) as pool:
        tokens = pool.map(create_token, [path] * 16)

    assert set(tokens) == {read_token(path)}


def test_a_token_that_others_may_read_is_refused(tmp_path: Path) -> None:
    """A careless copy of the folder does not go unseen."""
    path = tmp_path / "token"
    create_token(path)
    path.chmod(0o644)

    with pytest.raises(ConfigurationError, match="chmod 600"):
        read_token(path)


@pytest.mark.parametrize("content", [b"", b"\n", b"\xff\xfe"])
def test_a_damaged_token_file_is_no_token(tmp_path: Path, content: bytes) -> None:
    """An empty or broken file opens no door."""
    path = tmp_path / "token"
    path.touch(mode=0o600)
    path.write_bytes(content)

    with pytest.raises(Unauthorized):
        read_token(path)


def test_a_missing_token_names_the_command_that_makes_one(tmp_path: Path) -> None:
    """The next step is in the message."""
    with pytest.raises(Unauthorized, match="flashcore server start"):
        read_token(tmp_path / "token")


@pytest.mark.parametrize("header", [None, "", "Bearer ", "Bearer secre", "Bearer secrets", "Basic secret", "sécret"])
def test_only_the_whole_token_opens_the_door(header: str | None) -> None:
    """Nothing shorter, longer or otherwise will do."""
    with pytest.raises(Unauthorized):
        check_token("secret", header)


@pytest.mark.parametrize("header", ["secret", "Bearer secret"])
def test_the_token_is_taken_bare_or_as_a_bearer(header: str) -> None:
    """Both spellings are in use among clients."""
    check_token("secret", header)
