"""The dashboard: one page that asks the control API with a token that its reader gives. It holds no data itself."""

from __future__ import annotations

import base64
import hashlib
import re
from importlib.resources import files

from fastapi import APIRouter
from fastapi.responses import HTMLResponse

_INLINE = re.compile(r"<(script|style)>(.*?)</\1>", re.DOTALL)


def dashboard_routes() -> APIRouter:
    """The page at `/`, which may run its own script and style and talk to this server, and nothing else."""
    page = (files("flashcore.server") / "dashboard.html").read_text(encoding="utf-8")
    headers = {
        "Content-Security-Policy": policy_of(page),
        "Referrer-Policy": "no-referrer",
        "X-Content-Type-Options": "nosniff",
        "Cache-Control": "no-cache",
    }
    routes = APIRouter(include_in_schema=False)

    @routes.get("/")
    async def dashboard() -> HTMLResponse:
        return HTMLResponse(page, headers=headers)

    return routes


def policy_of(page: str) -> str:
    """The page's content security policy: its own script and style by their hashes, this server, and nothing else."""
    allowed = {"script": "", "style": ""}
    for kind, text in _INLINE.findall(page):
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode("ascii")
        allowed[kind] += f" 'sha256-{digest}'"
    return (
        f"default-src 'none'; script-src{allowed['script']}; style-src{allowed['style']}; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
