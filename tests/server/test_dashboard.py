"""The dashboard: a page without data that works without a network, and shows what others wrote as text alone."""

import base64
import hashlib
import re
from importlib.resources import files

import httpx2
import pytest
from fastapi import FastAPI

from flashcore.server.routes.dashboard import dashboard_routes, policy_of

PAGE = (files("flashcore.server") / "dashboard.html").read_text(encoding="utf-8")


async def test_the_page_is_served_with_a_policy_that_lets_nothing_else_in() -> None:
    """Its own script by its hash, this server to ask, no frames around it."""
    app = FastAPI()
    app.include_router(dashboard_routes())
    async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app), base_url="http://here") as client:
        answer = await client.get("/")

    policy = answer.headers["content-security-policy"]
    script = re.findall(r"<script>(.*?)</script>", PAGE, re.DOTALL)
    assert (answer.status_code, answer.text) == (200, PAGE)
    assert len(script) == 1
    assert base64.b64encode(hashlib.sha256(script[0].encode()).digest()).decode() in policy
    for rule in ("default-src 'none'", "connect-src 'self'", "frame-ancestors 'none'", "form-action 'none'"):
        assert rule in policy
    assert "unsafe" not in policy


def test_another_script_has_another_policy() -> None:
    """A page that was changed is run only as it is."""
    assert policy_of(PAGE) != policy_of(PAGE.replace("use strict", "use loose"))


@pytest.mark.parametrize("never", ["innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "style="])
def test_what_others_wrote_is_never_run(never: str) -> None:
    """Names, reasons and logs come from endpoints and plugins; the policy would refuse inline styles as well."""
    assert never not in PAGE


def test_nothing_is_fetched_from_elsewhere() -> None:
    """No address of another server is in it."""
    assert re.findall(r"(?:https?:)?//[a-z0-9.-]+\.[a-z]{2,}", PAGE) == []
    assert re.findall(r'(?:src|href)="', PAGE) == []


def test_the_token_is_kept_by_the_tab_alone() -> None:
    """Neither in the address, where it came with the fragment, nor beyond the tab."""
    assert "localStorage" not in PAGE
    assert "history.replaceState" in PAGE
