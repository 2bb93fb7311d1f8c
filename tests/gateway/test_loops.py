"""The loops that the gateway's tests run on."""

from __future__ import annotations

import asyncio

import pytest
from tests.gateway.loops import PlainLoop, UvLoop, skip


async def _listen() -> None:
    await asyncio.start_server(lambda _reader, _writer: None, "127.0.0.1", 0)


def test_a_loop_with_something_left_open_is_closed_and_says_what() -> None:
    """That of uvloop itself would wait for ever, as warnings are errors here."""
    loop = UvLoop()
    loop.run_until_complete(_listen())

    with pytest.raises(ResourceWarning, match="TCPServer"):
        loop.close()
    assert loop.is_closed()


@pytest.mark.parametrize("kind", [UvLoop, PlainLoop])
def test_a_clock_is_put_forward(kind: type[UvLoop | PlainLoop]) -> None:
    """And whoever looks at it has seen that."""
    seen = []

    async def look() -> None:
        loop = asyncio.get_running_loop()
        began = loop.time()
        timer = loop.call_later(0.001, lambda: seen.append(loop.time() - began))
        await skip(100.0, 0.001)
        timer.cancel()

    with asyncio.Runner(loop_factory=kind) as runner:
        runner.run(look())
    assert len(seen) == 1
    assert seen[0] > 100.0
