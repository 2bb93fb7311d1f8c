"""Where the control API listens, and what a gateway is told of its callers."""

from __future__ import annotations

from pathlib import Path

import pytest

from flashcore.gateway.main import parse
from flashcore.server.gateways import security_options
from flashcore.server.listening import inner_host
from flashcore.settings import Project, Settings, read_settings

EVERYWHERE = "0.0.0.0"  # noqa: S104 - nothing listens there


@pytest.mark.parametrize(
    ("settings", "host"),
    [
        (Settings("shop"), "127.0.0.1"),
        (Settings("shop", host="::1"), "::1"),
        (Settings("shop", host=EVERYWHERE, auth="on"), "127.0.0.1"),
        (Settings("shop", host=EVERYWHERE, exposed=True), EVERYWHERE),
    ],
)
def test_the_control_api_is_not_spoken_to_in_the_clear_from_elsewhere(settings: Settings, host: str) -> None:
    """Its token would be read on the way; only where somebody vouches for a proxy it listens beyond this machine."""
    assert inner_host(settings) == host


def test_a_gateway_is_told_which_proxies_are_trusted(tmp_path: Path) -> None:
    """From the project's file to the gateway's own words for it."""
    (tmp_path / "flashcore.toml").write_text(
        'trusted_proxies = ["10.0.0.5", "::1"]\nexposed = true\n', encoding="utf-8"
    )
    settings = read_settings(tmp_path, {}, {})

    options = security_options(Project(tmp_path, settings))
    security = parse(["--layout", str(tmp_path), "--env", "test", "--jobs", "memory:", *options]).security

    assert (security.proxies, security.exposed) == (frozenset({"10.0.0.5", "::1"}), True)
