"""The tokens of an environment: kept as digests in the state, told to every gateway."""

from __future__ import annotations

import asyncio
import contextlib
import shlex
from collections.abc import Callable, Iterable

from flashcore.control.kinds import TOKENS
from flashcore.control.store import Leadership, Ledger
from flashcore.control.store.records import Stored
from flashcore.model.errors import NotFound, Refused
from flashcore.model.events import Event
from flashcore.model.token import ALL_SCOPES, Token, TokenScope, new_token, token_parts

Grant = Callable[[Iterable[Token]], None]
"""Tells the gateways all tokens that are valid."""

_LOOK = 1.0
"""Seconds between two looks at whether a token has expired: what waits on a loop's clock hears of no jump."""


class Tokens:
    """Made, listed and revoked here and nowhere else. `load` first.

    They expire by the calendar, `wall`, as gateways have it too. A local state's own time stands still while the
    machine is suspended: after a weekend, a token for a day was two days old when it was made.
    """

    def __init__(self, ledger: Ledger, leadership: Leadership, grant: Grant, wall: Callable[[], float]) -> None:
        self._ledger = ledger
        self._wall = wall
        self._leadership = leadership
        self._grant = grant
        self._stored: dict[str, Stored[Token]] = {}
        self._being_made: set[str] = set()
        """Names of tokens on their way into the state."""
        self._revoked: dict[str, asyncio.Event] = {}
        """By the ids of tokens whose end somebody waits for."""

    async def load(self) -> None:
        """Read them, and tell the gateways."""
        self._stored = dict((await self._ledger.load()).of(TOKENS))
        self._tell()

    @property
    def all(self) -> tuple[Token, ...]:
        """All tokens, oldest first; expired ones among them."""
        return tuple(sorted((stored.value for stored in self._stored.values()), key=lambda token: token.created_at))

    async def create(self, name: str, scopes: Iterable[TokenScope], lifetime: float | None = None) -> tuple[str, Token]:
        """Make one; returns the token itself, which nobody can see again, and what is kept.

        Raises UsageError, and Refused where another one has the name: by it a token is revoked.
        """
        text, token = new_token(name, scopes, self._wall(), lifetime)
        self._require_unused(name)
        self._being_made.add(name)
        try:
            workspace = self._ledger.workspace(self._leadership)
            workspace.create(TOKENS, token)
            workspace.emit(self._event("token.created", token))
            committed = await workspace.commit()
            if committed is not None:
                self._stored.update({stored.id: stored for stored in committed.stored})
        finally:
            self._being_made.discard(name)
        self._tell()
        return text, token

    def _require_unused(self, name: str) -> None:
        if name in self._being_made or any(stored.value.name == name for stored in self._stored.values()):
            raise Refused(
                f"there is a token called {name!r} already",
                next_step=f"choose another name, or take that one back: flashcore token revoke {shlex.quote(name)}",
            )

    async def revoke(self, wanted: str) -> Token:
        """Take one back, by its id or its name; it is refused from now on. Raises NotFound."""
        stored = self._find(wanted)
        workspace = self._ledger.workspace(self._leadership)
        workspace.remove(stored)
        workspace.emit(self._event("token.revoked", stored.value))
        await workspace.commit()
        del self._stored[stored.id]
        self._tell()
        if stored.id in self._revoked:
            self._revoked.pop(stored.id).set()
        return stored.value

    async def ended(self, token: Token) -> str:
        """Wait until one that is valid is so no longer; returns what became of it."""
        if token.id not in self._stored:
            return "the token was revoked"
        revoked = self._revoked.setdefault(token.id, asyncio.Event())
        while not token.is_expired(now := self._wall()):
            left = None if token.expires_at is None else min(token.expires_at - now, _LOOK)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(left):
                    await revoked.wait()
                    return "the token was revoked"
        return "the token has expired"

    def valid(self, text: str) -> Token | None:
        """What is kept of a token; None where it is none of these, or its time is over."""
        parts = token_parts(text)
        stored = None if parts is None else self._stored.get(parts[0])
        if parts is None or stored is None or not stored.value.is_made_of(parts[1]):
            return None
        return None if stored.value.is_expired(self._wall()) else stored.value

    def scopes_of(self, text: str) -> frozenset[TokenScope]:
        """What a token allows now; nothing where it is none of these."""
        token = self.valid(text)
        if token is None:
            return frozenset()
        return ALL_SCOPES if TokenScope.ADMIN in token.scopes else frozenset(token.scopes)

    def _find(self, wanted: str) -> Stored[Token]:
        found = [one for one in self._stored.values() if wanted in (one.id, f"fc_{one.id}", one.value.name)]
        if len(found) == 1:
            return found[0]
        problem = f"{len(found)} tokens are called {wanted!r}" if found else f"there is no token {wanted!r}"
        raise NotFound(problem, next_step="name one by its id: flashcore token list")

    def _event(self, kind: str, token: Token) -> Event:
        scopes = [scope.value for scope in token.scopes]
        what = "was made" if kind == "token.created" else "was revoked"
        message = f"token {token.name!r} ({token.id}) {what}; scopes: {', '.join(scopes)}"
        return Event(kind, self._ledger.now(), message=message, data={"token": token.id, "scopes": scopes})

    def _tell(self) -> None:
        self._grant(self.all)
