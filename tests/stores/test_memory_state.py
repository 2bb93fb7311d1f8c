"""The memory state against the contract."""

from pathlib import Path

from flashcore.builtin.memory_state import MemoryStores
from flashcore.testing.state_kit import StateKit, Subject


class TestMemoryState(StateKit):
    """With a history short enough to see its end."""

    ref = "flashcore.builtin.memory_state:MemoryStores"
    durable = False

    def url(self, folder: Path) -> str:
        """Nothing is kept anywhere."""
        return "memory:"

    def subject(self, folder: Path) -> Subject:
        """With a short history."""
        return Subject(self.ref, self.url(folder), durable=False, history=64, make=lambda: MemoryStores(history=64))
