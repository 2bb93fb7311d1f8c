"""HTTP as the client speaks it: what is reused, what is repeated, what is never repeated."""

import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
from tests.client.conftest import Answer, Gateway, Seen, completed

from flashcore import DeadlineExceeded, LoadBalancedEndpoint, QueueEndpoint, Unavailable
from flashcore.client.carry import Carrier
from flashcore.client.exchange import Request, insist
from flashcore.client.transport import Transport
from flashcore.model.errors import ConfigurationError

endpoint = QueueEndpoint("work")
web = LoadBalancedEndpoint("web")


@web.post("/order")
def order() -> None:
    """Happens as often as it is asked for."""


@endpoint.function
def double(number: int) -> int:
    """Twice the number."""
    return 2 * number


@endpoint.function
def echo(text: str) -> str:
    """The same text."""
    return text


def test_one_thread_uses_one_connection(gateway: Gateway) -> None:
    """Blocking calls do not connect anew each time."""
    gateway.complete(1)

    for _ in range(3):
        double.remote(1)

    assert len({seen.connection for seen in gateway.seen}) == 1


def test_each_thread_has_its_own_connection(gateway: Gateway) -> None:
    """Two threads never share a connection, and so never each other's answers."""
    gateway.complete(1)
    threads = [threading.Thread(target=double.remote, args=(1,)) for _ in range(3)]

    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len({seen.connection for seen in gateway.seen}) == 3


def test_a_connection_that_the_gateway_closed_is_not_used_again(gateway: Gateway) -> None:
    """A request after a long pause is not lost to a connection that has ended meanwhile, even one sent once only."""
    gateway.answer = lambda _: Answer(body=None, close=True)
    order.remote()
    assert gateway.closed.wait(60)

    order.remote()

    assert len({seen.connection for seen in gateway.seen}) == 2


async def test_a_job_is_submitted_again_under_the_same_key(gateway: Gateway) -> None:
    """The gateway went away with the request, and knows when it comes back that it has carried it out."""
    answers = iter([Answer(drop=True), Answer(drop=True), Answer(body=completed(2)), Answer(drop=True)])
    gateway.answer = lambda _: next(answers, Answer(body=completed(4)))

    assert double.remote(1) == 2
    assert await double(2) == 4

    keys = [seen.headers["idempotency-key"] for seen in gateway.seen]
    assert len(keys) == 5
    assert (len(set(keys[:3])), len(set(keys[3:])), len(set(keys))) == (1, 1, 2)


async def test_a_request_that_may_have_been_carried_out_is_not_repeated(gateway: Gateway) -> None:
    """When the connection breaks after it was sent, the caller is told, and decides."""
    gateway.answer = lambda _: Answer(drop=True)

    with pytest.raises(Unavailable, match="not known whether the call was carried out"):
        order.remote()
    with pytest.raises(Unavailable, match="not known whether the call was carried out"):
        await order()

    assert len(gateway.seen) == 2


def test_a_kept_connection_that_breaks_is_no_reason_to_repeat(gateway: Gateway) -> None:
    """The request may have gone out on it."""
    answers = iter([Answer(), Answer(drop=True)])
    gateway.answer = lambda _: next(answers)
    order.remote()

    with pytest.raises(Unavailable, match="not known whether"):
        order.remote()

    assert len(gateway.seen) == 2


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_a_gateway_that_answered_before_is_waited_for(gateway: Gateway, nobody: str, method: str) -> None:
    """It restarts, perhaps on another port; nothing was sent meanwhile, so that every request may wait."""
    gateway.answer = lambda _: Answer(body="here")
    places = iter([gateway.url, nobody, nobody, gateway.url, nobody])
    carrier = Carrier(lambda: next(places, gateway.url))

    for _ in range(2):
        assert carrier.carry(insist(Request(method, "/"))).body == b'"here"'
    assert (await carrier.carry_async(insist(Request(method, "/")))).body == b'"here"'


