"""What every probe has to do, as coroutines that need no test framework, and as a class for pytest.

A probe's whole test file:

    from flashcore.testing.probe_kit import ProbeKit
    from flashcore_acme import Banner, BannerProbe

    class TestBanner(ProbeKit):
        def probe(self): return BannerProbe(Banner())

The coroutines take a callable that makes the probe, and raise Nonconformance. Replicas are played by sockets of this
process; a probe that asks otherwise than by the replica's address can be tested by overriding `replica`.
"""

from __future__ import annotations

import asyncio
import socket
import time
from abc import abstractmethod
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import asynccontextmanager, closing, contextmanager

from flashcore.hookspecs.probes import Answer, Finding, Probe, ProbeTarget
from flashcore.hookspecs.providers import Running
from flashcore.model.names import EndpointName, InstanceId, ReplicaId
from flashcore.testing.conformance import require
from flashcore.testing.kit import Check, Kit, checks_of
from flashcore.testing.unreachable import UnreachableProvider
from flashcore.wire.hello import Stage

Make = Callable[[], Probe]

TIMEOUT = 0.2
"""Seconds that a probe is given here."""
TOLERANCE = 15.0
"""Seconds over that before a probe counts as one that never ends; a busy machine needs some."""
AT_ONCE = 100
"""Replicas that are asked at the same time: one after the other would take longer than is tolerated."""


def target_at(address: str | None, *, connected: bool = True) -> ProbeTarget:
    """A replica that runs and listens at `address`, of a provider that cannot be asked for more."""
    running = Running(InstanceId("1"), Stage.READY, since=0.0, address=address, connected=connected)
    return ProbeTarget(EndpointName("tested"), ReplicaId("tested-0"), running, UnreachableProvider())


async def check_silence(make: Make) -> None:
    """A replica that takes the connection and never answers is not waited for beyond the timeout."""
    async with _silent_replica() as address:
        await _probed(make(), target_at(address))


async def check_nobody_there(make: Make) -> None:
    """A replica that cannot be reached at all is not well, and the probe ends."""
    with _closed_port() as closed:
        for address in (closed, None):
            finding = await _probed(make(), target_at(address, connected=False))
            require(finding.answer is not Answer.OK, "nobody there is not OK", (address, finding))


async def check_leaves_nothing(make: Make) -> None:
    """Answered, out of time or cancelled: no task and no connection of the probe is left."""
    async with _silent_replica() as address:
        before = asyncio.all_tasks()
        await _probed(make(), target_at(address))
        asked = asyncio.create_task(make().probe(target_at(address), 60.0))
        await asyncio.sleep(0.05)
        asked.cancel()
        await asyncio.wait([asked], timeout=TOLERANCE)
        require(asked.done(), "a cancelled probe ends")
        await asyncio.sleep(0)
        left = asyncio.all_tasks() - before
        require(not left, "a probe leaves no task behind", left)


async def check_at_the_same_time(make: Make) -> None:
    """One probe asks many replicas at the same time, none of them waiting for another."""
    probe = make()
    began = time.monotonic()
    async with _silent_replica() as address:
        await asyncio.gather(*(_probed(probe, target_at(address)) for _ in range(AT_ONCE)))
    require(time.monotonic() - began < TOLERANCE, "many replicas are asked at the same time", time.monotonic() - began)


class ProbeKit(Kit):
    """Subclass it, call the subclass Test..., and say how to make the probe."""

    checks = checks_of(globals())

    @abstractmethod
    def probe(self) -> Probe:
        """A fresh probe."""

    def examine(self, check: Check) -> None:
        """Run one check on an event loop of its own."""
        asyncio.run(check(self.probe))


async def _probed(probe: Probe, target: ProbeTarget) -> Finding:
    """The finding, an exception counted as failing, as the core does."""
    began = time.monotonic()
    try:
        finding = await asyncio.wait_for(probe.probe(target, TIMEOUT), TIMEOUT + TOLERANCE)
    except Exception as error:  # noqa: BLE001 - whatever a probe raises means that the replica is not well
        finding = Finding(Answer.FAILING, repr(error))
    took = time.monotonic() - began
    require(took < TIMEOUT + TOLERANCE, f"a probe with a timeout of {TIMEOUT} s ends in time", took)
    require(isinstance(finding, Finding) and isinstance(finding.answer, Answer), "probe() returns a Finding", finding)
    return finding


@asynccontextmanager
async def _silent_replica() -> AsyncGenerator[str, None]:
    """The address of a replica that takes connections and says nothing."""
    with closing(socket.create_server(("127.0.0.1", 0), backlog=AT_ONCE)) as listener:
        yield f"tcp:127.0.0.1:{listener.getsockname()[1]}"


@contextmanager
def _closed_port() -> Iterator[str]:
    """An address where nobody listens, and nobody else can."""
    with socket.socket() as placeholder:
        placeholder.bind(("127.0.0.1", 0))
        yield f"tcp:127.0.0.1:{placeholder.getsockname()[1]}"
