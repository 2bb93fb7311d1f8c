"""What a gateway listens at, as it is shown to who wants to call it."""

from __future__ import annotations

import socket

import pytest

from flashcore.gateway.handover import Listeners


@pytest.mark.parametrize(
    ("host", "shown"), [("10.1.2.3", "10.1.2.3"), ("flash.example.com", "flash.example.com"), ("::", "[::]")]
)
def test_the_address_for_other_machines_has_the_port_that_was_free(host: str, shown: str) -> None:
    """With TLS, of the two that there are then: the other one is for this machine; without, where something does it."""
    with socket.create_server(("127.0.0.1", 0)) as first, socket.create_server(("127.0.0.1", 0)) as second:
        both = Listeners(host, (first.fileno(),), (second.fileno(),))
        plain = Listeners(host, (), (second.fileno(),))

        assert both.from_outside == f"https://{shown}:{first.getsockname()[1]}"
        assert plain.from_outside == f"http://{shown}:{second.getsockname()[1]}"


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::1"])
def test_there_is_none_where_only_this_machine_is_listened_to(host: str) -> None:
    """Nor before anything is listened at."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        assert Listeners(host, (), (listening.fileno(),)).from_outside is None

    assert Listeners("10.1.2.3").from_outside is None
