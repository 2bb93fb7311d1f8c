"""Tables told as differences, over a connection that breaks: the gateway serves by, and keeps, what whole ones give."""

from __future__ import annotations

import asyncio
import tempfile
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.gateway.conftest import Policies, http_route, jobs_route, side

from flashcore.control.delivery import Delivery
from flashcore.gateway.keyring import Keyring
from flashcore.gateway.link import ControlConnection, ControlLink
from flashcore.gateway.routes import jobs_routing
from flashcore.gateway.settings import Settings
from flashcore.gateway.table import LiveTable
from flashcore.gateway.tablefile import kept_table
from flashcore.model.codec import to_json
from flashcore.model.layout import Layout
from flashcore.model.names import InstanceId, ReplicaId
from flashcore.model.parts import PartRef
from flashcore.model.table import (
    EndpointRoute,
    ReplicaRoute,
    RoutingTable,
    TableChange,
    change_between,
    changed_table,
)
from flashcore.wire.frames import FrameDecoder, encode_frame
from flashcore.wire.messages import Applied, Message, Table, TableUpdate, from_frame, to_frame

Endpoints = tuple[EndpointRoute, ...]


def _route(name: str, kind: str, count: int, revision: str) -> EndpointRoute:
    replicas = [ReplicaRoute(ReplicaId(f"{name}-{n}"), InstanceId("i"), f"unix:/{name}-{n}", 1) for n in range(count)]
    make = jobs_route if kind == "jobs" else http_route
    routing = PartRef("nothing") if kind == "impossible" else PartRef("least_busy")
    return make(name, side(*replicas, revision=revision), routing=routing)


KINDS = st.sampled_from(("jobs", "jobs", "http", "http", "http", "impossible"))
ROUTES = st.dictionaries(
    st.sampled_from("abcd"), st.tuples(KINDS, st.integers(0, 2), st.sampled_from("xy")), max_size=4
).map(lambda routes: tuple(_route(name, *rest) for name, rest in sorted(routes.items())))
STEPS = st.lists(
    st.one_of(
        ROUTES.map(lambda routes: ("publish", routes)),
        ROUTES.map(lambda routes: ("rival", routes)),
        *(st.just((step, ())) for step in ("down", "down", "up", "up", "settle", "settle", "cut", "restart")),
    ),
    max_size=40,
)


def served_alike(endpoints: Endpoints) -> bool:
    """Whether a gateway can serve by it."""
    return all(route.routing.name != "nothing" or route.ingress == "jobs" for route in endpoints)


@dataclass(eq=False)
class Peer:
    """A connection as the gateway's end sees it: what it is sent goes through bytes into a queue."""

    heard: deque[Message] = field(default_factory=deque)

    def send(self, message: Message) -> None:
        """As MessageConnection.send."""
        self.heard.extend(map(from_frame, FrameDecoder().feed(encode_frame(to_frame(message)))))

    @property
    def connection(self) -> ControlConnection:
        """For the link's eyes."""
        return cast("ControlConnection", self)


class Idle:
    """A gateway that has nothing to do."""

    async def quiesce(self, grace: float) -> int:
        """See Work."""
        return 0

    def resume(self) -> None:
        """See Work."""


