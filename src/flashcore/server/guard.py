"""Who may come in: any program and any web page of a machine reaches its loopback interface, where one port is."""

from __future__ import annotations

import logging

from starlette.datastructures import Headers
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from flashcore.control.tokens import Tokens
from flashcore.model.errors import FlashcoreError, Refused, Unauthorized
from flashcore.model.token import ALL_SCOPES, TokenScope, bare_token
from flashcore.server.token import check_token

_log = logging.getLogger(__name__)

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

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on what may pass."""
        if scope["type"] == "http":
            try:
                headers = Headers(scope=scope)
                # With TLS it is the certificate that a name has to fit, and callers check that.
                if scope["scheme"] != "https":
                    self._check_name(headers.get("host", ""))
                self._check(scope["method"], scope["path"], headers)
            except FlashcoreError as error:
                status = 401 if isinstance(error, Unauthorized) else 403
                _log.warning("%s %s was refused: %s", scope["method"], scope["path"], error.message)
                await JSONResponse({"error": error.as_json()}, status)(scope, receive, send)
                return
        await self._app(scope, receive, send)

    def _check_name(self, host: str) -> None:
        name = host.rpartition(":")[0] or host
        if name not in self._names:
            raise Refused(f"this server does not answer to the name {name!r}", next_step="call it by its address")

    def _check(self, method: str, path: str, headers: Headers) -> None:
        if path in _OPEN:
            return
        allowed = self._scopes_of(headers.get("authorization"))
        wanted = needed_scope(method, path)
        if wanted not in allowed:
            raise Refused(
                f"this token does not allow that: it needs the scope {wanted.value}",
                next_step=f"make one that does: flashcore token create --scope {wanted.value}",
            )

    def _scopes_of(self, authorization: str | None) -> frozenset[TokenScope]:
        """What the sender's token allows. Raises Unauthorized for one that is not valid."""
        given = bare_token(authorization or "")
        if given and (scopes := self._tokens.scopes_of(given)):
            return scopes
        check_token(self._token, authorization)
        return ALL_SCOPES


def needed_scope(method: str, path: str) -> TokenScope:
    """What a request to the control API needs."""
    if path.startswith(_FOR_ADMINS):
        return TokenScope.ADMIN
    return TokenScope.READ if method in _READING else TokenScope.DEPLOY
