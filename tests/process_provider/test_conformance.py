"""The provider `process` does what all providers have to do."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.process_provider.conftest import Machine, processes_of

from flashcore.builtin.process.options import ProcessOptions
from flashcore.builtin.process_provider import ProcessProvider
from flashcore.hookspecs.providers import Provider
from flashcore.model.layout import Layout
from flashcore.model.revision import Revision
from flashcore.testing.provider_kit import ProviderKit


@pytest.mark.slow
@pytest.mark.timeout(240)
class TestProcess(ProviderKit):
    """With real processes, whose paths are short enough for sockets."""

    @pytest.fixture(autouse=True)
    def on_a_machine(self) -> Iterator[None]:
        """One of its own for each check; what still runs on it afterwards is a fault."""
        with tempfile.TemporaryDirectory(prefix="fc-") as folder:
            self.machine = Machine(Layout(Path(folder), "test"))
            self.made: dict[int, Revision] = {}
            yield
            left = processes_of(self.machine)
            for process in left:
                process.kill()
            assert not left

    async def open(self) -> Provider:
        """Eight CPUs, whatever this machine has."""
        return ProcessProvider(self.machine.context, ProcessOptions(cpus=8))

    async def revision(self, number: int) -> Revision:
        """The number is in its code. Made once: an archive has the time in it, and so has its digest."""
        if number not in self.made:
            self.made[number] = await self.machine.revision(f"def f(): return {number}")
        return self.made[number]
