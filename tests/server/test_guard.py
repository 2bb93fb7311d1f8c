"""Who was let in to the control API goes on for as long as its token is good."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from typing import Any

import pytest
from starlette.types import Message, Receive, Scope, Send
from tests.control.test_tokens import Told, a_ledger, opened

from flashcore.control.tokens import Tokens
from flashcore.model.token import TokenScope
from flashcore.server.guard import Guard

OWN = "the environment's own"


class Endless:
    """An application that answers the first pieces of something that has no end."""

    def __init__(self, *begins: Message) -> None:
        self.begun = asyncio.Event()
        self.left = asyncio.Event()
        self.goes_on = asyncio.Event()
        self._begins = begins

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See ASGIApp."""
        try:
            for message in self._begins:
                await send(message)
            self.begun.set()
            await self.goes_on.wait()
            await send({"type": "http.response.body", "body": b"done"})
        except asyncio.CancelledError:
            self.left.set()
            raise


HEAD: Message = {"type": "http.response.start", "status": 200, "headers": []}
LINE: Message = {"type": "http.response.body", "body": b"line", "more_body": True}


def asked(app: Endless, tokens: Tokens, token: str, method: str = "GET") -> tuple[asyncio.Task[None], list[Any]]:
    """A request under way, and what is said to it."""
    said: list[Any] = []
    headers = [(b"host", b"localhost"), (b"authorization", f"Bearer {token}".encode())]
    scope = {"type": "http", "scheme": "http", "method": method, "path": "/api/v1/x", "headers": headers}

    async def send(message: Message) -> None:
        said.append(message)

    async def receive() -> Message:
        await asyncio.Event().wait()
        return {}

    guard = Guard(app, OWN, tokens, frozenset())
    return asyncio.create_task(guard(scope, receive, send)), said


async def some_tokens() -> Tokens:
    """None, at first."""
    return await opened(await a_ledger(), Told())


@pytest.mark.parametrize("lifetime", [None, 0.2], ids=["revoked", "expired"])
async def test_what_is_being_read_breaks_off_with_the_token(
    lifetime: float | None, caplog: pytest.LogCaptureFixture
) -> None:
    """Without its end, which its reader sees; the application hears of it, and the audit log has it."""
    tokens, app = await some_tokens(), Endless(HEAD, LINE)
    text, token = await tokens.create("laptop", [TokenScope.READ], lifetime)
    reading, said = asked(app, tokens, text)
    await app.begun.wait()

    if lifetime is None:
        await tokens.revoke("laptop")
    await reading

    why = "was revoked" if lifetime is None else "has expired"
    line = f"cut off: token 'laptop' (fc_{token.id}), the token {why}, GET /api/v1/x, from a socket (1 under way)"
    assert app.left.is_set()
    assert said == [HEAD, LINE]
    assert [record.getMessage() for record in caplog.records if record.levelname == "WARNING"] == [line]


async def test_what_has_not_been_answered_yet_is_told_401() -> None:
    """A wait for events, for example."""
    tokens, app = await some_tokens(), Endless()
    text, _ = await tokens.create("laptop", [TokenScope.READ])
    reading, said = asked(app, tokens, text)
    await app.begun.wait()

    await tokens.revoke("laptop")
    await reading

    error = json.loads(said[1]["body"])["error"]
    assert (said[0]["status"], error["code"], error["message"]) == (401, "unauthorized", "the token was revoked")


async def finished(app: Endless, request: asyncio.Task[None], said: Sequence[Any]) -> bool:
    """Whether it goes on to its end."""
    app.goes_on.set()
    await request
    return said[-1] == {"type": "http.response.body", "body": b"done"} and not app.left.is_set()


async def test_what_changes_something_is_finished() -> None:
    """It may be halfway: a deployment would be left as nobody has asked for."""
    tokens, app = await some_tokens(), Endless(HEAD)
    text, _ = await tokens.create("ci", [TokenScope.DEPLOY])
    writing, said = asked(app, tokens, text, "POST")
    await app.begun.wait()

    await tokens.revoke("ci")

    assert await finished(app, writing, said)


async def test_other_tokens_go_on() -> None:
    """The environment's own among them."""
    tokens = await some_tokens()
    await tokens.create("gone", [TokenScope.READ])
    text, _ = await tokens.create("stays", [TokenScope.READ])
    apps = {text: Endless(HEAD), OWN: Endless(HEAD)}
    requests = {shown: asked(app, tokens, shown) for shown, app in apps.items()}
    for app in apps.values():
        await app.begun.wait()

    await tokens.revoke("gone")

    assert [await finished(apps[shown], *requests[shown]) for shown in apps] == [True, True]