class Pair:
    """A control plane's deliveries, a gateway, and what is under way between them."""

    def __init__(self, layout: Layout, loop: asyncio.AbstractEventLoop) -> None:
        self.layout, self.loop = layout, loop
        self.version = 0
        self.made: dict[int, Endpoints] = {0: ()}
        self.delivery = Delivery()
        self.updates = 0
        self.start()

    def start(self) -> None:
        """A gateway begins with what was kept."""
        self.live = LiveTable(Policies(), self.loop, Settings(), lambda _: None)
        if (kept := self.kept) is not None:
            self.live.apply(kept)
        self.link = ControlLink(self.live, Keyring(self.layout.token, required=False), self.layout, Idle())
        self.connect()

    def connect(self) -> None:
        """Everything that was under way is lost."""
        self.down: deque[Message] = deque()
        self.peer = Peer()
        self.link.joined(self.peer.connection)
        self.delivery.begin()
        self.send()

    @property
    def kept(self) -> RoutingTable | None:
        """What the next gateway would begin with."""
        return kept_table(self.layout.table_file, self.layout.table_changes_file)

    def table(self, endpoints: Endpoints) -> RoutingTable:
        """The next version."""
        self.version += 1
        self.made[self.version] = endpoints
        return RoutingTable(self.version, endpoints)

    def step(self, name: str, endpoints: Endpoints) -> None:
        """One thing happens."""
        match name:
            case "publish":
                self.delivery.want(self.table(endpoints))
                self.send()
            case "rival":
                table = self.table(endpoints)
                self.link.offered(Peer().connection, Table(table.version, to_json(table)))
            case "down" if self.down:
                self.take(self.down.popleft())
            case "up" if self.peer.heard:
                self.hear(self.peer.heard.popleft())
            case "settle":
                self.settle()
            case "cut":
                self.link.left(self.peer.connection)
                self.connect()
            case "restart":
                self.live.close()
                self.start()
            case _:
                pass

    def settle(self) -> None:
        """Until nothing is under way."""
        for _ in range(100):
            if not self.down and not self.peer.heard:
                return
            self.step("down", ())
            self.step("up", ())
        raise AssertionError("they never stop talking")

    def send(self) -> None:
        """What the control plane's end does whenever something happened."""
        match self.delivery.next():
            case RoutingTable() as table:
                self.down.append(Table(table.version, to_json(table)))
            case TableChange() as change:
                self.updates += 1
                self.down.append(TableUpdate(change.version, to_json(change)))
            case None:
                pass

    def take(self, message: Message) -> None:
        """The gateway is told."""
        (message,) = map(from_frame, FrameDecoder().feed(encode_frame(to_frame(message))))
        if isinstance(message, Table):
            self.link.offered(self.peer.connection, message)
        elif isinstance(message, TableUpdate):
            self.link.updated(self.peer.connection, message)

    def hear(self, message: Message) -> None:
        """The control plane is told."""
        if isinstance(message, Applied):
            (self.delivery.applied if message.refused is None else self.delivery.refused)(message.version)
            self.send()

    def check(self) -> None:
        """What is served is one of the tables that somebody made, whole, and so is what is kept."""
        served = self.live.routes
        assert served.table.endpoints == self.made[served.version]
        assert {name: service.routing.route for name, service in served.http.items() if service.routing} == {
            route.name: route for route in served.table.endpoints if route.ingress == "http"
        }
        assert served.jobs == {
            route.name: jobs_routing(route) for route in served.table.endpoints if route.ingress == "jobs"
        }
        if served.version:
            assert self.kept == served.table


@contextmanager
def pair() -> Iterator[Pair]:
    """Both ends, in a folder of their own."""
    loop = asyncio.new_event_loop()
    try:
        with tempfile.TemporaryDirectory(prefix="fc-") as folder:
            layout = Layout(Path(folder), "test")
            layout.home.mkdir(parents=True)
            yield Pair(layout, loop)
    finally:
        loop.close()


@given(steps=STEPS, last=ROUTES.filter(served_alike))
@settings(max_examples=50, deadline=None)
def test_differences_over_a_bad_connection_give_the_same_table_as_whole_ones(
    steps: list[tuple[str, Endpoints]], last: Endpoints
) -> None:
    """Lost messages, new connections, refusals, a rival, restarts: after every step what serves is whole and kept."""
    with pair() as both:
        for name, endpoints in steps:
            both.step(name, endpoints)
            both.check()
        both.step("publish", last)
        both.settle()
        both.check()

        assert both.live.routes.table == RoutingTable(both.version, last)


@given(old=ROUTES, new=ROUTES)
def test_a_change_makes_one_table_out_of_the_other(old: Endpoints, new: Endpoints) -> None:
    """Nothing is left out, nothing is in it that is the same, and what is the same stays the same object."""
    before, after = RoutingTable(3, old), RoutingTable(7, new)

    change = change_between(before, after)
    made = changed_table(before, change)

    assert made == after
    assert not any(route in old for route in change.put)
    assert all(any(route is one for one in old) for route in made.endpoints if route in old)


