"""The SQLite state against the contract, and what only files have: locks, damage, newer versions, full disks."""

from pathlib import Path

from flashcore.builtin.sqlite_state import SqliteStores
from flashcore.testing.state_kit import StateKit, Subject


class TestSqliteState(StateKit):
    """With a history short enough to see its end."""

    ref = "flashcore.builtin.sqlite_state:SqliteStores"

    def url(self, folder: Path) -> str:
        """A new file."""
        return f"sqlite:///{folder}/state.db"

    def subject(self, folder: Path) -> Subject:
        """With a short history."""
        return Subject(self.ref, self.url(folder), history=64, make=lambda: SqliteStores(history=64))
