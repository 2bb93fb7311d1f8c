"""A gateway on loopback that answers as a test says, over real sockets."""

import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from flashcore.wire import calls
from flashcore.wire.envelope import Call, unwrap_call, wrap_value


@dataclass
class Seen:
    """A request as the gateway saw it."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes
    connection: int
    """Number of the connection that it came on."""

    @property
    def call(self) -> Call:
        """The call in a job's input."""
        return unwrap_call(json.loads(self.body)["input"])


@dataclass
class Answer:
    """What the gateway says. `drop` closes the connection instead, before any byte of an answer."""

    status: int = 200
    body: Any = None
    headers: dict[str, str] = field(default_factory=dict)
    drop: bool = False
    close: bool = False
    """Close the connection silently after the answer, as a server does with one that was idle for long."""
    chunked: bool = False


@dataclass
class Gateway:
    """What the test says is answered, and what was asked."""

    url: str = ""
    seen: list[Seen] = field(default_factory=list)
    knocks: int = 0
    """How often it was asked for a link."""
    answer: Callable[[Seen], Answer] = lambda _: Answer(404, {"error": {"code": "not_found", "message": "no"}})
    closed: threading.Event = field(default_factory=threading.Event)
    """Set when the gateway has closed a connection as `close` says."""

    def complete(self, value: Any) -> None:
        """Answer every job with this value."""
        self.answer = lambda _: Answer(body=completed(value))


def completed(value: Any, job: str = "job-1") -> dict[str, Any]:
    """The document of a job that is done."""
    return {"id": job, "status": "COMPLETED", "output": wrap_value(value)}


class Handler(BaseHTTPRequestHandler):
    """Asks the gateway of its server what to answer."""

    protocol_version = "HTTP/1.1"
    gateway: Gateway

    def handle_one_request(self) -> None:
        """One request of any method."""
        self.raw_requestline = self.rfile.readline(65537)
        if not self.raw_requestline or not self.parse_request():
            self.close_connection = True
            return
        if self.path.endswith(calls.PATH):
            self.gateway.knocks += 1
            self.say(Answer(404))  # as who knows of no links
            return
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        headers = {name.lower(): value for name, value in self.headers.items()}
        seen = Seen(self.command, self.path, headers, body, self.client_address[1])
        self.gateway.seen.append(seen)
        self.say(self.gateway.answer(seen))

    def say(self, answer: Answer) -> None:
        """Write the answer."""
        if answer.drop:
            self.close_connection = True
            return
        is_bytes = isinstance(answer.body, bytes)
        body = answer.body if is_bytes else b"" if answer.body is None else json.dumps(answer.body).encode()
        self.send_response(answer.status)
        for name, value in {"Content-Type": "application/json", **answer.headers}.items():
            self.send_header(name, value)
        if answer.chunked:
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            pieces = [body[at : at + 7] for at in range(0, len(body), 7)]
            self.wfile.write(b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n")
        else:
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)
        self.wfile.flush()
        self.close_connection = self.close_connection or answer.close

    def finish(self) -> None:
        """Tell when the connection is gone."""
        super().finish()
        self.connection.close()
        self.gateway.closed.set()

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the standard library's name for it
        """Say nothing."""


@pytest.fixture
def gateway(monkeypatch: pytest.MonkeyPatch) -> Iterator[Gateway]:
    """A running gateway, which calls of this process go to."""
    made = Gateway()
    handler = type("OwnHandler", (Handler,), {"gateway": made})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        made.url = f"http://127.0.0.1:{server.server_port}"
        monkeypatch.setenv("FLASHCORE_GATEWAY_URL", made.url)
        yield made
        server.shutdown()
        thread.join()
