"""What several tests of the stores use."""

import sqlite3
from collections.abc import Sequence
from functools import partial

import pytest


@pytest.fixture
def failing_commits(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """While the list is not empty, no connection of SQLite's that is opened from now on can commit."""
    failing: list[bool] = []

    class Frail(sqlite3.Connection):
        def execute(self, sql: str, parameters: Sequence[object] = (), /) -> sqlite3.Cursor:  # type: ignore[override]  # Python's has more kinds of parameters, which nobody uses
            if failing and sql.startswith(("COMMIT", "PRAGMA user_version =")):
                raise sqlite3.OperationalError("disk I/O error")
            return super().execute(sql, parameters)

    monkeypatch.setattr(sqlite3, "connect", partial(sqlite3.connect, factory=Frail))
    return failing
