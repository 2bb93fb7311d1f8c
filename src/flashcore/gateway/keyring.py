"""Who may come in: the tokens that this gateway knows, and what it says to those that it does not."""

from __future__ import annotations

import hmac
import time
from asyncio import Event
from dataclasses import dataclass, field
from functools import lru_cache
from math import inf
from pathlib import Path

from flashcore.gateway.audit import Refusals, Use, Uses
from flashcore.gateway.http.head import RequestHead
from flashcore.gateway.http.respond import Response, error_response
from flashcore.model.token import ALL_SCOPES, Token, TokenScope, bare_token, inner_token, token_parts

TOKEN_HEADER = b"x-flashcore-token"
"""For callers whose Authorization is meant for the endpoint."""

_REMEMBERED = 1024
_LOOK_AGAIN = 1.0
_CHALLENGE = ((b"www-authenticate", b'Bearer realm="flashcore"'),)
_LOOPBACK = ("127.0.0.1", "localhost", "[::1]")


@dataclass(slots=True, eq=False)
class _Holder:
    """Whose token it is, what it allows and until when."""

    name: str
    allowed: frozenset[TokenScope]
    until: float
    uses: dict[frozenset[TokenScope], Use] = field(default_factory=dict)
    """What it was let in for: found once, on the path of every request."""
    of_file: bool = False
    """It is the environment's own, or made of that: good for as long as the file says so."""

    def allows(self, any_of: frozenset[TokenScope]) -> bool:
        """Whether one of the scopes is among the token's, or all are."""
        return TokenScope.ADMIN in self.allowed or not self.allowed.isdisjoint(any_of)

    def is_over(self, now: float) -> bool:
        """Whether its time is."""
        return self.until != inf and now >= self.until


@dataclass(frozen=True, slots=True)
class Lost:
    """Somebody was let in by a token that is good no longer."""

    answer: Response
    reason: str
    token: str
    """Its name, or the public part of it."""
    what: str
    """What was asked for."""


_NOBODY = _Holder("", frozenset(), 0.0)
_REPLICA = _Holder("a replica's", frozenset({TokenScope.CALL}), inf, of_file=True)


