"""Requests that resemble the one before them: a client writes the same headers each time, with a few other values.

Only what is new in a head is read; by the same rules as in `plain`, against which the tests hold it. What steers a
request (its host, its token, whom it claims to come from) or says how it is framed has to be the same, but for the
length of a body: else the head is read anew. So is any head that no replica was sent: the gateway's own handlers may
keep theirs for longer than an exchange lasts.
"""

from __future__ import annotations

from collections.abc import Callable

from flashcore.gateway.http.head import RequestHead
from flashcore.gateway.http.parse import is_usable_id
from flashcore.gateway.http.plain import SPEAKING, is_plain_length, is_plain_value, plain_request_line

_LENGTH, _ID = b"content-length", b"x-request-id"
_READ = frozenset({_LENGTH, _ID})
_NEVER = b"\r\n"
"""What lines are split by: none begins with it."""
_STEERING = frozenset(
    {
        b"authorization",
        b"forwarded",
        b"host",
        b"x-flashcore-revision",
        b"x-flashcore-token",
        b"x-forwarded-for",
        b"x-forwarded-host",
        b"x-forwarded-proto",
    }
) | (SPEAKING - _READ)


class RecurringHead:
    """The last head of a connection. Its exchange is over when the next one is read, so it becomes that one."""

    __slots__ = ("_begins", "_head", "_lines", "_names", "_raw")

    def __init__(self, raw: bytes, head: RequestHead, *, plain: bool) -> None:
        self._raw = raw
        self._head = head
        self._lines: list[bytes] | None = raw.split(b"\r\n") if plain else None
        """Of one that can become another: the request line, those of the headers, two that are empty."""
        self._names: list[bytes] = []
        self._begins: list[bytes] = []
        """Of each line, what is not its value: found out when it is first asked for, of most heads never."""

    def again(self, raw: bytes, new_id: Callable[[], bytes]) -> RequestHead | None:
        """The head that these bytes are, where they are like those before; `new_id` as in `parse`.

        Where they are not, it is of no more use.
        """
        head = self._head
        if raw != self._raw:
            known = self._lines
            if known is None or head.plan is None:
                return None
            lines = raw.split(b"\r\n")
            if len(lines) != len(known) or not self._becomes(head, lines, known):
                return None
            self._raw = raw
        if _ID not in head.index or not head.has_given_id:
            head.request_id = new_id()
        return head

    def _becomes(self, head: RequestHead, lines: list[bytes], known: list[bytes]) -> bool:
        """Take over the lines that changed, where all that changed are values."""
        begins = self._begins or self._look_at(head)
        self._lines = None
        for at in [at for at, line in enumerate(lines) if line != known[at]]:
            line, begin, name = lines[at], begins[at], self._names[at]
            if not line.startswith(begin):
                return False
            value = line[len(begin) :]
            if not name:
                if not _ask(head, line):
                    return False
                continue
            if not value.isalnum() and not is_plain_value(value):
                return False
            head.index[name] = value
            if name in _READ:
                if name == _ID:
                    head.request_id = value if is_usable_id(value) else b""
                elif is_plain_length(value):
                    line = _resize(head, int(value))
                else:
                    return False
            if head.outline is not None:
                head.outline.replace(name, line)
        self._lines = lines
        head.lines = lines[1:-2]
        return True

    def _look_at(self, head: RequestHead) -> list[bytes]:
        self._names = [b"", *head.names]
        self._begins = [b""]
        for name, line in zip(head.names, head.lines, strict=True):
            self._begins.append(_NEVER if name in _STEERING else line[: len(name) + 2])
        return self._begins


def _ask(head: RequestHead, line: bytes) -> bool:
    asked = plain_request_line(line)
    if asked is None:
        return False
    head.method, head.target = asked
    head.path, _, head.query = head.target.partition(b"?")
    return True


def _resize(head: RequestHead, size: int) -> bytes:
    head.content_length, head.has_body = size, bool(size)
    return b"content-length: %d" % size
