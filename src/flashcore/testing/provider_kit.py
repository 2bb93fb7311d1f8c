"""What every provider has to do, as functions that need no test framework, and as a class for pytest.

A provider's whole test file:

    from flashcore.testing.provider_kit import ProviderKit
    from flashcore_acme import AcmeOptions, AcmeProvider

    class TestAcme(ProviderKit):
        async def open(self): return AcmeProvider(self.context, AcmeOptions())
        async def revision(self, number): ...  # one whose replicas become ready; another number is another revision

A check opens the provider, starts it, and in the end has it want nothing and closes it. The functions take a Subject
and raise Nonconformance, or NotAsked where the check is about something that the provider does not claim.
"""

from __future__ import annotations

import asyncio
from abc import abstractmethod
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import ClassVar

from flashcore.hookspecs.providers import CAPABILITIES, Gone, Hints, Instance, Provider, Running
from flashcore.model.errors import NotFound
from flashcore.model.names import ReplicaId
from flashcore.model.revision import Revision
from flashcore.testing.conformance import Nonconformance, require
from flashcore.testing.kit import Check, Kit, checks_of, skip
from flashcore.testing.store_checks.subject import NotAsked
from flashcore.wire.hello import Stage

SECRET = "do-not-show-this-secret"  # noqa: S105 - it is looked for where none may be
STEADY = 1.0
"""Seconds for which it is looked whether what should go on does."""
_LOOK_EVERY = 0.02
A, B, C = (ReplicaId(f"tested-{letter}") for letter in "abc")


@dataclass(frozen=True, slots=True)
class Subject:
    """What is tested: how the provider is made, once more in the same place; what it is to run; how long that takes."""

    make: Callable[[], Awaitable[Provider]]
    revision: Callable[[int], Awaitable[Revision]]
    patience: float = 60.0
    """Seconds after which something that should have happened counts as never."""
    outlives: bool = True
    """Whether what it runs can be found again by another process of the platform."""


async def check_capabilities(subject: Subject) -> None:
    """They are some of those that there are, and always the same."""
    async with _opened(subject) as provider:
        claimed = provider.capabilities
        require(claimed <= CAPABILITIES, f"capabilities are some of {', '.join(sorted(CAPABILITIES))}", claimed)
        await _all_ready(subject, provider, await subject.revision(1), {A})
        require(provider.capabilities == claimed, "capabilities stay as they are", provider.capabilities)


async def check_what_is_wanted_runs(subject: Subject) -> None:
    """Each wanted replica is there once, says so itself, and is reported with its endpoint, revision and instance."""
    async with _opened(subject) as provider:
        revision = await subject.revision(1)
        found = await _all_ready(subject, provider, revision, {A, B})
        require({one.endpoint for one in found.values()} == {revision.content.endpoint}, "the endpoint is told", found)
        instances = {one.state.instance for one in found.values() if isinstance(one.state, Running)}
        require(len(instances) == 2 and all(instances), "each run of a replica is an instance of its own", instances)


async def check_the_same_wish_changes_nothing(subject: Subject) -> None:
    """`apply` says what is wanted, not what is to be done."""
    async with _opened(subject) as provider:
        revision = await subject.revision(1)
        before = await _all_ready(subject, provider, revision, {A, B})
        for _ in range(3):
            await provider.apply(revision, frozenset({A, B}), Hints())
        await _all_ready(subject, provider, revision, {A, B})
        await _require_same(provider, before, {A, B})


async def check_more_and_fewer_leave_the_others_alone(subject: Subject) -> None:
    """One more, then one less: the rest go on as they are."""
    async with _opened(subject) as provider:
        if "individual" not in provider.capabilities:
            raise NotAsked("this provider does not claim `individual`: it chooses itself which replicas go")
        revision = await subject.revision(1)
        before = await _all_ready(subject, provider, revision, {A, B})
        more = await _all_ready(subject, provider, revision, {A, B, C})
        await _require_same(provider, before, {A, B})
        await _all_ready(subject, provider, revision, {A, C})
        await _require_same(provider, more, {A, C})


async def check_what_is_not_wanted_ends(subject: Subject) -> None:
    """An empty set ends all of a revision, and nothing of it is reported then; wanting nothing again is nothing."""
    async with _opened(subject) as provider:
        revision = await subject.revision(1)
        await _all_ready(subject, provider, revision, {A, B})
        for _ in range(2):
            await provider.apply(revision, frozenset(), Hints(grace=5.0))
        await _until(subject, provider, lambda found: not found, "what is not wanted ends, and is reported no more")


async def check_revisions_are_apart(subject: Subject) -> None:
    """A wish for one revision is none for another."""
    async with _opened(subject) as provider:
        old, new = await subject.revision(1), await subject.revision(2)
        require(old.id != new.id, "the kit is given two revisions", old.id)
        await _all_ready(subject, provider, old, {A})
        await _all_ready(subject, provider, new, {B})
        found = await _found(provider)
        require(found.keys() == {A, B}, "both revisions run", found)
        await provider.apply(old, frozenset(), Hints(grace=5.0))
        left = await _until(subject, provider, lambda found: found.keys() == {B}, "only the one that is wanted is left")
        require(left[B].revision == new.id, "a replica is of the revision that it was wanted of", left)


async def check_changes_are_told(subject: Subject) -> None:
    """Who listens need not look again and again."""
    async with _opened(subject) as provider:
        told = asyncio.Event()

        async def listen() -> None:
            async for _ in provider.changes():
                told.set()

        listening = asyncio.create_task(listen())
        try:
            await asyncio.sleep(0)
            await provider.apply(await subject.revision(1), frozenset({A}), Hints())
            async with asyncio.timeout(subject.patience):
                while not _is_ready((await _found(provider)).get(A)):
                    await told.wait()
                    told.clear()
        except TimeoutError:
            raise Nonconformance("changes() yields when a replica has become ready") from None
        finally:
            listening.cancel()
            await asyncio.wait([listening])


