"""What keeps replicas from being started is told by a session, which has no status to ask for."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any, cast

import pytest

from flashcore.control.controller import Controller
from flashcore.dev import waiting
from flashcore.dev.told import Noted, Told
from flashcore.dev.waiting import tell_what_is_waited_for
from flashcore.model.replica import Phase

FULL = "there is no room: No space left on device"


class Looked:
    """A controller whose one replica is as each of these says when it is looked at, and then as the last one."""

    def __init__(self, *replicas: tuple[Phase, str]) -> None:
        self._replicas = list(replicas)
        self.over = asyncio.Event()

    def views(self) -> tuple[Any, ...]:
        """What is seen now."""
        phase, reason = self._replicas.pop(0) if self._replicas else (Phase.RUNNING, "")
        if not self._replicas:
            self.over.set()
        replica = SimpleNamespace(phase=phase, reason=reason)
        return (SimpleNamespace(endpoint="web", sides=(SimpleNamespace(replicas=(replica,)),)),)


async def told_of(monkeypatch: pytest.MonkeyPatch, *replicas: tuple[Phase, str]) -> list[Told]:
    """What is told of a replica that is so at one look after the other."""
    monkeypatch.setattr(waiting, "_INTERVAL", 0.0)
    told: list[Told] = []
    looked = Looked(*replicas)
    task = asyncio.create_task(tell_what_is_waited_for(cast(Controller, looked), told.append))
    await asyncio.wait_for(looked.over.wait(), 30.0)
    task.cancel()
    return told


async def test_a_replica_that_cannot_be_started_is_told_of_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A session on a full disk said nothing at all, and every call to it waited."""
    pending = (Phase.PENDING, FULL)

    told = await told_of(monkeypatch, pending, pending, pending, pending, (Phase.RUNNING, ""))

    assert told == [Noted(f"web cannot be started yet: {FULL}")]


async def test_what_is_over_at_the_next_look_is_not_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every replica waits for a moment."""
    told = await told_of(monkeypatch, (Phase.PENDING, FULL), (Phase.RUNNING, ""), (Phase.PENDING, ""))

    assert told == []


async def test_what_comes_again_is_told_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """It was away in between."""
    pending, running = (Phase.PENDING, FULL), (Phase.RUNNING, "")

    told = await told_of(monkeypatch, pending, pending, running, pending, pending, running)

    assert len(told) == 2