def test_patience_with_a_gateway_ends(gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    """It did not come back."""
    monkeypatch.setattr("flashcore.client.exchange.PATIENCE", 0.2)
    gateway.answer = lambda _: Answer(drop=True)

    with pytest.raises(Unavailable, match="broke during POST /v2/work/runsync"):
        double.remote(1)

    assert len(gateway.seen) > 1


def test_a_question_about_a_job_is_asked_again(gateway: Gateway) -> None:
    """The job is on disk: a gateway that restarts still knows of it."""
    answers: Iterator[Answer] = iter(
        [
            Answer(body={"id": "j", "status": "IN_PROGRESS"}),
            Answer(drop=True),
            Answer(drop=True),
            Answer(body=completed(7, "j")),
        ]
    )
    gateway.answer = lambda _: next(answers)

    assert double.remote(1) == 7


async def test_answers_in_chunks_are_put_together(gateway: Gateway) -> None:
    """Whatever stands between may change how the body is framed."""
    gateway.answer = lambda _: Answer(body=completed("x" * 100), chunked=True)

    assert await echo("") == "x" * 100
    assert echo.remote("") == "x" * 100


def test_a_gateway_that_is_starting_is_waited_for_a_moment(monkeypatch: Any) -> None:
    """A refused connection has carried nothing, so connecting is tried again."""
    refused, listens = threading.Event(), threading.Event()

    def pause(_seconds: float) -> None:
        refused.set()
        assert listens.wait(60)

    monkeypatch.setattr(time, "sleep", pause)
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))

        def serve_late() -> None:
            assert refused.wait(60)
            server.listen()
            listens.set()
            connection, _ = server.accept()
            with connection:
                connection.recv(65536)
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok")

        thread = threading.Thread(target=serve_late)
        thread.start()
        response = Transport().send(f"http://127.0.0.1:{server.getsockname()[1]}", Request("GET", "/"))
        thread.join()

    assert (response.status, response.body) == (200, b"ok")


@pytest.fixture
def nobody() -> Iterator[str]:
    """An address where nobody listens, and nobody else can."""
    with socket.socket() as placeholder:
        placeholder.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{placeholder.getsockname()[1]}"


async def test_nobody_there_is_an_error_with_a_next_step(nobody: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The caller hears the address, and what to do; one that was never there is not waited for."""
    monkeypatch.setenv("FLASHCORE_GATEWAY_URL", nobody)
    stranger = QueueEndpoint("stranger")
    double = stranger.function(lambda number: 2 * number)

    with pytest.raises(Unavailable, match=r"nothing answers at http://127\.0\.0\.1:\d+ .*\n.*flashcore server start"):
        double.remote(1)
    with pytest.raises(Unavailable, match="nothing answers"):
        await double(1)


@pytest.fixture
def silent() -> Iterator[str]:
    """A server that takes connections and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"http://127.0.0.1:{server.getsockname()[1]}"


async def test_an_answer_that_does_not_come_is_a_deadline(silent: str) -> None:
    """Both ways of calling give up after the request's own time."""
    request = Request("GET", "/x", timeout=0.1)

    with pytest.raises(DeadlineExceeded, match=r"did not answer GET /x within 0\.1 s"):
        Transport().send(silent, request)
    with pytest.raises(DeadlineExceeded, match=r"did not answer GET /x within 0\.1 s"):
        await Transport().send_async(silent, request)


@pytest.mark.parametrize("url", ["gateway:8700", "ftp://host", "http://", "http://host:port", "http://[::1"])
def test_an_address_that_cannot_be_used_says_why(url: str, monkeypatch: Any) -> None:
    """A typing error in the variable is not a network problem."""
    monkeypatch.setenv("FLASHCORE_GATEWAY_URL", url)

    with pytest.raises(ConfigurationError, match="cannot be used"):
        double.remote(1)


async def test_a_path_in_front_of_the_gateway_is_kept(gateway: Gateway, monkeypatch: Any) -> None:
    """A proxy may serve the gateway below a path of its own."""
    monkeypatch.setenv("FLASHCORE_GATEWAY_URL", gateway.url + "/below/")
    gateway.complete(1)

    double.remote(1)
    await double(1)

    assert all(seen.target.startswith("/below/v2/work/runsync") for seen in gateway.seen)


def test_the_body_arrives_as_it_was(gateway: Gateway) -> None:
    """Text outside of ASCII, and a megabyte of it."""
    text = "grün 漢字 " * 100_000

    def answer(seen: Seen) -> Answer:
        return Answer(body=completed(seen.call.arguments.args[0]))

    gateway.answer = answer

    assert echo.remote(text) == text
