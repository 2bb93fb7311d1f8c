"""What is served, as the client and the gateway both understand it."""

from __future__ import annotations

import pytest
from tests.client.conftest import Answer, Gateway

from flashcore.client.carry import Carrier
from flashcore.client.discovery import Directory
from flashcore.model.codec import to_json
from flashcore.model.errors import FlashcoreError, ProtocolError
from flashcore.model.names import EndpointName
from flashcore.wire.served import ServedEndpoint, ServedManifest

SERVED = ServedManifest(3, (ServedEndpoint(EndpointName("jobs"), "jobs", "http://here/v2/jobs", 2),))


class Hands:
    """A clock that stands still until it is moved."""

    now = 0.0

    def __call__(self) -> float:
        """The time."""
        return self.now


def test_a_manifest_is_asked_for_once_in_its_lifetime(gateway: Gateway) -> None:
    """B55: the same type at both ends; asked for again when it has expired."""
    gateway.answer = lambda _: Answer(body=to_json(SERVED))
    clock = Hands()
    directory = Directory(Carrier(lambda: gateway.url), lifetime=30.0, clock=clock)

    assert directory.look().manifest == SERVED
    clock.now = 29.0
    assert (directory.look().age, len(gateway.seen)) == (29.0, 1)
    clock.now = 31.0
    assert (directory.look().age, len(gateway.seen)) == (0.0, 2)


def test_an_old_manifest_is_better_than_none_and_says_that_it_is_old(gateway: Gateway) -> None:
    """B55: served stale on error; the next look asks again, and a gateway that is back is believed."""
    gateway.answer = lambda _: Answer(body=to_json(SERVED))
    clock = Hands()
    directory = Directory(Carrier(lambda: gateway.url), lifetime=30.0, clock=clock)
    directory.look()
    clock.now = 40.0
    gateway.answer = lambda _: Answer(500, {"error": {"code": "state", "message": "the store is away"}})

    old = directory.look()

    assert (old.manifest, old.age) == (SERVED, 40.0)
    assert old.stale is not None
    assert "the store is away" in old.stale
    gateway.answer = lambda _: Answer(body=to_json(ServedManifest(4)))
    assert (directory.look().manifest.version, directory.look().stale) == (4, None)


def test_without_any_manifest_the_error_is_the_callers(gateway: Gateway) -> None:
    """B55: there is nothing to fall back to; an answer that is no manifest is named as such."""
    directory = Directory(Carrier(lambda: gateway.url))
    with pytest.raises(FlashcoreError):
        directory.look()
    gateway.answer = lambda _: Answer(body={"endpoints": 1})
    with pytest.raises(ProtocolError, match="manifest"):
        directory.look()
