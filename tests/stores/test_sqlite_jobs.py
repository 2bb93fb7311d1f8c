"""The SQLite job store against the contract, and what only files have."""

from pathlib import Path

from flashcore.builtin.sqlite_state import SqliteStores
from flashcore.testing.clock import VirtualClock
from flashcore.testing.jobs_kit import JobsKit, Subject


class TestSqliteJobs(JobsKit):
    """On a virtual clock."""

    ref = "flashcore.builtin.sqlite_state:SqliteStores"

    def url(self, folder: Path) -> str:
        """A new file."""
        return f"sqlite:///{folder}/jobs.db"

    def subject(self, folder: Path) -> Subject:
        """With a clock that the checks move."""
        clock = VirtualClock()
        return Subject(
            self.ref,
            self.url(folder),
            make=lambda: SqliteStores(clock.wall, clock.monotonic),
            advance=clock.advance_soon,
        )
