"""A handler that wants to know how the connection ends on which it was asked."""

from __future__ import annotations

from tests.gateway.http.conftest import Gateway, Wire, eventually

from flashcore.gateway.http.respond import Line, Request, Response

GET = b"GET / HTTP/1.1\r\nhost: a\r\n\r\n"


class Notes:
    """A Watcher that keeps what it was told."""

    def __init__(self, *, is_awaiting: bool = False) -> None:
        self.is_awaiting = is_awaiting
        self.told: list[tuple[str, Line]] = []

    def left(self, line: Line) -> None:
        """See Watcher."""
        self.told.append(("left", line))

    def released(self, line: Line) -> None:
        """See Watcher."""
        self.told.append(("released", line))

    @property
    def words(self) -> list[str]:
        """What was told, without of which connection."""
        return [word for word, _ in self.told]


async def watched(gateway: Gateway, *watchers: Notes, request: bytes = GET) -> Wire:
    """A connection on which one request was answered for each of these."""
    waiting = list(watchers)

    def answer(request: Request) -> Response:
        request.line.watch(waiting.pop(0))
        return Response(204)

    gateway.local(answer)
    wire = await gateway.connect()
    for _ in watchers:
        await wire.send(request)
        await wire.answer()
    return wire


async def test_a_client_that_closes_an_idle_connection_has_left(gateway: Gateway) -> None:
    """It is said once, also where several requests came on it."""
    notes = Notes()
    wire = await watched(gateway, notes, notes)
    assert notes.told == []

    wire.close()

    await eventually(lambda: gateway.server.connection_count == 0)
    assert notes.words == ["left"]


async def test_a_client_that_resets_a_connection_has_left(gateway: Gateway) -> None:
    """So does one whose machine restarted."""
    notes = Notes()
    wire = await watched(gateway, notes)

    wire.writer.transport.abort()

    await eventually(lambda: notes.told)
    assert notes.words == ["left"]


async def test_a_client_that_leaves_in_the_middle_of_a_request_has_left(gateway: Gateway) -> None:
    """Whatever it was about to ask."""
    notes = Notes()
    wire = await watched(gateway, notes)
    await wire.send(GET[:-4])

    wire.close()

    await eventually(lambda: notes.told)
    assert notes.words == ["left"]


async def test_a_connection_that_the_server_ends_was_not_left(gateway: Gateway) -> None:
    """Nor is a client's own end of it taken for that, which follows."""
    asked_for, with_the_server = Notes(), Notes()
    once = await watched(gateway, asked_for, request=b"GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n")
    assert await once.ends()
    once.close()
    await watched(gateway, with_the_server)

    await gateway.server.close(1.0)

    assert (asked_for.words, with_the_server.words) == (["released"], ["released"])


async def test_a_refused_client_has_not_left(gateway: Gateway) -> None:
    """Its connection is ended for what it sent."""
    notes = Notes()
    wire = await watched(gateway, notes)

    await wire.send(b"nonsense\r\n\r\n")
    refused = await wire.answer()
    wire.close()

    await eventually(lambda: notes.told)
    assert (refused.status, notes.words) == (400, ["released"])


async def test_one_watches_at_a_time(gateway: Gateway) -> None:
    """The first is told when another takes its place, and nothing after."""
    first, second = Notes(), Notes()
    wire = await watched(gateway, first, second)

    wire.close()

    await eventually(lambda: second.told)
    assert (first.words, second.words) == (["released"], ["left"])
    assert first.told[0][1] is second.told[0][1]


async def test_a_connection_whose_end_is_waited_for_is_kept(gateway: Gateway) -> None:
    """For as long as it is: then it goes as idle ones do."""
    kept, usual = Notes(is_awaiting=True), Notes()
    await watched(gateway, kept)
    await watched(gateway, usual)

    look_much_later(gateway)
    await eventually(lambda: usual.told)
    look_much_later(gateway)
    before = (kept.words, gateway.server.connection_count)
    kept.is_awaiting = False
    look_much_later(gateway)

    await eventually(lambda: kept.told)
    assert before == ([], 1)
    assert (kept.words, usual.words) == (["released"], ["released"])


def look_much_later(gateway: Gateway) -> None:
    """What the server does when its connections have been idle for too long."""
    shared = gateway.server._shared  # noqa: SLF001 - its own clock would have to be waited for
    for connection in list(shared.connections):
        connection.sweep(shared.loop.time() + 2 * shared.limits.idle_seconds)
