"""Ending everything that a provider runs in our name, and waiting until it is gone."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence

from flashcore.control.sweep import only_named
from flashcore.hookspecs.providers import Clock, Gone, Hints, Instance, Provider
from flashcore.model.errors import DeadlineExceeded

SLACK = 15.0
"""Seconds beyond the grace that a provider may need to make sure."""

_LOOK_EVERY = 0.1
"""The loops that listen to the provider have been stopped; this happens once in a process's life."""


async def end_all(provider: Provider, clock: Clock, grace: float) -> None:
    """Let replicas finish within `grace` seconds, and return when nothing is left.

    Raises DeadlineExceeded, which names what is there though its time is over, as `replicas` too.
    """
    deadline = clock.now() + grace + SLACK
    instances = await provider.observe()
    await _let_go(provider, clock, instances, grace)
    while there := [one for one in instances if not isinstance(one.state, Gone)]:
        if clock.now() > deadline:
            raise _still(there, grace + SLACK)
        await asyncio.sleep(_LOOK_EVERY)
        instances = await provider.observe()


def _still(there: Sequence[Instance], seconds: float) -> DeadlineExceeded:
    names = sorted(one.replica for one in there)
    return DeadlineExceeded(
        f"still running {seconds:.0f} s after their end was asked for: {', '.join(names)}",
        next_step="see the control plane's log, server.log",
        replicas=names,
    )


async def _let_go(provider: Provider, clock: Clock, instances: Iterable[Instance], grace: float) -> None:
    for endpoint, revision in {(one.endpoint, one.revision) for one in instances}:
        await provider.apply(only_named(endpoint, revision, clock.now()), frozenset(), Hints(grace=grace))