def test_a_table_is_told_as_a_difference_once_one_was_acknowledged() -> None:
    """The first goes whole, the next as what changed, and while one is under way the others wait for it."""
    a, b, c = (_route(name, "jobs", 1, "x") for name in "abc")
    with pair() as both:
        both.step("publish", (a, b))
        both.settle()
        both.step("publish", (a,))
        both.step("publish", (a, c))
        assert len(both.down) == 1
        both.settle()

        assert both.updates == 2
        assert both.live.routes.names == ("a", "c")


def test_a_difference_from_another_table_than_the_one_that_is_served_is_sent_whole() -> None:
    """Another control plane was faster: what the change would make of its table is nobody's."""
    with pair() as both:
        both.step("publish", (_route("a", "jobs", 1, "x"), _route("b", "jobs", 1, "x")))
        both.settle()
        both.step("rival", (_route("c", "jobs", 1, "x"),))
        both.step("publish", (_route("a", "jobs", 1, "y"), _route("b", "jobs", 1, "x")))
        for _ in range(3):
            both.step("down", ())
            both.check()
            both.step("up", ())
        both.settle()

        assert both.updates == 1
        assert both.live.routes.names == ("a", "b")


def test_what_a_change_does_not_name_stays_the_same_objects() -> None:
    """A changed route costs what it costs, whatever else there is."""
    web, queue = _route("web", "http", 2, "x"), _route("queue", "jobs", 2, "x")
    with pair() as both:
        both.step("publish", (queue, web))
        both.settle()
        before = both.live.routes
        swaps: list[frozenset[str]] = []
        both.live.on_swap(lambda swap: swaps.append(swap.touched))
        both.step("publish", (_route("more", "http", 1, "x"), queue, web))
        both.settle()
        after = both.live.routes

    assert after.http["web"].routing is before.http["web"].routing
    assert after.jobs["queue"] is before.jobs["queue"]
    assert swaps == [{"more"}]


def test_a_table_is_written_whole_again_when_its_changes_are_as_long_as_it_is() -> None:
    """The second file never grows beyond the first."""
    rest = tuple(_route(name, "jobs", 3, "x") for name in "abcd")
    with pair() as both:
        sizes = []
        for n in range(40):
            both.step("publish", (*rest, _route("web", "http", n % 3, "x")))
            both.settle()
            both.check()
            changes = both.layout.table_changes_file
            sizes.append(changes.stat().st_size if changes.exists() else 0)
        whole = both.layout.table_file.stat().st_size

    assert 0 < max(sizes) <= whole * 1.2
    assert sizes.count(0) > 1


def test_half_a_change_at_the_end_of_the_file_is_left_out() -> None:
    """A power failure cut it off: what stands before it is a whole table, and the next one is written whole."""
    with pair() as both:
        for count in range(3):
            both.step("publish", (*(_route(name, "jobs", 3, "x") for name in "bcd"), _route("e", "jobs", count, "x")))
            both.settle()
        changes = both.layout.table_changes_file
        changes.write_bytes(changes.read_bytes()[:-20])

        both.step("restart", ())
        assert both.live.routes.version == 2
        both.settle()
        both.step("publish", (_route("a", "jobs", 1, "y"),))
        both.settle()
        both.check()


def test_changes_that_the_table_has_already_are_passed_over() -> None:
    """Killed between writing the table whole and removing its changes: they are of an older table."""
    with pair() as both:
        rest = tuple(_route(name, "jobs", 3, "x") for name in "bcd")
        for count in range(3):
            both.step("publish", (*rest, _route("e", "jobs", count, "x")))
            both.settle()
        changes = both.layout.table_changes_file.read_bytes()
        both.step("rival", (*rest, _route("f", "http", 1, "x")))
        both.layout.table_changes_file.write_bytes(changes)

        both.check()
        assert changes.count(b"\n") == 2
