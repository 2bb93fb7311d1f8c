"""`flashcore token create|list|revoke`."""

from __future__ import annotations

import time

import click

from flashcore.cli import output
from flashcore.cli.api import escaped
from flashcore.cli.common import Invocation, command
from flashcore.cli.connecting import connect
from flashcore.model.errors import UsageError
from flashcore.model.token import TokenScope

_SCOPES = [scope.value for scope in TokenScope]
_UNITS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}


@click.group()
def token() -> None:
    """Make, list and revoke tokens, which say who may do what."""


@token.command()
@click.argument("name")
@click.option(
    "--scope", "scopes", multiple=True, type=click.Choice(_SCOPES), default=["call"], show_default=True,
    help="What it allows; may be given several times.",
)  # fmt: skip
@click.option("--expires", metavar="TIME", help="After how long it ends, as in 12h or 30d; default: never.")
@command
def create(invocation: Invocation, name: str, scopes: tuple[str, ...], expires: str | None) -> None:
    """Make a token called NAME and print it. It is shown this once; what is kept cannot be turned back into it."""
    api = connect(invocation.project())
    wish = {"name": name, "scopes": list(scopes), "lifetime": None if expires is None else _seconds(expires)}
    made = api.call("POST", "/api/v1/tokens", wish)
    if invocation.as_json:
        output.show_json(made)
        return
    output.say(f"token {made['id']} for {', '.join(made['scopes'])}; it is not shown again:")
    click.echo(made["token"])


@token.command("list")
@command
def list_tokens(invocation: Invocation) -> None:
    """List the tokens, without their secrets."""
    tokens = connect(invocation.project()).get("/api/v1/tokens")["tokens"]
    if invocation.as_json:
        output.show_json({"tokens": tokens})
        return
    if not tokens:
        output.say("there are no tokens; this machine's own is in the environment's folder")
    for one in tokens:
        click.echo(f"{one['id']}  {one['name']:20} {','.join(one['scopes']):24} {_end(one['expires_at'])}")


@token.command()
@click.argument("wanted", metavar="TOKEN")
@command
def revoke(invocation: Invocation, wanted: str) -> None:
    """Take a TOKEN back, by its id or name; it is refused from now on."""
    revoked = connect(invocation.project()).call("DELETE", f"/api/v1/tokens/{escaped(wanted)}")
    if invocation.as_json:
        output.show_json(revoked)
    else:
        output.say(f"token {revoked['name']} ({revoked['id']}) is revoked")


def _seconds(text: str) -> float:
    unit = _UNITS.get(text[-1:])
    if unit is None or not text[:-1].isdigit():
        raise UsageError(f"{text!r} is no time", next_step="as in 90s, 30m, 12h or 30d")
    return float(int(text[:-1]) * unit)


def _end(expires_at: float | None) -> str:
    if expires_at is None:
        return "never expires"
    left = expires_at - time.time()
    return f"expires in {left / 86_400:.1f} days" if left > 0 else "expired"
