"""The start of a request's body, before anybody is chosen to be sent it.

What is kept here is what a relay keeps anyway until a replica answers: it goes on to the relay, which can send it to
one replica after another.
"""

from __future__ import annotations

from flashcore.gateway.http.exchange import Client, Dismissal
from flashcore.gateway.http.head import RequestHead, without_expectation
from flashcore.gateway.http.relay import Relay
from flashcore.gateway.http.respond import CONTINUE
from flashcore.gateway.http.route import Peek
from flashcore.gateway.http.shared import Shared


class PeekingExchange:
    """Waits for as much of the body as the route wants to see; then a relay takes its place. It holds no lease.

    A client that waits for leave to send is given it here: the replica that it would have to come from is not known.
    """

    __slots__ = ("_client", "_complete", "_head", "_held", "_is_due", "_peek", "_pieces", "_shared", "_size", "_wanted")

    def __init__(self, client: Client, shared: Shared, head: RequestHead, peek: Peek) -> None:
        self._client = client
        self._shared = shared
        self._head = head
        self._peek = peek
        self._pieces: list[bytes] = []
        self._size = 0
        self._wanted = min(peek.size, shared.limits.replay_bytes)
        self._complete = not head.has_body
        self._held = False
        self._is_due = False

    @property
    def is_ours(self) -> bool:
        """A replica answers."""
        return False

    def start(self) -> None:
        """Wait for the body, or go on at once where there is none."""
        if self._complete:
            self._go_on()
            return
        self._client.answer_by(self._shared.loop.time() + self._shared.limits.peek_seconds)
        if self._head.expects_continue:
            self._head = without_expectation(self._head)
            self._client.write(CONTINUE)

    def receive(self, data: bytes) -> None:
        """Keep a piece, and go on once there is enough; but a whole body's end comes right behind its last piece."""
        self._pieces.append(data)
        self._size += len(data)
        if self._size >= self._wanted and self._size != self._head.content_length:
            self._go_on()

    def receive_end(self) -> None:
        """All of it is here."""
        self._complete = True
        self._go_on()

    def expire(self) -> None:
        """The client is slow: the choice is made by what there is."""
        self._go_on()

    def hold_output(self) -> None:
        """The client has yet to read earlier answers: nobody is asked for another one before."""
        self._held = True

    def release_output(self) -> None:
        """The client has read them."""
        self._held = False
        if self._is_due:
            self._go_on()

    def end_input(self) -> bool:
        """A client that closes its side is one that left: the two look the same."""
        return False

    def leave(self) -> bool:
        """It ends with its answer."""
        return True

    def dismiss(self, why: Dismissal) -> bool:  # noqa: ARG002 - it is said in place of the answer
        """It has no way of its own."""
        return False

    def retire(self) -> None:
        """The choice that is to come is not made here."""

    def abandon(self) -> None:
        """Nobody was chosen: there is nothing to give back."""

    def _go_on(self) -> None:
        if self._held:
            self._is_due = True
            self._client.hold_input()
            return
        relay = Relay(self._client, self._shared, self._head, self._peek.proxy)
        self._client.hand_over(relay)
        try:
            self._peek.see(b"".join(self._pieces), self._size if self._complete else self._head.content_length)
        except Exception as error:  # noqa: BLE001 - the route is the layer above's: the client is told 500, the loop why
            self._client.crash(error)
        else:
            relay.start_with(self._pieces, complete=self._complete)
