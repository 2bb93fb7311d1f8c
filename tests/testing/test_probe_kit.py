"""The kit for probes sees each fault that it is there for."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from flashcore.hookspecs.probes import Answer, Finding, Probe, ProbeTarget
from flashcore.testing import probe_kit as kit
from flashcore.testing.conformance import Nonconformance
from flashcore.testing.probe_kit import ProbeKit


async def ask(target: ProbeTarget) -> Finding:
    """Wait for one byte of the replica."""
    _, host, port = str(target.running.address or "tcp::1").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    try:
        return Finding(Answer.OK if await reader.read(1) else Answer.FAILING)
    finally:
        writer.close()


class Sound:
    """A probe without a fault."""

    async def probe(self, target: ProbeTarget, timeout: float) -> Finding:
        """Within the timeout."""
        async with asyncio.timeout(timeout):
            return await ask(target)


class TestSound(ProbeKit):
    """A probe without a fault passes."""

    def probe(self) -> Probe:
        """Nothing to configure."""
        return Sound()


class WaitsForEver:
    """Has no timeout."""

    async def probe(self, target: ProbeTarget, timeout: float) -> Finding:
        """As long as it takes."""
        return await ask(target)


class Optimist:
    """Takes no answer for a good one."""

    async def probe(self, target: ProbeTarget, timeout: float) -> Finding:
        """Always well."""
        return Finding(Answer.OK)


class LeavesATask:
    """Goes on asking in the background."""

    async def probe(self, target: ProbeTarget, timeout: float) -> Finding:
        """Not waiting for the answer."""
        self.task = asyncio.ensure_future(ask(target))
        return Finding(Answer.NEUTRAL)


class OneAfterTheOther:
    """Asks one replica at a time."""

    def __init__(self) -> None:
        self.turn = asyncio.Lock()

    async def probe(self, target: ProbeTarget, timeout: float) -> Finding:
        """When it is its turn."""
        async with self.turn:
            return await Sound().probe(target, timeout)


FAULTS: list[tuple[Callable[[], Probe], Callable[[Callable[[], Probe]], Awaitable[None]]]] = [
    (WaitsForEver, kit.check_silence),
    (Optimist, kit.check_nobody_there),
    (LeavesATask, kit.check_leaves_nothing),
    (OneAfterTheOther, kit.check_at_the_same_time),
]


@pytest.mark.parametrize(("make", "check"), FAULTS)
def test_a_fault_is_seen(
    make: Callable[[], Probe],
    check: Callable[[Callable[[], Probe]], Awaitable[None]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The kit says which rule is broken."""
    monkeypatch.setattr(kit, "TOLERANCE", 1.0)

    with pytest.raises(Nonconformance):
        asyncio.run(_awaited(check(make)))


async def _awaited(check: Awaitable[None]) -> None:
    await check


def test_every_check_has_a_fault_that_it_sees() -> None:
    """A check that cannot fail is a defect."""
    assert set(ProbeKit.checks.values()) == {check for _, check in FAULTS}
