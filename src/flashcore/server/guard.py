"""Who may come in: any program and any web page of a machine reaches its loopback interface, where one port is."""

from __future__ import annotations

import asyncio

from starlette.datastructures import Headers
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from flashcore.control.tokens import Tokens
from flashcore.gateway.audit import CutOffs, Refusals, Uses
from flashcore.model.errors import FlashcoreError, Refused, Unauthorized
from flashcore.model.token import ALL_SCOPES, Token, TokenScope, bare_token
from flashcore.server.token import check_token

_LOOPBACK = frozenset({"127.0.0.1", "localhost", "[::1]"})
_OPEN = frozenset({"/ping", "/"})
"""An answer without data, and the dashboard's page, which has to ask for its data with a token."""
_FOR_ADMINS = ("/api/v1/tokens", "/api/v1/server/")
_READING = frozenset({"GET", "HEAD"})


class Guard:
    """Refuses whoever has no token, and pages of other sites that reach this machine through a name of their own."""

    def __init__(self, app: ASGIApp, token: str, tokens: Tokens, hosts: frozenset[str]) -> None:
        self._app = app
        self._token = token
        self._tokens = tokens
        self._names = _LOOPBACK | hosts
        self._refusals = Refusals()
        self._uses = Uses()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on what may pass."""
        token: Token | None = None
        if scope["type"] == "http":
            peer = str((scope.get("client") or ("",))[0])
            try:
                headers = Headers(scope=scope)
                # With TLS it is the certificate that a name has to fit, and callers check that.
                if scope["scheme"] != "https":
                    self._check_name(headers.get("host", ""))
                token = self._check(scope["method"], scope["path"], headers, peer)
            except FlashcoreError as error:
                status = 401 if isinstance(error, Unauthorized) else 403
                self._refusals.note(error.code, f"{scope['method']} {scope['path']}: {error.message}", peer, "")
                await JSONResponse({"error": error.as_json()}, status)(scope, receive, send)
                return
        if token is None or scope["method"] not in _READING:
            await self._app(scope, receive, send)  # what has begun to change something is finished
        else:
            await self._read(token, scope, receive, send)

    async def _read(self, token: Token, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer for as long as the token is good: a log may be followed for days."""
        has_begun = False

        async def sending(message: Message) -> None:
            nonlocal has_begun
            has_begun = True
            await send(message)

        async def answer() -> None:
            await self._app(scope, receive, sending)

        answering = asyncio.create_task(answer())
        ending = asyncio.create_task(self._tokens.ended(token))
        try:
            await asyncio.wait({answering, ending}, return_when=asyncio.FIRST_COMPLETED)
            if answering.done():
                answering.result()
                return
        finally:
            answering.cancel()
            ending.cancel()
        await asyncio.wait({answering})
        reason = ending.result()
        cut_off = CutOffs()
        peer = str((scope.get("client") or ("",))[0])
        cut_off.note(_name(token), reason, f"{scope['method']} {scope['path']}", peer)
        cut_off.tell()
        if not has_begun:
            error = Unauthorized(reason, next_step="ask with another one: flashcore token create NAME --scope SCOPE")
            await JSONResponse({"error": error.as_json()}, 401)(scope, receive, send)
        # What has begun is left without its end: the server cuts it there, and its reader sees that.

    def _check_name(self, host: str) -> None:
        name = host.rpartition(":")[0] or host
        if name not in self._names:
            raise Refused(f"this server does not answer to the name {name!r}", next_step="call it by its address")

    def _check(self, method: str, path: str, headers: Headers, peer: str) -> Token | None:
        """The token by which the sender may pass; None: it needs none, or has the environment's own."""
        if path in _OPEN:
            return None
        token, allowed = self._shown(headers.get("authorization"))
        wanted = needed_scope(method, path)
        if wanted not in allowed:
            raise Refused(
                f"this token does not allow that: it needs the scope {wanted.value}",
                next_step=f"make one that does: flashcore token create NAME --scope {wanted.value}",
            )
        use = self._uses.of("the environment's own" if token is None else _name(token), wanted.value)
        if self._uses.note(use):
            self._uses.tell(use, f"{method} {path}", peer)
        return token

    def _shown(self, authorization: str | None) -> tuple[Token | None, frozenset[TokenScope]]:
        """The token that the sender shows, None for the environment's own, and what it allows. Raises Unauthorized."""
        given = bare_token(authorization or "")
        token = self._tokens.valid(given)
        if token is not None:
            return token, self._tokens.scopes_of(given)
        check_token(self._token, authorization)
        return None, ALL_SCOPES


def _name(token: Token) -> str:
    return f"{token.name!r} (fc_{token.id})"


def needed_scope(method: str, path: str) -> TokenScope:
    """What a request to the control API needs."""
    if path.startswith(_FOR_ADMINS):
        return TokenScope.ADMIN
    return TokenScope.READ if method in _READING else TokenScope.DEPLOY
