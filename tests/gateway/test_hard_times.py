"""The gateway's process where the machine gives it nothing, and where what it finds at its start is spoilt."""

from __future__ import annotations

import asyncio
import contextlib
import resource
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from tests.gateway.conftest import eventually, jobs_route
from tests.gateway.test_process import GatewayProcess, listening, serving, spawn

from flashcore.model.layout import Layout


def processor_time(gateway: GatewayProcess) -> float:
    """Seconds of the processor that it has used."""
    fields = Path(f"/proc/{gateway.process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / 100


async def test_a_gateway_without_files_to_open_waits_and_goes_on(layout: Layout) -> None:
    """Three hundred clients where there is room for fewer: it neither ends nor spins, and serves the next one."""
    async with listening(layout) as gateway:
        resource.prlimit(gateway.process.pid or 0, resource.RLIMIT_NOFILE, (64, 64))
        address = urlsplit(gateway.presence.url)
        clients = []
        for _ in range(300):
            with contextlib.suppress(OSError):
                clients.append((await asyncio.open_connection(address.hostname, address.port))[1])
        before = processor_time(gateway)
        await asyncio.sleep(1.0)
        used = processor_time(gateway) - before
        for client in clients:
            client.transport.abort()

        async def answers() -> bool:
            with contextlib.suppress(OSError, EOFError):
                return (await gateway.call("GET", "/ping")).status == 200
            return False

        await eventually(answers)

        assert gateway.process.returncode is None
    assert len(clients) > 64
    assert used < 0.5


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff\xfe", b'{"version": "x", "endpoints": 5}', b"[" * 9000])
async def test_a_spoilt_table_is_passed_over_at_the_start(layout: Layout, content: bytes) -> None:
    """Nothing is served until the control plane brings one; the log says why."""
    layout.table_file.parent.mkdir(parents=True)
    layout.table_file.write_bytes(content)
    async with listening(layout) as gateway:
        before = await gateway.call("GET", "/v2/hello/health")
        async with serving(layout, jobs_route("hello")):
            after = await gateway.call("GET", "/v2/hello/health")

    assert (before.status, after.status) == (503, 200)


async def test_jobs_that_cannot_be_read_are_not_begun_anew(layout: Layout) -> None:
    """A file that is none of ours: the gateway says which and ends, without a traceback, and leaves it as it is."""
    layout.home.mkdir(parents=True)
    layout.jobs_db.write_bytes(b"this was a database once" * 1000)
    gateway = await spawn(layout)
    _, error = await gateway.process.communicate()

    assert gateway.process.returncode == 1
    assert str(layout.jobs_db).encode() in error
    assert b"Traceback" not in error
    assert layout.jobs_db.read_bytes() == b"this was a database once" * 1000
