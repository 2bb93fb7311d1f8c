"""Asking replicas whether they are well, each on its own beat, and keeping what the answers amount to.

A replica is asked often while it warms up or changes, seldom while it is steady, ever more seldom once it has failed.
Times are spread by chance, so that replicas that were made together are not asked together. There is never more than
one question to a replica, and an answer that comes after the instance has changed is thrown away.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from random import Random

from flashcore.control.alarms import Alarms
from flashcore.control.health import Judgement, step
from flashcore.hookspecs.probes import Answer, Finding, Probe, ProbeTarget
from flashcore.hookspecs.providers import Clock, Running
from flashcore.model.declaration import ProbePolicy
from flashcore.model.deployment import Watch
from flashcore.model.names import EndpointName, ReplicaId
from flashcore.model.replica import Health, Phase, Replica
from flashcore.wire.hello import Stage

FAST = 1.0
"""Seconds between questions to a replica that is warming up, unless its interval is shorter."""
CHANGING_FACTOR = 4
"""A replica whose answers are changing is asked so many times as often as a steady one."""
SLOWEST_FACTOR = 8
"""A failed replica's interval doubles up to so many times the ordinary one."""
JITTER = 0.1
"""Share of an interval by which it varies."""


@dataclass(frozen=True, slots=True)
class Asked:
    """One replica that is to be asked, and how."""

    replica: Replica
    target: ProbeTarget
    watch: Watch
    probe: Probe


@dataclass(slots=True)
class Beat:
    """One replica that is asked. Written by the prober alone."""

    asked: Asked
    judgement: Judgement
    heard_at: float
    failed_rounds: int = 0
    asking: asyncio.Task[None] | None = None

    @property
    def health(self) -> ProbePolicy:
        """When its answers amount to what, and how often it is asked."""
        return self.asked.watch.health


class Prober:
    """All replicas that are asked. `changed` is told of an endpoint one of whose replicas looks different now."""

    def __init__(self, clock: Clock, random: Random, changed: Callable[[EndpointName], None]) -> None:
        self.alarms = Alarms(clock, self._ask)
        self._clock = clock
        self._random = random
        self._changed = changed
        self._beats: dict[ReplicaId, Beat] = {}
        self._by_endpoint: dict[EndpointName, set[ReplicaId]] = {}

    def judgements(self, endpoint: EndpointName) -> Mapping[ReplicaId, Judgement]:
        """What the answers of an endpoint's replicas amount to."""
        return {replica: self._beats[replica].judgement for replica in self._by_endpoint.get(endpoint, ())}

    def heard_at(self, replica: ReplicaId) -> float | None:
        """When the replica answered last, whatever it said; None for one that is not asked."""
        beat = self._beats.get(replica)
        return beat.heard_at if beat else None

    def follow(self, endpoint: EndpointName, replicas: Iterable[Asked]) -> None:
        """From now on ask these replicas of the endpoint and no others."""
        wanted = {asked.replica.id: asked for asked in replicas}
        for gone in self._by_endpoint.pop(endpoint, set()) - wanted.keys():
            self._drop(gone)
        if wanted:
            self._by_endpoint[endpoint] = set(wanted)
        for asked in wanted.values():
            self._follow_one(asked)

    def forget(self, endpoint: EndpointName) -> None:
        """Ask none of the endpoint's replicas any more."""
        for replica in self._by_endpoint.pop(endpoint, set()):
            self._drop(replica)

    def _follow_one(self, asked: Asked) -> None:
        replica, instance = asked.replica, asked.target.running.instance
        beat = self._beats.get(replica.id)
        if beat is not None and beat.judgement.instance == instance:
            beat.asked = asked
            if replica.health is not beat.judgement.health and beat.judgement.health is Health.NOT_CHECKED:
                # It proved itself otherwise, by saying that it is ready.
                beat.judgement = Judgement(instance, replica.health)
            return
        self._drop(replica.id)
        self._beats[replica.id] = Beat(asked, Judgement(instance, replica.health), self._clock.now())
        first = self._random.random() * _interval(self._beats[replica.id])
        self.alarms.set(replica.id, self._clock.now() + first)

    def _drop(self, replica: ReplicaId) -> None:
        beat = self._beats.pop(replica, None)
        self.alarms.set(replica, None)
        if beat is not None and beat.asking is not None:
            beat.asking.cancel()

    def _ask(self, replica: object) -> None:
        beat = self._beats.get(ReplicaId(str(replica)))
        if beat is not None and beat.asking is None:
            beat.asking = asyncio.get_running_loop().create_task(self._ask_once(beat), name=f"probe {replica}")

    async def _ask_once(self, beat: Beat) -> None:
        finding = await _finding(beat)
        target = beat.asked.target
        if self._beats.get(target.replica) is not beat:
            return
        before = beat.judgement
        beat.asking = None
        beat.heard_at = self._clock.now()
        deadline = beat.asked.watch.initial_delay > 0
        beat.judgement = step(before, finding.answer, finding.detail, beat.health, deadline=deadline)
        beat.failed_rounds = beat.failed_rounds + 1 if beat.judgement.health is Health.FAILED else 0
        if not (beat.judgement.health is Health.FAILED and beat.health.failed_terminal):
            spread = 1 + JITTER * (2 * self._random.random() - 1)
            self.alarms.set(target.replica, beat.heard_at + _interval(beat) * spread)
        if beat.judgement.health is not before.health:
            self._changed(target.endpoint)


def can_be_asked(replica: Replica, running: Running, watch: Watch) -> bool:
    """Whether a probe of it would say anything: it lives, it is not busy loading, and probing was not switched off."""
    if watch.health.disabled or not replica.live or replica.phase is Phase.PENDING:
        return False
    return running.instance == replica.instance and running.stage in (Stage.STARTING, Stage.READY)


def _interval(beat: Beat) -> float:
    ordinary = beat.health.interval
    match beat.judgement.health:
        case Health.NOT_CHECKED:
            return min(FAST, ordinary)
        case Health.HEALTHY if beat.judgement.failures == 0:
            return ordinary
        case Health.FAILED:
            return ordinary * min(float(SLOWEST_FACTOR), 2.0**beat.failed_rounds)
        case _:
            return ordinary / CHANGING_FACTOR


async def _finding(beat: Beat) -> Finding:
    """The answer of one probe; taking too long and raising are failures, with their causes kept."""
    timeout = beat.health.timeout
    try:
        async with asyncio.timeout(timeout):
            found: object = await beat.asked.probe.probe(beat.asked.target, timeout)
    except TimeoutError:
        return Finding(Answer.FAILING, f"no answer within {timeout:g} s")
    except Exception as error:  # noqa: BLE001  # a probe may raise anything; by its contract that is a failure
        return Finding(Answer.FAILING, f"{type(error).__name__}: {error}")
    if isinstance(found, Finding) and isinstance(found.answer, Answer):
        return found
    return Finding(Answer.FAILING, f"the probe must give a Finding with an Answer, not {found!r}")