async def check_replicas_outlive_the_provider(subject: Subject) -> None:
    """`close` ends nothing and may be called twice; the next provider in the same place finds what runs."""
    if not subject.outlives:
        raise NotAsked("what this provider runs ends with it")
    revision, provider = await subject.revision(1), await subject.make()
    await provider.start()
    try:
        before = await _all_ready(subject, provider, revision, {A, B})
    finally:
        await provider.close()
        await provider.close()
    async with _opened(subject) as heir:
        await _all_ready(subject, heir, revision, {A, B})
        await _require_same(heir, before, {A, B})


async def check_logs_of_nobody(subject: Subject) -> None:
    """NotFound for a replica that never was."""
    async with _opened(subject) as provider:
        try:
            async for _ in provider.logs(ReplicaId("never-there"), tail=10, follow=False):
                pass
        except NotFound:
            return
        raise Nonconformance("logs() of a replica that never was raises NotFound")


async def check_secrets_are_not_shown(subject: Subject) -> None:
    """Neither by the provider nor by what it reports."""
    async with _opened(subject) as provider:
        revision, hints = await subject.revision(1), Hints(secrets={"TESTED": SECRET})
        await _all_ready(subject, provider, revision, {A}, hints)
        shown = f"{provider!r} {await provider.observe()!r}"
        require(SECRET not in shown, "values of secrets are shown nowhere")


class ProviderKit(Kit):
    """Subclass it, call the subclass Test..., and say how to make the provider and something for it to run."""

    checks = checks_of(globals())
    patience: ClassVar[float] = 60.0
    outlives: ClassVar[bool] = True

    @abstractmethod
    async def open(self) -> Provider:
        """The provider, in the same place each time, not started yet."""

    @abstractmethod
    async def revision(self, number: int) -> Revision:
        """A revision of one endpoint whose replicas become ready; another number is another revision."""

    def examine(self, check: Check) -> None:
        """Run one check on an event loop of its own."""
        try:
            asyncio.run(check(Subject(self.open, self.revision, self.patience, self.outlives)))
        except NotAsked as reason:
            skip(str(reason))


@asynccontextmanager
async def _opened(subject: Subject) -> AsyncIterator[Provider]:
    """A provider that was started. In the end nothing is wanted any more, and it is closed."""
    provider = await subject.make()
    await provider.start()
    try:
        yield provider
    except BaseException:
        # What was wrong with it is the news; that it does not end properly either is not.
        with suppress(Exception):
            await _want_nothing(subject, provider)
        raise
    else:
        await _want_nothing(subject, provider)
        await _until(subject, provider, lambda found: not found, "in the end nothing is left")
    finally:
        await provider.close()


async def _want_nothing(subject: Subject, provider: Provider) -> None:
    for number in (1, 2):
        await provider.apply(await subject.revision(number), frozenset(), Hints(grace=1.0))


async def _all_ready(
    subject: Subject, provider: Provider, revision: Revision, want: Iterable[ReplicaId], hints: Hints | None = None
) -> Mapping[ReplicaId, Instance]:
    """Have the provider want these of the revision, and wait until they are all there is of it, and ready."""
    wanted = frozenset(want)
    await provider.apply(revision, wanted, hints or Hints(grace=5.0))

    def reached(found: Mapping[ReplicaId, Instance]) -> bool:
        mine = {replica: one for replica, one in found.items() if one.revision == revision.id}
        ended = [one for replica, one in mine.items() if replica in wanted and isinstance(one.state, Gone)]
        require(not ended, "a replica whose revision is sound does not end", ended)
        return mine.keys() == wanted and all(_is_ready(one) for one in mine.values())

    found = await _until(subject, provider, reached, f"exactly {', '.join(sorted(wanted))} run and are ready")
    return {replica: one for replica, one in found.items() if one.revision == revision.id}


async def _until(
    subject: Subject, provider: Provider, reached: Callable[[Mapping[ReplicaId, Instance]], bool], rule: str
) -> Mapping[ReplicaId, Instance]:
    """What is reported as soon as that is reached. A check of `changes` is another one: here it is looked again."""
    deadline = asyncio.get_running_loop().time() + subject.patience
    while not reached(found := await _found(provider)):
        require(asyncio.get_running_loop().time() < deadline, rule, found)
        await asyncio.sleep(_LOOK_EVERY)
    return found


async def _found(provider: Provider) -> Mapping[ReplicaId, Instance]:
    instances = await provider.observe()
    names = [one.replica for one in instances]
    require(len(set(names)) == len(names), "each replica is reported once", names)
    return {one.replica: one for one in instances}


def _is_ready(instance: Instance | None) -> bool:
    state = None if instance is None else instance.state
    return isinstance(state, Running) and state.stage is Stage.READY


async def _require_same(
    provider: Provider, before: Mapping[ReplicaId, Instance], replicas: Iterable[ReplicaId]
) -> None:
    """These go on as they were, for a moment: a provider may see late what it has done to one."""
    until = asyncio.get_running_loop().time() + STEADY
    while asyncio.get_running_loop().time() < until:
        after = await _found(provider)
        for replica in replicas:
            was, now = before[replica].state, after[replica].state if replica in after else None
            same = isinstance(was, Running) and isinstance(now, Running) and was.instance == now.instance
            require(same, "a replica that is still wanted goes on as it is", (was, now))
        await asyncio.sleep(_LOOK_EVERY)
