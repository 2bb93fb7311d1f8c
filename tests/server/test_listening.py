"""Where the control API listens."""

from __future__ import annotations

import pytest

from flashcore.server.listening import inner_host
from flashcore.settings import Settings

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
