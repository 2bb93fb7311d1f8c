"""Of many deployments those are woken whom the news of gateways concerns, and nobody else is looked at."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from flashcore.control.clock import StoreClock
from flashcore.control.listening import Listening
from flashcore.control.news import NewsDesk
from flashcore.control.publishing import Publisher
from flashcore.model.names import EndpointName, InstanceId, ReplicaId, RevisionId
from flashcore.model.parts import PartRef
from flashcore.model.table import EndpointRoute, EndpointSignals, ReplicaRoute, SideRoute
from flashcore.testing.clock import VirtualClock
from flashcore.testing.dataplane import TwinDataPlane, TwinGateway
from flashcore.wire.news import News

A, B, C = EndpointName("a"), EndpointName("b"), EndpointName("c")
GATEWAYS = News(gateways=True)


class Counted(set[EndpointName]):
    """Names that count how often all of them are gone through."""

    scans = 0

    def __iter__(self) -> Iterator[EndpointName]:
        """Count."""
        self.scans += 1
        return super().__iter__()


class Scene:
    """Three endpoints of one replica each, and one gateway that serves by whatever table it is given here."""

    def __init__(self) -> None:
        self.gateway = TwinGateway("g", delay=float("inf"))
        self.plane = TwinDataPlane([self.gateway])
        self.publisher = Publisher(self.plane, StoreClock(VirtualClock()), epoch=1)
        self.woken: list[EndpointName] = []
        self.known = Counted({A, B, C})
        self.listening = Listening(self.plane, self.publisher, self.known, self.woken.append)
        for name in (A, B, C):
            self.publisher.put(name, route(name, f"{name}-1"))
        self.apply()

    def apply(self) -> None:
        """The gateway serves by the newest table."""
        self.gateway.table = self.publisher.table

    def wait(self, name: EndpointName, replica: str) -> bool:
        """As a loop whose replica drains: whether it is free, and otherwise to be told."""
        free = self.publisher.is_free(name, ReplicaId(replica))
        if not free:
            self.publisher.await_free(name, ReplicaId(replica))
        return free


def route(name: EndpointName, *replicas: str) -> EndpointRoute:
    """A queue endpoint's."""
    listed = tuple(ReplicaRoute(ReplicaId(one), InstanceId("i"), None, 1) for one in replicas)
    sides = (SideRoute(RevisionId("r" * 64), None, listed),)
    return EndpointRoute(name, "jobs", sides, PartRef("p2c"), 1.0, 1.0, 1.0, 1)


@pytest.fixture
def scene() -> Scene:
    """Nobody waits for anything."""
    return Scene()


def test_an_ack_wakes_those_alone_whose_replica_is_free_by_it(scene: Scene) -> None:
    """The others need not even be looked at."""
    scene.publisher.put(A, route(A))
    assert not scene.wait(A, "a-1")
    scene.listening.take(GATEWAYS)
    assert scene.woken == []

    scene.apply()
    scene.publisher.put(B, route(B))
    assert not scene.wait(B, "b-1")
    scene.listening.take(GATEWAYS)

    assert (scene.woken, scene.known.scans) == ([A], 0)
    assert scene.wait(A, "a-1")
    scene.listening.take(GATEWAYS)
    assert scene.woken == [A]


def test_who_waits_for_an_older_and_a_newer_table_is_woken_for_both(scene: Scene) -> None:
    """Two replicas of one endpoint leave one after the other."""
    scene.publisher.put(A, route(A, "a-2"))
    scene.wait(A, "a-1")
    scene.apply()
    scene.publisher.put(A, route(A))
    scene.wait(A, "a-2")
    scene.listening.take(GATEWAYS)
    assert (scene.woken, scene.wait(A, "a-1"), scene.wait(A, "a-2")) == ([A], True, False)

    scene.apply()
    scene.listening.take(GATEWAYS)
    assert (scene.woken, scene.wait(A, "a-2")) == ([A, A], True)


def test_a_gateway_that_goes_frees_what_it_kept(scene: Scene) -> None:
    """Nobody is left who could send anything."""
    scene.publisher.put(A, route(A))
    scene.wait(A, "a-1")
    scene.plane.disconnect("g")
    scene.listening.take(GATEWAYS)

    assert (scene.woken, scene.wait(A, "a-1")) == ([A], True)


def test_signals_wake_their_endpoint_once(scene: Scene) -> None:
    """The same said again is no news; of an endpoint that is gone nothing is kept."""
    scene.plane.report({A: (EndpointSignals(queued=1),), EndpointName("gone"): (EndpointSignals(queued=1),)})
    news = News(frozenset({A, EndpointName("gone")}))
    scene.listening.take(news)
    scene.listening.take(news)
    assert (scene.woken, scene.known.scans) == ([A], 0)

    scene.listening.forget(A)
    scene.listening.take(news)
    assert scene.woken == [A, A]


def test_a_refusal_wakes_those_whom_it_concerns_and_so_does_its_end(scene: Scene) -> None:
    """Those whose routes are in the refused table and in none that is served."""
    scene.publisher.put(A, route(A))
    scene.gateway.refused, scene.gateway.reason = scene.publisher.table.version, "no such part"
    scene.listening.take(GATEWAYS)
    scene.listening.take(GATEWAYS)
    assert scene.woken == [A]

    scene.gateway.refused = 0
    scene.apply()
    scene.listening.take(GATEWAYS)
    assert scene.woken == [A, A]


def test_a_gateway_is_behind_until_it_has_taken_over_or_refused_the_newest_route_of_an_endpoint(scene: Scene) -> None:
    """Routes of others do not count; without a gateway nobody is behind."""
    assert scene.publisher.behind(A) == ()

    scene.publisher.put(A, route(A, "a-2"))
    scene.publisher.put(B, route(B, "b-2"))
    assert (scene.publisher.behind(A), scene.publisher.behind(C)) == (("g",), ())

    scene.apply()
    assert scene.publisher.behind(A) == scene.publisher.behind(B) == ()

    scene.publisher.put(A, route(A, "a-3"))
    scene.gateway.refused = scene.publisher.table.version
    assert scene.publisher.behind(A) == ()

    scene.publisher.put(A, route(A, "a-4"))
    assert scene.publisher.behind(A) == ("g",)
    scene.plane.disconnect("g")
    assert scene.publisher.behind(A) == ()


async def test_news_that_come_while_nobody_looks_are_one_and_complete() -> None:
    """Every listener hears all of it, from its first look on, and ends with the desk."""
    desk = NewsDesk()
    first, second = desk.heard(), desk.heard()
    waiting = [asyncio.ensure_future(anext(one)) for one in (first, second)]
    await asyncio.sleep(0)
    desk.tell_of_gateways()
    assert await asyncio.gather(*waiting) == [GATEWAYS, GATEWAYS]

    desk.tell_of_endpoints([A])
    desk.tell_of_endpoints([B, A])
    assert await anext(first) == News(frozenset({A, B}))
    desk.tell_of_gateways()
    assert await anext(second) == News(frozenset({A, B}), gateways=True)

    desk.close()
    assert [news async for news in second] == []
