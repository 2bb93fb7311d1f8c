"""After 101: bytes go through as they come, in both directions, until either side ends."""

from __future__ import annotations

from collections.abc import Callable

from flashcore.gateway.http.errors import OutcomeKind
from flashcore.gateway.http.exchange import Client, Dismissal
from flashcore.gateway.http.head import ResponseHead
from flashcore.gateway.http.upstream import UpstreamConnection
from flashcore.gateway.http.websocket import POLICY_VIOLATION, RESTARTING, FrameEnds, close_frame


class Tunnel:
    """Takes the place of the relay, towards the client and towards the replica.

    A client may close its half and still hear the replica out. A replica that closes its half ends the tunnel: on a
    Unix socket that is how its death looks, and a client that has nothing to say would never find out.
    """

    __slots__ = ("_client", "_connection", "_end", "_frames", "request_done")

    def __init__(
        self,
        client: Client,
        connection: UpstreamConnection,
        end: Callable[[OutcomeKind], None],
        frames: FrameEnds | None = None,
    ) -> None:
        self._client = client
        self._connection = connection
        self._end = end
        self._frames = frames
        """Where the frames of a WebSocket end that the replica sends; None for other protocols."""
        self.request_done = False

    # -- from the client -------------------------------------------------------------------------------------------

    @property
    def is_ours(self) -> bool:
        """A replica answers."""
        return False

    def start(self) -> None:
        """Nothing is left to begin."""

    def receive(self, data: bytes) -> None:
        """On to the replica."""
        self._connection.write(data)

    def receive_end(self) -> None:
        """A tunnel's input has no end but the connection's."""

    def hold_output(self) -> None:
        """The client is slow: read less from the replica."""
        self._connection.hold()

    def release_output(self) -> None:
        """The client has room again."""
        self._connection.release()

    def expire(self) -> None:
        """No time was set."""

    def end_input(self) -> bool:
        """The client closed its half."""
        self._connection.write_eof()
        return True

    def leave(self) -> bool:
        """It may be open for days. A WebSocket is closed as its protocol says, where that can be."""
        if self._frames is not None and self._frames.is_between:
            self._client.write(close_frame(RESTARTING, "the gateway stops"))
        return False

    def dismiss(self, why: Dismissal) -> bool:
        """Close a WebSocket as its protocol says, between two frames; of another protocol nothing is known."""
        self.abandon()
        if self._frames is not None and self._frames.is_between:
            self._client.write(close_frame(POLICY_VIOLATION, why.reason))
            self._client.part()
        else:
            self._client.reset()
        return True

    def retire(self) -> None:
        """It goes on."""

    def abandon(self) -> None:
        """The client is gone, which is how most tunnels end."""
        self._connection.drop()
        self._end(OutcomeKind.ANSWERED)

    # -- from the replica ------------------------------------------------------------------------------------------

    def interim(self, head: ResponseHead) -> None:
        """There are no heads in a tunnel."""

    def switched(self, head: ResponseHead, rest: bytes) -> None:
        """There are no heads in a tunnel."""

    def answer(self, head: ResponseHead, piece: bytes, done: bool) -> None:  # noqa: FBT001 - see Asker.answer
        """There are no heads in a tunnel."""

    def answer_more(self, piece: bytes, done: bool) -> None:  # noqa: FBT001 - see Asker.answer_more
        """On to the client; with the end of the replica's connection ends the client's."""
        if piece:
            if self._frames is not None:
                self._frames.feed(piece)
            self._client.write(piece)
        if done:
            self._end(OutcomeKind.ANSWERED)
            self._client.cut()

    def lost(self, error: Exception | None) -> None:  # noqa: ARG002 - nobody can be told in a tunnel
        """The replica is gone without a proper end: the client hears of it at once."""
        self._end(OutcomeKind.TRUNCATED)
        self._client.reset()

    def hold_upload(self) -> None:
        """The replica is slow: read less from the client."""
        self._client.hold_input()

    def release_upload(self) -> None:
        """The replica has room again."""
        self._client.release_input()
