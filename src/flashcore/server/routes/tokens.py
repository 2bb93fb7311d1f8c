"""Tokens: who may do what."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict

from flashcore.control.tokens import Tokens
from flashcore.model.token import Token, TokenScope


class TokenRequest(BaseModel):
    """What a token is to be called, what it allows, and for how many seconds (default: for ever)."""

    model_config = ConfigDict(extra="forbid")

    name: str
    scopes: list[TokenScope]
    lifetime: float | None = None


def token_routes(tokens: Tokens) -> APIRouter:
    """Routes over the environment's tokens."""
    routes = APIRouter(prefix="/api/v1/tokens", tags=["tokens"])

    @routes.get("")
    async def everything() -> dict[str, Any]:
        """All tokens, without their secrets."""
        return {"tokens": [shown(token) for token in tokens.all]}

    @routes.post("", status_code=201)
    async def create(request: TokenRequest) -> dict[str, Any]:
        """Make one. This answer alone holds the token itself."""
        text, token = await tokens.create(request.name, request.scopes, request.lifetime)
        return {**shown(token), "token": text}

    @routes.delete("/{wanted}")
    async def revoke(wanted: str) -> dict[str, Any]:
        """Take one back, by id or name."""
        return shown(await tokens.revoke(wanted))

    return routes


def shown(token: Token) -> dict[str, Any]:
    """What a list shows of a token: neither it nor its digest."""
    return {
        "id": token.id,
        "name": token.name,
        "scopes": [scope.value for scope in token.scopes],
        "created_at": token.created_at,
        "expires_at": token.expires_at,
    }
