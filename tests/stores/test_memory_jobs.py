"""The memory job store against the contract."""

from pathlib import Path

from flashcore.builtin.memory_state import MemoryStores
from flashcore.testing.clock import VirtualClock
from flashcore.testing.jobs_kit import JobsKit, Subject


class TestMemoryJobs(JobsKit):
    """On a virtual clock."""

    ref = "flashcore.builtin.memory_state:MemoryStores"

    def url(self, folder: Path) -> str:
        """Nothing is kept anywhere."""
        return "memory:"

    def subject(self, folder: Path) -> Subject:
        """With a clock that the checks move."""
        clock = VirtualClock()
        return Subject(
            self.ref, self.url(folder), durable=False, make=lambda: MemoryStores(clock), advance=clock.advance_soon
        )
