"""What every scaler has to do, as functions that need no test framework, and as a class for pytest.

A scaler's whole test file:

    from flashcore.testing.scaler_kit import ScalerKit
    from flashcore_acme import Steps, StepsScaler

    class TestSteps(ScalerKit):
        def scaler(self): return StepsScaler(Steps(per_replica=10))

The functions take a callable that makes the scaler, and raise Nonconformance.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import pairwise, product

from flashcore.hookspecs.scalers import Scaler, ScaleView
from flashcore.model.declaration import Bounds
from flashcore.model.names import EndpointName
from flashcore.testing.conformance import require
from flashcore.testing.kit import Check, Kit, checks_of

Make = Callable[[], Scaler]

LOADS = (0, 1, 5, 100, 10_000)


def scale_view(goal: int = 1, queued: int = 0, in_flight: int = 0) -> ScaleView:
    """An endpoint with up to 20 replicas, all wanted ones ready, after a minute of this load."""
    busy = bool(queued or in_flight)
    return ScaleView(
        EndpointName("tested"),
        now=1_800_000_000.0,
        goal=goal,
        ready=goal,
        bounds=Bounds(0, 20),
        in_flight=in_flight,
        queued=queued,
        oldest_queued=60.0 if queued else 0.0,
        idle_for=0.0 if busy else 60.0,
        idle_timeout=30.0,
        max_concurrency=2,
    )


def check_number(make: Make) -> None:
    """Whatever it is shown, it answers with a number of replicas; the core keeps it within the bounds."""
    for view in _views():
        desired = make().desired(view)
        require(type(desired) is int and desired >= 0, "desired() is a number of replicas from 0", (desired, view))


def check_settles(make: Make) -> None:
    """Under a load that stays, the number stays: no endpoint goes up and down for ever."""
    for view in _views():
        scaler, goal = make(), view.goal
        seen: list[int] = []
        for tick in range(30):
            now = replace(view, goal=goal, ready=goal, now=view.now + 10.0 * tick, idle_for=_idle(view, tick))
            goal = min(max(scaler.desired(now), view.bounds.minimum), view.bounds.maximum)
            seen.append(goal)
        require(len(set(seen[-5:])) == 1, "under a steady load the number of replicas settles", (seen, view))


def check_more_load_never_takes_away(make: Make) -> None:
    """More jobs waiting, or more in flight, never means fewer replicas."""
    for goal in (0, 1, 5):
        for view in (scale_view(goal), scale_view(goal, queued=1), scale_view(goal, in_flight=1)):
            waiting = [make().desired(_loaded(view, queued=load)) for load in LOADS]
            working = [make().desired(_loaded(view, in_flight=load)) for load in LOADS]
            rising = all(less <= more for numbers in (waiting, working) for less, more in pairwise(numbers))
            require(rising, f"more load never takes replicas away (loads {LOADS})", (waiting, working))


class ScalerKit(Kit):
    """Subclass it, call the subclass Test..., and say how to make the scaler."""

    checks = checks_of(globals())

    @abstractmethod
    def scaler(self) -> Scaler:
        """A fresh scaler."""

    def examine(self, check: Check) -> None:
        """Run one check."""
        check(self.scaler)


def _views() -> Iterator[ScaleView]:
    for goal, queued, in_flight, places in product((0, 1, 3, 20), LOADS, (0, 1, 50), (1, 100)):
        view = replace(scale_view(goal, queued, in_flight), max_concurrency=places)
        yield view
        yield replace(view, ready=0, bounds=Bounds(2, 4))
        yield replace(view, ready=goal // 2, idle_timeout=0.0, oldest_queued=0.0)


def _loaded(view: ScaleView, *, queued: int = 0, in_flight: int = 0) -> ScaleView:
    more = scale_view(view.goal, view.queued + queued, view.in_flight + in_flight)
    return replace(view, queued=more.queued, in_flight=more.in_flight, oldest_queued=more.oldest_queued, idle_for=0.0)


def _idle(view: ScaleView, tick: int) -> float:
    return 0.0 if view.queued or view.in_flight else view.idle_for + 10.0 * tick
