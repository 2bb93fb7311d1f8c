"""Observers: told of everything, waited for by nobody."""

import logging
import sys
import threading
import time
from collections.abc import Callable, Iterator
from types import ModuleType

import pytest
from tests.registry.conftest import Site

from flashcore.hookspecs import EXTENSION_POINTS
from flashcore.model.events import Event
from flashcore.plugin import hookimpl
from flashcore.registry.calls import implementations
from flashcore.registry.hook_table import HookTable
from flashcore.registry.observers import Observers
from flashcore.registry.reports import Origin

Opened = Callable[..., Observers]


@pytest.fixture
def observing() -> Iterator[Opened]:
    """Observers made from functions; closed afterwards."""
    opened = []

    def observe(*functions: Callable[[object], object], capacity: int = 1000) -> Observers:
        table = HookTable(EXTENSION_POINTS.values())
        origins = {}
        for position, function in enumerate(functions):
            module = ModuleType(f"observer_{position}")
            module.flashcore_event = hookimpl(_as_function(function))  # type: ignore[attr-defined]  # as a plugin's module
            origin = Origin(f"observer{position}", f"flashcore-observer{position}", "1.0")
            table.admit(origin, module)
            origins[origin.key] = origin
        found = implementations(table, "flashcore_event")
        observers = Observers("flashcore_event", ((origins[one.plugin_name], one) for one in found), capacity)
        opened.append(observers)
        return observers

    yield observe
    for observers in opened:
        observers.close(5)


def _as_function(function: Callable[[object], object]) -> Callable[..., object]:
    def flashcore_event(event: object) -> object:
        return function(event)

    return flashcore_event


def test_events_arrive_in_their_order(observing: Opened) -> None:
    """One thread for each observer, one queue."""
    heard: list[object] = []
    observers = observing(heard.append)

    for n in range(500):
        observers.tell(event=n)
    observers.close(60)

    assert heard == list(range(500))


def test_an_observer_that_hangs_delays_nobody(observing: Opened) -> None:
    """Neither whoever tells, nor another observer, nor closing for longer than it was told."""
    release = threading.Event()
    heard: list[object] = []
    observers = observing(lambda _: release.wait(60), heard.append)

    for n in range(100):
        observers.tell(event=n)
    observers.close(0.2)
    deadline = time.monotonic() + 60
    while len(heard) < 100 and time.monotonic() < deadline:
        time.sleep(0.001)

    assert heard == list(range(100))
    release.set()


def test_an_observer_that_raises_hears_the_next_event(observing: Opened, caplog: pytest.LogCaptureFixture) -> None:
    """Its failures are counted, and logged once with its name."""
    heard: list[object] = []

    def fail(event: object) -> None:
        heard.append(event)
        raise SystemExit("no more") if event == 1 else ValueError(f"cannot bear {event}")

    observers = observing(fail)
    with caplog.at_level(logging.WARNING):
        for n in range(5):
            observers.tell(event=n)
        observers.close(60)

    (health,) = observers.health()
    assert heard == [0, 1, 2, 3, 4]
    assert (health.delivered, health.failed) == (0, 5)
    assert health.last_failure == "ValueError: cannot bear 4"
    assert len(caplog.records) == 1
    assert "observer0 (flashcore-observer0 1.0) raised ValueError: cannot bear 0" in caplog.text


def test_an_observer_that_cannot_keep_up_loses_events_not_our_memory(
    observing: Opened, caplog: pytest.LogCaptureFixture
) -> None:
    """The newest go; how many is counted, and that it happened is logged once."""
    release, started = threading.Event(), threading.Event()
    heard: list[object] = []

    def slow(event: object) -> None:
        started.set()
        release.wait(60)
        heard.append(event)

    observers = observing(slow, capacity=3)
    observers.tell(event=0)
    started.wait(60)
    with caplog.at_level(logging.WARNING):
        for n in range(1, 10):
            observers.tell(event=n)
    release.set()
    observers.close(60)

    assert heard == [0, 1, 2, 3]
    assert observers.health()[0].dropped == 6
    assert len(caplog.records) == 1


def test_closing_twice_and_telling_afterwards_do_nothing(observing: Opened) -> None:
    """A platform that goes down may still have something to say."""
    heard: list[object] = []
    observers = observing(heard.append)

    observers.close()
    observers.tell(event=1)
    observers.close()

    assert heard == []


def test_closing_ends_the_threads(observing: Opened) -> None:
    """An observer that has nothing left to do is not waited for until the time is over."""
    before = {*threading.enumerate()}
    observers = observing(lambda _: None, lambda _: None)
    observers.tell(event=1)

    started = time.monotonic()
    observers.close(60)

    assert {*threading.enumerate()} <= before
    assert time.monotonic() - started < 30


def test_an_observer_may_tell_of_events_itself(observing: Opened) -> None:
    """What it causes comes back to it later, from the same queue."""
    heard: list[int] = []

    def echo(event: object) -> None:
        assert isinstance(event, int)
        heard.append(event)
        if event < 3:
            observers.tell(event=event + 1)

    observers = observing(echo)
    observers.tell(event=0)
    deadline = time.monotonic() + 60
    while len(heard) < 4 and time.monotonic() < deadline:
        time.sleep(0.001)

    assert heard == [0, 1, 2, 3]


def test_no_thread_is_started_before_there_is_something_to_tell(observing: Opened) -> None:
    """Opening a registry to list plugins starts nothing."""
    before = {*threading.enumerate()}

    observing(lambda _: None)

    assert {*threading.enumerate()} <= before


def test_a_registry_tells_its_plugins_of_events(site: Site) -> None:
    """From the plugin's entry point to its hook."""
    site.plugin(
        "acme",
        """
        from flashcore.plugin import hookimpl
        heard = []
        @hookimpl
        def flashcore_event(event):
            heard.append(event)
        """,
    )
    registry = site.registry()
    event = Event("replica.ready", 1.5)

    registry.tell(event)
    registry.close()

    assert sys.modules["flashcore_acme.hooks"].heard == [event]