class Keyring:
    """All tokens. `required` False lets in who shows none, unless it is a page of another site in a browser.

    `any_name`: it may be asked for by other names than this machine has for itself, as somebody has published it.
    """

    def __init__(self, admin_file: Path, *, required: bool, any_name: bool = False) -> None:
        self.refusals = Refusals()
        self.withdrawn = Event()
        """Set once a token that was good is so no longer."""
        self._next_end = inf
        """When the next of the tokens expires."""
        self._uses = Uses()
        self._required = required
        self._any_name = any_name
        self._admin_file = admin_file
        self._admin = ""
        self._inner = ""
        self._looked_at = 0.0
        self._tokens: dict[str, Token] = {}
        self._known: dict[bytes, _Holder] = {}
        """By Authorization header. A dict compares hashes made with a secret of this
        process, and bytes only where those are equal: how long it takes tells nothing of a token."""

    def take_over(self, tokens: tuple[Token, ...]) -> None:
        """From now on these are the tokens, beside the environment's own."""
        before, self._tokens = self._tokens, {token.id: token for token in tokens}
        self._known.clear()
        self._next_end = self._end_after(time.time())
        if any(self._tokens.get(token.id) != token for token in before.values()):
            self.withdrawn.set()

    def look_again(self) -> None:
        """Set `withdrawn` where a token has expired, or the environment's own was replaced. Now and then."""
        self._read_admin()
        now = time.time()
        if now >= self._next_end:
            self._next_end = self._end_after(now)
            self.withdrawn.set()

    def lost(self, head: RequestHead, any_of: frozenset[TokenScope]) -> Lost | None:
        """Why the sender of a request, who was let in, may not go on; None: it may, or was let in without a token."""
        shown = head.index.get(TOKEN_HEADER) or head.index.get(b"authorization")
        if shown is None or not self._required:
            return None
        holder = self._holder_of(shown)
        if holder.allows(any_of) and not holder.is_over(time.time()):
            return None
        reason = "the token has expired" if holder.allowed else "the token was revoked"
        self.refusals.counts[reason] = self.refusals.counts.get(reason, 0) + 1
        return Lost(_no_token(reason), reason, holder.name or _public_part(shown), _asked(head))

    def refusal(self, head: RequestHead, peer: str, any_of: frozenset[TokenScope]) -> Response | None:
        """What the sender of a request is told that one of these scopes is needed for; None: it may pass."""
        index = head.index
        shown = index.get(TOKEN_HEADER) or index.get(b"authorization")
        if not self._required:
            return self._unasked(head, peer, shown)
        if shown is None:
            return self._unauthorized("there is no token", head, peer, "")
        holder = self._holder_of(shown)
        use = holder.uses.get(any_of)
        if use is not None and (holder.until == inf or time.time() < holder.until):
            if self._uses.note(use):
                self._uses.tell(use, _asked(head), peer)
            return None
        allowed = holder.allowed
        if not allowed or holder.is_over(time.time()):
            return self._unauthorized("the token is not valid here", head, peer, holder.name or _public_part(shown))
        if not holder.allows(any_of):
            return self._forbidden(any_of, head, peer, holder.name)
        holder.uses[any_of] = self._uses.of(holder.name, _listed(any_of, "/"))
        return self.refusal(head, peer, any_of)

    def caller_of(self, head: RequestHead, peer: str) -> str:
        """Whose jobs these are: those of the token's holder where tokens are asked for, else of the address."""
        shown = head.index.get(TOKEN_HEADER) or head.index.get(b"authorization")
        if shown is None or not self._required:
            return peer
        return self._holder_of(shown).name or peer

    def is_of_replica(self, head: RequestHead) -> bool:
        """Whether one of the environment's own replicas sends this: none that others have is made of its token."""
        shown = head.index.get(TOKEN_HEADER) or head.index.get(b"authorization")
        return shown is not None and self._holder_of(shown) is _REPLICA

    def take_token(self, head: RequestHead) -> None:
        """Take a token of ours out of a request that goes on to a replica: it is none of the endpoint's business.

        Also where none is needed: the client shows its own to every gateway of its project. Any other Authorization is
        the endpoint's.
        """
        shown = head.index.get(b"authorization")
        if shown is not None and self._holder_of(shown).allowed:
            head.withheld = b"authorization"

    def _unasked(self, head: RequestHead, peer: str, shown: bytes | None) -> Response | None:
        """No token is needed; but a page must not get in by that."""
        index = head.index
        if shown is None and (b"origin" in index or b"sec-fetch-site" in index):
            refusal = self._of_a_page(head, peer)
            if refusal is not None:
                return refusal
        host = index.get(b"host", b"")
        if self._any_name or _is_of_this_machine(host) or (shown is not None and self._holder_of(shown).allowed):
            return None
        # Whose name it is can have it lead here while a page is open, which is then of the same site for its browser.
        self.refusals.note("another machine's name", _asked(head), peer, "")
        return error_response(
            403,
            "foreign_name",
            f"This was asked for at {host.decode('latin-1')}, a name that anybody may have, and needs no token.",
            next_step="ask at localhost, NAME.localhost or an address; behind a proxy, name it in trusted_proxies; "
            'or set auth = "on" and send a token',
        )

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
        self.refusals.note("a page of another site", _asked(head), peer, "")
        return error_response(
            403,
            "foreign_page",
            "A page of another site has asked for this, and no token is needed here.",
            next_step='declare the endpoint with public=True, or set auth = "on" and send a token',
        )

    def _holder_of(self, shown: bytes) -> _Holder:
        """Whose that is. One that is known is not looked up again, as long as the file that it comes from may stand."""
        known = self._known.get(shown)
        if known is not None and known.of_file and time.monotonic() - self._looked_at >= _LOOK_AGAIN:
            self._read_admin()
            known = self._known.get(shown)
        return known or self._look_up(shown)

    def _look_up(self, shown: bytes) -> _Holder:
        found = self._holder(bare_token(shown.decode("latin-1")))
        if found.allowed:
            if len(self._known) >= _REMEMBERED:
                self._known.clear()
            self._known[shown] = found
        return found

    def _holder(self, text: str) -> _Holder:
        """Whose token that is: nobody's where it is none of ours."""
        parts = token_parts(text)
        token = None if parts is None else self._tokens.get(parts[0])
        if parts is not None and token is not None and token.is_made_of(parts[1]):
            until = inf if token.expires_at is None else token.expires_at
            return _Holder(f"{token.name!r} (fc_{token.id})", frozenset(token.scopes), until)
        self._read_admin()
        if self._admin and hmac.compare_digest(text.encode(), self._admin.encode()):
            return _Holder("the environment's own", ALL_SCOPES, inf, of_file=True)
        if self._inner and hmac.compare_digest(text.encode(), self._inner.encode()):
            return _REPLICA
        return _NOBODY

    def _read_admin(self) -> None:
        """The environment's own token, read anew now and then: it may have been replaced."""
        if self._admin and time.monotonic() - self._looked_at < _LOOK_AGAIN:
            return
        self._looked_at = time.monotonic()
        try:
            text = self._admin_file.read_text(encoding="ascii").strip()
        except (FileNotFoundError, UnicodeDecodeError):
            text = ""
        except OSError:  # out of descriptors, perhaps: that takes nobody's token away
            return
        if text != self._admin:
            if self._admin:
                self.withdrawn.set()
            self._admin, self._inner = text, inner_token(text) if text else ""
            self._known.clear()

    def _end_after(self, now: float) -> float:
        ends = (token.expires_at for token in self._tokens.values() if token.expires_at is not None)
        return min((end for end in ends if end > now), default=inf)

    def _unauthorized(self, reason: str, head: RequestHead, peer: str, token: str) -> Response:
        self.refusals.note(reason, _asked(head), peer, token)
        return _no_token(reason)

    def _forbidden(self, any_of: frozenset[TokenScope], head: RequestHead, peer: str, token: str) -> Response:
        self.refusals.note("the token lacks the scope", _asked(head), peer, token)
        wanted = _listed(any_of, " or ")
        return error_response(
            403,
            "forbidden",
            f"This token does not allow that: it needs the scope {wanted}.",
            next_step=f"make one that does: flashcore token create NAME --scope {min(scope.value for scope in any_of)}",
        )


