"""Who may come in: any program and any web page of a machine reaches its loopback interface, where one port is."""

from __future__ import annotations

from starlette.datastructures import Headers
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from flashcore.control.tokens import Tokens
from flashcore.gateway.audit import Refusals, Uses
from flashcore.model.errors import FlashcoreError, Refused, Unauthorized
from flashcore.model.token import ALL_SCOPES, TokenScope, bare_token
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
        if scope["type"] == "http":
            peer = str((scope.get("client") or ("",))[0])
            try:
                headers = Headers(scope=scope)
                # With TLS it is the certificate that a name has to fit, and callers check that.
                if scope["scheme"] != "https":
                    self._check_name(headers.get("host", ""))
                self._check(scope["method"], scope["path"], headers, peer)
            except FlashcoreError as error:
                status = 401 if isinstance(error, Unauthorized) else 403
                self._refusals.note(error.code, f"{scope['method']} {scope['path']}: {error.message}", peer, "")
                await JSONResponse({"error": error.as_json()}, status)(scope, receive, send)
                return
        await self._app(scope, receive, send)

    def _check_name(self, host: str) -> None:
        name = host.rpartition(":")[0] or host
        if name not in self._names:
            raise Refused(f"this server does not answer to the name {name!r}", next_step="call it by its address")

    def _check(self, method: str, path: str, headers: Headers, peer: str) -> None:
        if path in _OPEN:
            return
        holder, allowed = self._holder(headers.get("authorization"))
        wanted = needed_scope(method, path)
        if wanted not in allowed:
            raise Refused(
                f"this token does not allow that: it needs the scope {wanted.value}",
                next_step=f"make one that does: flashcore token create --scope {wanted.value}",
            )
        use = self._uses.of(holder, wanted.value)
        if self._uses.note(use):
            self._uses.tell(use, f"{method} {path}", peer)

    def _holder(self, authorization: str | None) -> tuple[str, frozenset[TokenScope]]:
        """Whose token the sender shows, and what it allows. Raises Unauthorized for one that is not valid."""
        given = bare_token(authorization or "")
        token = self._tokens.valid(given)
        if token is not None:
            return f"{token.name!r} (fc_{token.id})", self._tokens.scopes_of(given)
        check_token(self._token, authorization)
        return "the environment's own", ALL_SCOPES


def needed_scope(method: str, path: str) -> TokenScope:
    """What a request to the control API needs."""
    if path.startswith(_FOR_ADMINS):
        return TokenScope.ADMIN
    return TokenScope.READ if method in _READING else TokenScope.DEPLOY
