"""Links for blocking calls: each is one call's at a time, and waits for the next in a pool that all threads share."""

from __future__ import annotations

import os
import select
import socket
import time
from collections import deque
from weakref import finalize

from flashcore.client.exchange import Response, Submission, Told
from flashcore.client.link import OPENING, Line, NoLink, Opening, Talk, encode_submission, opening, reading_room
from flashcore.client.transport import broken, connect, too_slow
from flashcore.model.errors import Unavailable

MOST_IDLE = 64
"""Links that are kept for the next calls."""

_PIECE = 1 << 16


class BlockingLinks:
    """Those of one process."""

    def __init__(self) -> None:
        self._idle: deque[_Link] = deque(maxlen=MOST_IDLE)
        self._without: dict[Line, float] = {}

    def exchange(self, line: Line, submission: Submission) -> Told | Response | None:
        """Submit, and wait for what is said of it; None where there are no links. Raises as HTTP does."""
        if self._without and self._without.get(line, 0.0) > time.monotonic():
            return None
        kept = self._take(line)
        if kept is not None:
            try:
                return self._over(kept, submission)
            except Unavailable:
                pass  # a server closes what was idle for long just as a call comes; it is the same job again
        try:
            link = _open(line, submission.timeout)
        except NoLink as no:
            self._without[line] = time.monotonic() + no.seconds
            return None
        return self._over(link, submission)

    def _over(self, link: _Link, submission: Submission) -> Told | Response:
        said = link.exchange(submission)
        if not link.talk.is_going:
            self._idle.append(link)
        return said

    def _take(self, line: Line) -> _Link | None:
        while self._idle:
            try:
                link = self._idle.pop()
            except IndexError:
                return None  # another thread was quicker
            if link.is_good_for(line):
                return link
        return None


class _Link:
    """One connection. It is closed when nobody has it any more."""

    def __init__(self, line: Line, sock: socket.socket) -> None:
        self.talk = Talk()
        self._line = line
        self._sock = sock
        self._pid = os.getpid()
        self._number = 0
        self._room = reading_room()
        self._poll = select.poll()
        self._poll.register(sock, select.POLLIN)
        # Not by __del__: collected with all that leads to it, the socket would go first and complain.
        self._closing = finalize(self, sock.close)

    def is_good_for(self, line: Line) -> bool:
        """Whether it leads there, is this process's own, and has nothing to say that nobody has asked for."""
        # A forked child shares the parent's sockets: what one sends, the other's answers would be mixed with.
        return self._line == line and self._pid == os.getpid() and not self._poll.poll(0)

    def exchange(self, submission: Submission) -> Told | Response:
        """Submit, and wait; `timeout` holds for each wait. Raises Unavailable, DeadlineExceeded or ProtocolError."""
        self._number = number = self._number + 1
        try:
            if self._sock.gettimeout() != submission.timeout:
                self._sock.settimeout(submission.timeout)
            self._sock.sendall(encode_submission(number, submission))
            return self._await(number)
        except TimeoutError as error:
            self._closing()
            raise too_slow(self._line.address, submission.request()) from error
        except (OSError, EOFError) as error:
            self._closing()
            raise broken(self._line.address, submission.request(), error) from error
        except BaseException:  # interrupted half-way: the link is of no use to the next call
            self._closing()
            raise

    def _await(self, number: int) -> Told | Response:
        found: Told | Response | None = None
        while found is None:
            count = self._sock.recv_into(self._room)
            if not count:
                raise EOFError("the link ended before the answer came")
            for about, said in self.talk.heard(self._room[:count]):
                if about == number:
                    found = said
        return found


def _open(line: Line, timeout: float) -> _Link:
    """Raises Unavailable where nobody answers, NoLink where there are none."""
    connection = connect(line.address, timeout)
    sock: socket.socket = connection.sock
    try:
        rest = _agreed(line, sock, min(timeout, OPENING))
    except BaseException:
        sock.close()
        raise
    link = _Link(line, sock)
    for _ in link.talk.heard(rest):
        pass  # nothing was asked yet
    return link


def _agreed(line: Line, sock: socket.socket, timeout: float) -> bytes:
    """Ask for the link; what follows the answer."""
    reading = Opening()
    try:
        sock.settimeout(timeout)
        sock.sendall(opening(line))
        while (rest := reading.feed(sock.recv(_PIECE))) is None:
            pass
    except OSError as error:
        raise NoLink(0.0) from error
    return rest