def _no_token(reason: str) -> Response:
    return error_response(
        401,
        "unauthorized",
        f"A token is needed here: {reason}.",
        _CHALLENGE,
        next_step="send it as Authorization: Bearer TOKEN; make one: flashcore token create NAME",
    )


def _listed(scopes: frozenset[TokenScope], between: str) -> str:
    return between.join(sorted(scope.value for scope in scopes))


def _asked(head: RequestHead) -> str:
    """What for, without the query: there may be secrets in it."""
    return f"{head.method.decode('latin-1')} {head.path.decode('latin-1')}"


@lru_cache(maxsize=256)
def _is_of_this_machine(host: bytes) -> bool:
    """Whether a Host header has an address, or a name that no stranger can have in the domain name system."""
    if host.startswith(b"["):
        return True
    name = host.partition(b":")[0].lower().rstrip(b".")
    return b"." not in name or name.endswith(b".localhost") or name.replace(b".", b"").isdigit()


def _is_link(head: RequestHead) -> bool:
    """Somebody followed a link to here, which reads nothing for the page that has the link."""
    return head.method == b"GET" and head.index.get(b"sec-fetch-mode") == b"navigate"


def _public_part(shown: bytes) -> str:
    parts = token_parts(bare_token(shown.decode("latin-1")))
    return f"fc_{parts[0][:12]}" if parts is not None and parts[0].isalnum() else ""
