"""Probe answers to health: one pure step, with counters that only the leader's memory holds.

not_checked --successes--> healthy --failures--> unhealthy --more failures--> failed
     |                        ^                      |                          |
     +--attempts--> failed    +------successes-------+--------successes---------+  (unless failure is terminal)

While not_checked, a failure is only a failed attempt: attempts are counted in total, successes in a row. Where an
initial delay rules, attempts are not counted at all: the deadline of warming up is the only one. Neutral answers
count nowhere. Entering a state clears the counters.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from flashcore.hookspecs.probes import Answer
from flashcore.model.declaration import ProbePolicy
from flashcore.model.names import InstanceId
from flashcore.model.replica import Health


@dataclass(frozen=True, slots=True)
class Judgement:
    """What the answers about one life of a replica amount to so far."""

    instance: InstanceId
    health: Health
    successes: int = 0
    """In a row."""
    failures: int = 0
    """In a row."""
    attempts: int = 0
    """All answers but neutral ones, while not checked."""
    detail: str = ""
    """What the last answer that was no success said."""


def step(before: Judgement, answer: Answer, detail: str, policy: ProbePolicy, *, deadline: bool) -> Judgement:
    """The judgement after one more answer. `deadline`: an initial delay rules while it is not checked."""
    if answer is Answer.NEUTRAL:
        return before
    if before.health is Health.FAILED and policy.failed_terminal:
        return before
    if answer is Answer.OK:
        counted = replace(before, successes=before.successes + 1, failures=0, attempts=before.attempts + 1)
    else:
        counted = replace(
            before, successes=0, failures=before.failures + 1, attempts=before.attempts + 1, detail=detail
        )
    health = _next_health(counted, policy, deadline=deadline)
    return counted if health is before.health else Judgement(before.instance, health, detail=counted.detail)


def _next_health(counted: Judgement, policy: ProbePolicy, *, deadline: bool) -> Health:
    # A success promotes before anything is held against it.
    if counted.successes >= policy.success_threshold and counted.health is not Health.HEALTHY:
        return Health.HEALTHY
    match counted.health:
        case Health.NOT_CHECKED if not deadline and counted.attempts >= _most_attempts(policy):
            return Health.FAILED
        case Health.HEALTHY if counted.failures >= policy.failure_threshold:
            return Health.UNHEALTHY
        case Health.UNHEALTHY if counted.failures >= policy.failure_threshold * policy.liveness_factor:
            return Health.FAILED
        case unchanged:
            return unchanged


def _most_attempts(policy: ProbePolicy) -> int:
    return policy.failure_threshold * policy.pending_factor
