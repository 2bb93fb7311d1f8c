"""What the probe makes of a replica's answers."""

import asyncio

import pytest
from flashcore.hookspecs.probes import Answer, Finding
from flashcore.testing.probe_kit import target_at

from {{ cookiecutter.__package }} import {{ cookiecutter.__form }}
from {{ cookiecutter.__package }}.probe import {{ cookiecutter.__part }}


async def ask(answer: bytes) -> Finding:
    """What is found of a replica that answers so."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        host, port = server.sockets[0].getsockname()
        return await {{ cookiecutter.__part }}({{ cookiecutter.__form }}()).probe(target_at(f"tcp:{host}:{port}"), 5.0)


@pytest.mark.parametrize(
    ("answer", "found"),
    [
        (b"HTTP/1.1 200 OK\r\n\r\n", Answer.OK),
        (b"HTTP/1.1 204 No Content\r\n\r\n", Answer.NEUTRAL),
        (b"HTTP/1.1 503 Service Unavailable\r\n\r\n", Answer.FAILING),
        (b"", Answer.FAILING),
    ],
)
def test_answers(answer: bytes, found: Answer) -> None:
    """By their status."""
    assert asyncio.run(ask(answer)).answer is found
