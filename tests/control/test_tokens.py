"""Tokens of an environment: shown once, kept as digests, told to gateways, written to the log."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flashcore.builtin.memory_state import MemoryStores
from flashcore.control.kinds import KINDS
from flashcore.control.store import Ledger
from flashcore.control.tokens import Tokens
from flashcore.model.errors import NotFound, Refused, UsageError
from flashcore.model.names import Scope
from flashcore.model.token import ALL_SCOPES, Token, TokenScope, bare_token, new_token, token_parts
from flashcore.server.guard import needed_scope


class Told:
    """What gateways were told last."""

    def __init__(self) -> None:
        self.tokens: tuple[Token, ...] = ()

    def __call__(self, tokens: object) -> None:
        """Remember."""
        self.tokens = tuple(tokens)  # type: ignore[arg-type]  # an iterable of tokens


async def opened(ledger: Ledger, told: Told, wall: Callable[[], float] = time.time) -> Tokens:
    """The tokens as a process finds them that leads now."""
    tokens = Tokens(ledger, await ledger.take_over("me", 10.0), told, wall)
    await tokens.load()
    return tokens


async def a_ledger() -> Ledger:
    """One in memory."""
    return Ledger(await MemoryStores().open_state("memory:"), Scope("shop", "production"), KINDS)


async def test_a_token_allows_what_it_was_made_for_until_it_is_revoked() -> None:
    """By id or by name; gateways are told each time."""
    ledger, told = await a_ledger(), Told()
    tokens = await opened(ledger, told)

    text, token = await tokens.create("ci", [TokenScope.DEPLOY, TokenScope.READ])
    allowed = tokens.scopes_of(text)
    told_of = told.tokens
    await tokens.revoke("ci")

    assert allowed == {TokenScope.DEPLOY, TokenScope.READ}
    assert told_of == (token,)
    assert (tokens.scopes_of(text), told.tokens) == (frozenset(), ())
    with pytest.raises(NotFound, match="no token 'ci'"):
        await tokens.revoke("ci")


async def test_tokens_outlast_the_process_and_only_as_digests() -> None:
    """Nowhere in the state is what would let anybody in."""
    ledger = await a_ledger()
    text, token = await (await opened(ledger, Told())).create("ci", [TokenScope.ADMIN])

    again = await opened(ledger, Told())
    page = await ledger.backend.read("", limit=1000)

    assert again.scopes_of(text) == ALL_SCOPES
    assert again.all == (token,)
    secret = text.split("_", 2)[2].encode()
    assert not any(secret in entry.value for entry in page.entries)


async def test_making_and_revoking_stands_in_the_log() -> None:
    """Who could do what, and since when, can be looked up; the token itself cannot."""
    ledger = await a_ledger()
    tokens = await opened(ledger, Told())
    text, token = await tokens.create("ci", [TokenScope.CALL])
    await tokens.revoke(token.id)

    entries = (await ledger.backend.read(ledger.keys.events, limit=100)).entries

    logged = b" ".join(entry.value for entry in entries)
    assert b"token.created" in logged
    assert b"token.revoked" in logged
    assert text.split("_", 2)[2].encode() not in logged


async def test_a_token_ends_with_its_time() -> None:
    """An expired one allows nothing, and is still listed."""
    tokens = await opened(await a_ledger(), Told())

    text, _ = await tokens.create("short", [TokenScope.CALL], 1e-9)

    assert tokens.scopes_of(text) == frozenset()
    assert [token.name for token in tokens.all] == ["short"]


async def test_a_token_expires_by_the_calendar() -> None:
    """The state's own time stands still while a machine is suspended, and gateways go by the calendar."""
    calendar = time.time() + 60 * 3600
    tokens = await opened(await a_ledger(), Told(), lambda: calendar)

    text, token = await tokens.create("ci", [TokenScope.CALL], 3600)
    allowed = tokens.scopes_of(text)
    end = asyncio.create_task(tokens.ended(token))
    await asyncio.sleep(0)
    calendar += 3601

    assert token.expires_at == calendar - 1
    assert (allowed, tokens.scopes_of(text)) == (frozenset({TokenScope.CALL}), frozenset())
    assert await asyncio.wait_for(end, 30.0) == "the token has expired"


@pytest.mark.parametrize(
    ("name", "scopes", "lifetime"),
    [("ci", [], None), ("", [TokenScope.CALL], None), ("a\nb", [TokenScope.CALL], None), ("ci", [TokenScope.CALL], 0)],
)
def test_useless_tokens_are_not_made(name: str, scopes: list[TokenScope], lifetime: float | None) -> None:
    """Without a scope, a name or a future."""
    with pytest.raises(UsageError):
        new_token(name, scopes, 0.0, lifetime)


@given(st.text(max_size=80))
def test_no_other_text_is_taken_for_a_token(text: str) -> None:
    """Whatever stands in the header: parts or nothing, and never the right digest."""
    _, token = new_token("x", [TokenScope.CALL], 0.0)

    parts = token_parts(bare_token(text))

    assert parts is None or not token.is_made_of(parts[1])


@pytest.mark.parametrize(
    ("method", "path", "scope"),
    [
        ("GET", "/api/v1/deployments", TokenScope.READ),
        ("GET", "/api/v1/server", TokenScope.READ),
        ("POST", "/api/v1/deployments", TokenScope.DEPLOY),
        ("PUT", "/api/v1/artifacts/abc", TokenScope.DEPLOY),
        ("POST", "/api/v1/server/stop", TokenScope.ADMIN),
        ("GET", "/api/v1/tokens", TokenScope.ADMIN),
        ("POST", "/api/v1/tokens", TokenScope.ADMIN),
    ],
)
def test_what_is_asked_of_the_control_api_needs_its_scope(method: str, path: str, scope: TokenScope) -> None:
    """Reading reads, changing deploys; tokens and the end of the platform are the administrator's."""
    assert needed_scope(method, path) is scope


async def test_a_name_stands_for_one_token() -> None:
    """It is by its name that one is taken back; two that are made at once do not both get it."""
    tokens = await opened(await a_ledger(), Told())

    made = await asyncio.gather(
        tokens.create("ci", [TokenScope.READ]), tokens.create("ci", [TokenScope.CALL]), return_exceptions=True
    )
    with pytest.raises(Refused, match="a token called 'ci' already") as refused:
        await tokens.create("ci", [TokenScope.READ])

    assert sum(isinstance(one, Refused) for one in made) == 1
    assert "flashcore token revoke ci" in (refused.value.next_step or "")
    await tokens.revoke("ci")
    _, again = await tokens.create("ci", [TokenScope.READ])
    assert tokens.all == (again,)
