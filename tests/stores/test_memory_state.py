"""The memory state against the contract."""

from pathlib import Path

from flashcore.builtin.memory_state import MemoryStores
from flashcore.hookspecs.state import Put, Transaction
from flashcore.testing.measure import reachable
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


async def test_keys_that_are_gone_are_forgotten_with_their_history() -> None:
    """What is written and deleted over and over, under ever new names, does not fill the memory."""
    state = await MemoryStores(history=10).open_state("memory:")

    for number in range(100):
        await state.commit(Transaction(puts=(Put(f"gone/{number}", b""),)))
        await state.commit(Transaction(deletes=(f"gone/{number}",)))

    assert len({found for found in reachable(state) if str(found).startswith("gone/")}) <= 10
    await state.close()
