"""Who may come in: the tokens that this gateway knows, and what it says to those that it does not."""

from __future__ import annotations

import hmac
import logging
import time
from collections.abc import Callable
from math import inf
from pathlib import Path

from flashcore.gateway.http.head import RequestHead
from flashcore.gateway.http.respond import Response, error_response
from flashcore.model.token import ALL_SCOPES, Token, TokenScope, bare_token, inner_token, token_parts

_log = logging.getLogger(__name__)

TOKEN_HEADER = b"x-flashcore-token"
"""For callers whose Authorization is meant for the endpoint."""

_REMEMBERED = 1024
_LOOK_AGAIN = 1.0
_QUIET = 10.0
_CHALLENGE = ((b"www-authenticate", b'Bearer realm="flashcore"'),)
_LOOPBACK = ("127.0.0.1", "localhost", "[::1]")


class Refusals:
    """How often somebody was refused, and a line in the log about it now and then: an attack must not fill a disk."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self.counts: dict[str, int] = {}
        self._now = now
        self._unsaid = 0
        self._said_at = -_QUIET

    def note(self, reason: str, peer: str, token: str) -> None:
        """Count one. `token` is the public part of what was shown, or nothing."""
        self.counts[reason] = self.counts.get(reason, 0) + 1
        self._unsaid += 1
        if self._now() - self._said_at >= _QUIET:
            _log.warning("refused: %s, from %s, token %s (%d requests since the last such line)",
                         reason, peer or "a socket", token or "-", self._unsaid)  # fmt: skip
            self._said_at, self._unsaid = self._now(), 0


class Keyring:
    """All tokens. `required` False lets in who shows none, unless it is a page of another site in a browser."""

    def __init__(self, admin_file: Path, *, required: bool) -> None:
        self.refusals = Refusals()
        self._required = required
        self._admin_file = admin_file
        self._admin = ""
        self._inner = ""
        self._looked_at = 0.0
        self._tokens: dict[str, Token] = {}
        self._known: dict[bytes, tuple[frozenset[TokenScope], float]] = {}
        """By Authorization header: what it allows, and until when. A dict compares hashes made with a secret of this
        process, and bytes only where those are equal: how long it takes tells nothing of a token."""

    def take_over(self, tokens: tuple[Token, ...]) -> None:
        """From now on these are the tokens, beside the environment's own."""
        self._tokens = {token.id: token for token in tokens}
        self._known.clear()

    def refusal(self, head: RequestHead, peer: str, any_of: frozenset[TokenScope]) -> Response | None:
        """What the sender of a request is told that one of these scopes is needed for; None: it may pass."""
        index = head.index
        shown = index.get(TOKEN_HEADER) or index.get(b"authorization")
        if shown is None:
            return self._without_token(head, peer)
        if not self._required:
            return None
        allowed, until = self._known.get(shown) or self._look_up(shown)
        if not allowed or (until != inf and time.time() >= until):
            return self._unauthorized("the token is not valid here", peer, shown)
        if TokenScope.ADMIN in allowed or not allowed.isdisjoint(any_of):
            return None
        return self._forbidden(any_of, peer, shown)

    def take_token(self, head: RequestHead) -> None:
        """Take a token of ours out of a request that goes on to a replica: it is none of the endpoint's business.

        Also where none is needed: the client shows its own to every gateway of its project. Any other Authorization is
        the endpoint's.
        """
        shown = head.index.get(b"authorization")
        if shown is not None and (self._known.get(shown) or self._look_up(shown))[0]:
            head.withheld = b"authorization"

    def _without_token(self, head: RequestHead, peer: str) -> Response | None:
        if self._required:
            return self._unauthorized("there is no token", peer, b"")
        if b"origin" in head.index or b"sec-fetch-site" in head.index:
            return self._of_a_page(head, peer)
        return None

    def _of_a_page(self, head: RequestHead, peer: str) -> Response | None:
        """Any site that somebody on this machine visits could call a gateway that asks for no token."""
        origin = head.index.get(b"origin", b"").decode("latin-1")
        if origin:
            host = origin.partition("://")[2]
            name = host if host.startswith("[") else host.rpartition(":")[0] or host
            name = name.partition("]")[0] + "]" if name.startswith("[") else name
            is_ours = name in _LOOPBACK or name.endswith(".localhost")
        else:
            is_ours = head.index.get(b"sec-fetch-site") != b"cross-site" or _is_link(head)
        if is_ours:
            return None
        self.refusals.note("a page of another site", peer, "")
        return error_response(
            403,
            "foreign_page",
            "A page of another site has asked for this, and no token is needed here.",
            next_step='declare the endpoint with public=True, or set auth = "on" and send a token',
        )

    def _look_up(self, shown: bytes) -> tuple[frozenset[TokenScope], float]:
        found = self._scopes(bare_token(shown.decode("latin-1")))
        if found[0]:
            if len(self._known) >= _REMEMBERED:
                self._known.clear()
            self._known[shown] = found
        return found

    def _scopes(self, text: str) -> tuple[frozenset[TokenScope], float]:
        """What a token allows, and until when: nothing where it is none of ours."""
        parts = token_parts(text)
        token = None if parts is None else self._tokens.get(parts[0])
        if parts is not None and token is not None and token.is_made_of(parts[1]):
            return frozenset(token.scopes), inf if token.expires_at is None else token.expires_at
        self._read_admin()
        if self._admin and hmac.compare_digest(text.encode(), self._admin.encode()):
            return ALL_SCOPES, inf
        if self._inner and hmac.compare_digest(text.encode(), self._inner.encode()):
            return frozenset({TokenScope.CALL}), inf
        return frozenset(), 0.0

    def _read_admin(self) -> None:
        """The environment's own token, read anew now and then: it may have been replaced."""
        if self._admin and time.monotonic() - self._looked_at < _LOOK_AGAIN:
            return
        self._looked_at = time.monotonic()
        try:
            text = self._admin_file.read_text(encoding="ascii").strip()
        except (OSError, UnicodeDecodeError):
            text = ""
        if text != self._admin:
            self._admin, self._inner = text, inner_token(text) if text else ""
            self._known.clear()

    def _unauthorized(self, reason: str, peer: str, shown: bytes) -> Response:
        self.refusals.note(reason, peer, _public_part(shown))
        return error_response(
            401,
            "unauthorized",
            f"A token is needed here: {reason}.",
            _CHALLENGE,
            next_step="send it as Authorization: Bearer TOKEN; make one: flashcore token create",
        )

    def _forbidden(self, any_of: frozenset[TokenScope], peer: str, shown: bytes) -> Response:
        self.refusals.note("the token lacks the scope", peer, _public_part(shown))
        wanted = " or ".join(sorted(scope.value for scope in any_of))
        return error_response(
            403,
            "forbidden",
            f"This token does not allow that: it needs the scope {wanted}.",
            next_step=f"make one that does: flashcore token create --scope {min(scope.value for scope in any_of)}",
        )


def _is_link(head: RequestHead) -> bool:
    """Somebody followed a link to here, which reads nothing for the page that has the link."""
    return head.method == b"GET" and head.index.get(b"sec-fetch-mode") == b"navigate"


def _public_part(shown: bytes) -> str:
    parts = token_parts(bare_token(shown.decode("latin-1")))
    return f"fc_{parts[0][:12]}" if parts is not None and parts[0].isalnum() else ""
