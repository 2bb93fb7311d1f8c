"""Tokens: who may do what. What is kept of one is its digest; the token itself is shown once, when it is made.

A token is `fc_ID_SECRET`. The id is public: it stands in lists and logs. The secret has 256 random bits, so a plain
digest of it tells nobody anything; no salt and no slow hash would add to that.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum

from flashcore.model.errors import UsageError

_PREFIX = "fc"
_INNER = "fci"
_LONGEST = 512


class TokenScope(Enum):
    """What a token allows. Each stands for itself alone, but for `admin`, which stands for all."""

    READ = "read"
    """Status, events, metrics."""
    CALL = "call"
    """Endpoints and jobs."""
    WORK = "work"
    """To take jobs and to hand in results."""
    DEPLOY = "deploy"
    """Deployments and rollouts."""
    ADMIN = "admin"
    """Everything, tokens and the end of the platform among it."""


ALL_SCOPES = frozenset(TokenScope)


@dataclass(frozen=True, slots=True)
class Token:
    """What is kept of one token."""

    id: str
    name: str
    digest: str
    """SHA-256 of the secret, in hexadecimal."""
    scopes: tuple[TokenScope, ...]
    created_at: float
    expires_at: float | None = None
    """Seconds since 1970; None: never."""

    def allows(self, any_of: frozenset[TokenScope]) -> bool:
        """Whether one of the scopes is among the token's."""
        return TokenScope.ADMIN in self.scopes or not any_of.isdisjoint(self.scopes)

    def is_expired(self, now: float) -> bool:
        """Whether its time is over."""
        return self.expires_at is not None and now >= self.expires_at

    def is_made_of(self, secret: str) -> bool:
        """Whether this is its secret; in constant time."""
        return hmac.compare_digest(_digest(secret), self.digest)


def new_token(name: str, scopes: Iterable[TokenScope], now: float, lifetime: float | None = None) -> tuple[str, Token]:
    """A token, as its owner is shown it, and what is kept of it. Raises UsageError where it would be of no use."""
    wanted = tuple(sorted(set(scopes), key=lambda scope: scope.value))
    if not wanted:
        raise UsageError("a token without a scope allows nothing", next_step="give it one, as in --scope call")
    if not 0 < len(name) <= 64 or not name.isprintable():
        raise UsageError(f"a token's name has 1 to 64 printable characters, not {name[:80]!r}")
    if lifetime is not None and lifetime <= 0:
        raise UsageError(f"a token lives for more than 0 seconds, not {lifetime:g}")
    identity, secret = secrets.token_hex(6), secrets.token_urlsafe(32)
    expires_at = None if lifetime is None else now + lifetime
    return f"{_PREFIX}_{identity}_{secret}", Token(identity, name, _digest(secret), wanted, now, expires_at)


def token_parts(text: str) -> tuple[str, str] | None:
    """Id and secret of what may be a token; None for what is none."""
    if len(text) > _LONGEST:
        return None
    prefix, _, rest = text.partition("_")
    identity, _, secret = rest.partition("_")
    return (identity, secret) if prefix == _PREFIX and identity and secret else None


def bare_token(authorization: str) -> str:
    """The token in an Authorization header: RunPod's clients write `Bearer TOKEN`, its workers the token alone."""
    kind, _, rest = authorization.strip().partition(" ")
    return rest.strip() if kind.lower() == "bearer" else authorization.strip()


def inner_token(admin: str) -> str:
    """What replicas of an environment call its gateway with, made of the environment's own token."""
    return f"{_INNER}_{hmac.new(admin.encode(), b'flashcore replicas call', hashlib.sha256).hexdigest()}"


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()
