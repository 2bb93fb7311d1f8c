"""What stands before every route of the control API: the token, and the name under which the server was called."""

from __future__ import annotations

from fastapi.responses import JSONResponse
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from flashcore.model.errors import FlashcoreError, Refused, Unauthorized
from flashcore.server.token import check_token

_LOOPBACK = frozenset({"127.0.0.1", "localhost", "[::1]"})
_OPEN = frozenset({"/ping"})


class Guard:
    """Refuses whoever has no token, and pages of other sites that reach this machine through a name of their own."""

    def __init__(self, app: ASGIApp, token: str, host: str) -> None:
        self._app = app
        self._token = token
        self._names = _LOOPBACK | {host}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on what may pass."""
        if scope["type"] == "http":
            try:
                self._check(scope["path"], Headers(scope=scope))
            except FlashcoreError as error:
                status = 401 if isinstance(error, Unauthorized) else 403
                await JSONResponse({"error": error.as_json()}, status)(scope, receive, send)
                return
        await self._app(scope, receive, send)

    def _check(self, path: str, headers: Headers) -> None:
        name = headers.get("host", "").rpartition(":")[0] or headers.get("host", "")
        if name not in self._names:
            raise Refused(f"this server does not answer to the name {name!r}", next_step="call it by its address")
        if path not in _OPEN:
            check_token(self._token, headers.get("authorization"))
