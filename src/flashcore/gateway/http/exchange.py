"""One request and its answer, seen from the connection that it came on; and that connection, seen from them."""

from __future__ import annotations

from typing import Protocol

from flashcore.gateway.http.forward import PeerLines
from flashcore.gateway.http.respond import Response, Watcher
from flashcore.model.light import light


@light
class Dismissal:
    """Why somebody who was let in may not go on."""

    answer: Response
    """What is said where no answer has begun."""
    reason: str
    """The same in a few words, for protocols that have no room for more."""


class Exchange(Protocol):
    """What a client connection tells the exchange that it is busy with."""

    @property
    def is_ours(self) -> bool:
        """Whether it is the gateway itself that owes an answer here, and no replica."""
        ...

    def start(self) -> None:
        """Begin; the body, where there is one, follows. Raises `BadRequest` to refuse it."""
        ...

    def receive(self, data: bytes) -> None:
        """A piece of the request body. Raises `BadRequest` to refuse it."""
        ...

    def receive_end(self) -> None:
        """The request body is complete."""
        ...

    def hold_output(self) -> None:
        """The client reads slower than it is written to."""
        ...

    def release_output(self) -> None:
        """The client has room again."""
        ...

    def expire(self) -> None:
        """The time is up that was set by `Client.answer_by`."""
        ...

    def end_input(self) -> bool:
        """The client will send nothing more; whether the exchange goes on nevertheless."""
        ...

    def leave(self) -> bool:
        """The server stops. Whether this will be over by itself: nobody can say so of a tunnel."""
        ...

    def dismiss(self, why: Dismissal) -> bool:
        """The client may not go on. Whether that was said in a way of the exchange's own, which has ended with it."""
        ...

    def retire(self) -> None:
        """Another gateway is in this one's place. What a replica is at goes on."""
        ...

    def abandon(self) -> None:
        """The client is gone, or is refused: let go of everything, write nothing."""
        ...


class Client(Protocol):
    """What an exchange may ask of the client connection."""

    peer: str
    peer_lines: PeerLines

    def watch(self, watcher: Watcher) -> None:
        """Tell `watcher` how the connection ends, in place of whoever was to be told before."""
        ...

    def write(self, data: bytes) -> None:
        """Send bytes of the answer."""
        ...

    def close_after(self) -> None:
        """This answer is the connection's last: said before `connection_line`."""
        ...

    def connection_line(self) -> bytes:
        """The Connection header of the answer, which begins with it; from here on nothing can be refused."""
        ...

    def respond(self, response: Response) -> None:
        """Send a whole answer and finish. One with an iterator for a body is not sent this way."""
        ...

    def finish(self) -> None:
        """The answer is complete."""
        ...

    def cut(self) -> None:
        """The answer cannot be completed: end the connection after what was written, without its proper end."""
        ...

    def part(self) -> None:
        """As `cut`, but read on for a little, so that a client that is sending sees what was written."""
        ...

    def turn_out(self, reason: str) -> None:
        """As `cut`, for what the client does, whom no answer can tell: counted by the stable name of the reason."""
        ...

    def reset(self) -> None:
        """As `cut`, where the end of the connection would pass for the end of the answer: the client sees a reset."""
        ...

    def crash(self, error: BaseException) -> None:
        """Something above or within the engine failed: report it and answer 500, or cut what had begun."""
        ...

    def answer_by(self, time: float) -> None:
        """Call `Exchange.expire` once the loop's clock passes `time`; infinity takes it back."""
        ...

    def hold_input(self) -> None:
        """Read no further from the client."""
        ...

    def release_input(self) -> None:
        """Read on."""
        ...

    def hand_over(self, exchange: Exchange) -> None:
        """The request goes on as `exchange`; no time is set for it."""
        ...

    def become_tunnel(self, tunnel: Exchange) -> None:
        """From here on bytes have no meaning: all of them go to `tunnel`."""
        ...
