"""The kit for providers sees each fault that it is there for."""

from __future__ import annotations

import dataclasses
from collections.abc import AsyncGenerator, Awaitable, Callable

import pytest

from flashcore.hookspecs.providers import Gone, Hints, Instance, Provider, Running
from flashcore.model.declaration import Template
from flashcore.model.names import Digest, EndpointName, InstanceId, ReplicaId, RevisionId
from flashcore.model.revision import Revision, RevisionContent
from flashcore.testing import provider_kit as kit
from flashcore.testing.conformance import Nonconformance
from flashcore.testing.simulated_provider import NEVER, Life, SimulatedProvider
from flashcore.testing.virtual_time import VirtualTime, run_virtual


async def revision(number: int) -> Revision:
    """One of two."""
    content = RevisionContent(EndpointName("e"), "queue", Template(), (), "handler.py", Digest("d"), "3.12")
    return Revision(RevisionId(str(number) * 64), content, number, 0.0)


def subject(made: Callable[[VirtualTime], Provider]) -> kit.Subject:
    """A provider as a check is given it: the same one each time, since what it simulates is in it."""
    provider = made(VirtualTime())

    async def make() -> Provider:
        return provider

    return kit.Subject(make, revision, patience=30.0)


class Boasts(SimulatedProvider):
    """Says that it can do what nobody has heard of."""

    def __init__(self, clock: VirtualTime) -> None:
        super().__init__(clock, capabilities=frozenset({"individual", "teleport"}))


class Sluggish(SimulatedProvider):
    """Its replicas load for ever."""

    def __init__(self, clock: VirtualTime) -> None:
        super().__init__(clock, lambda _replica, _revision: Life(ready_after=NEVER))


class Dies(SimulatedProvider):
    """Its replicas end as soon as they are ready."""

    def __init__(self, clock: VirtualTime) -> None:
        super().__init__(clock, lambda _replica, _revision: Life(ready_after=0.1, ends_after=0.1))


class Doubles(SimulatedProvider):
    """Reports everything twice."""

    async def observe(self) -> tuple[Instance, ...]:
        """Once more."""
        return (*await super().observe(), *await super().observe())


class Renews(SimulatedProvider):
    """Starts everything anew at each wish."""

    async def apply(self, revision: Revision, want: frozenset[ReplicaId], hints: Hints) -> None:
        """First what runs is restarted."""
        for replica in self.running() & want:
            self.restart_in_place(replica)
        await super().apply(revision, want, hints)


class Shuffles(SimulatedProvider):
    """Restarts the others when one goes."""

    async def apply(self, revision: Revision, want: frozenset[ReplicaId], hints: Hints) -> None:
        """Only when fewer are wanted."""
        if self.running() - want and want:
            for replica in self.running() & want:
                self.restart_in_place(replica)
        await super().apply(revision, want, hints)


class Keeps(SimulatedProvider):
    """Goes on reporting what has ended."""

    def __init__(self, clock: VirtualTime) -> None:
        super().__init__(clock)
        self._known: dict[ReplicaId, Instance] = {}

    async def observe(self) -> tuple[Instance, ...]:
        """As gone, for ever."""
        now = {one.replica: one for one in await super().observe()}
        gone = [dataclasses.replace(one, state=Gone("done")) for name, one in self._known.items() if name not in now]
        self._known |= now
        return (*now.values(), *gone)


class Sweeps(SimulatedProvider):
    """Takes a wish for one revision for all that is wanted."""

    async def apply(self, revision: Revision, want: frozenset[ReplicaId], hints: Hints) -> None:
        """The others end."""
        for other in [one for one in self.revisions.values() if one.id != revision.id]:
            await super().apply(other, frozenset(), hints)
        await super().apply(revision, want, hints)


class Mute(SimulatedProvider):
    """Tells nobody."""

    def __init__(self, clock: VirtualTime) -> None:
        super().__init__(clock)
        self.mute = True


class EndsAll(SimulatedProvider):
    """Takes everything along when it is closed."""

    async def close(self) -> None:
        """Nothing is left."""
        for replica in tuple(self.running()):
            self.vanish(replica)


class Invents(SimulatedProvider):
    """Has logs of anybody."""

    async def logs(self, replica: ReplicaId, *, tail: int, follow: bool) -> AsyncGenerator[str, None]:
        """A line."""
        yield f"{replica}: nothing"


class Tells(SimulatedProvider):
    """Shows what it was given."""

    async def observe(self) -> tuple[Instance, ...]:
        """In the detail."""
        found = await super().observe()
        return tuple(
            dataclasses.replace(one, state=dataclasses.replace(one.state, detail=str(self.hints.get(one.revision))))
            if isinstance(one.state, Running)
            else one
            for one in found
        )


class OneInstance(SimulatedProvider):
    """Calls all of its processes by one name."""

    async def observe(self) -> tuple[Instance, ...]:
        """The same for each."""
        return tuple(
            dataclasses.replace(one, state=dataclasses.replace(one.state, instance=InstanceId("it")))
            if isinstance(one.state, Running)
            else one
            for one in await super().observe()
        )


FAULTS: list[tuple[Callable[[VirtualTime], Provider], Callable[[kit.Subject], Awaitable[None]]]] = [
    (Boasts, kit.check_capabilities),
    (Sluggish, kit.check_what_is_wanted_runs),
    (Dies, kit.check_what_is_wanted_runs),
    (Doubles, kit.check_what_is_wanted_runs),
    (OneInstance, kit.check_what_is_wanted_runs),
    (Renews, kit.check_the_same_wish_changes_nothing),
    (Shuffles, kit.check_more_and_fewer_leave_the_others_alone),
    (Keeps, kit.check_what_is_not_wanted_ends),
    (Sweeps, kit.check_revisions_are_apart),
    (Mute, kit.check_changes_are_told),
    (EndsAll, kit.check_replicas_outlive_the_provider),
    (Invents, kit.check_logs_of_nobody),
    (Tells, kit.check_secrets_are_not_shown),
]


@pytest.mark.parametrize(("broken", "check"), FAULTS, ids=lambda one: one.__name__)
def test_a_fault_is_seen(
    broken: Callable[[VirtualTime], Provider], check: Callable[[kit.Subject], Awaitable[None]]
) -> None:
    """Each by the check that is there for it, in virtual time."""

    async def work() -> None:
        await check(subject(broken))

    with pytest.raises(Nonconformance):
        run_virtual(work())


@pytest.mark.parametrize("check", kit.ProviderKit.checks.values(), ids=kit.ProviderKit.checks)
def test_the_simulated_provider_conforms(check: Callable[[kit.Subject], Awaitable[None]]) -> None:
    """Or simulations would show what no provider does."""

    async def work() -> None:
        await check(subject(SimulatedProvider))

    run_virtual(work())


def test_every_check_has_a_fault_that_it_sees() -> None:
    """A check that sees nothing checks nothing."""
    assert {check for _, check in FAULTS} == set(kit.ProviderKit.checks.values())
