"""The built-in scalers: the kit that all scalers pass, and what is particular to each."""

from dataclasses import replace

import pytest

from flashcore.builtin.fixed_scaler import FixedScaler
from flashcore.builtin.queue_delay import QueueDelayScaler
from flashcore.builtin.request_count import RequestCountScaler
from flashcore.hookspecs.scalers import Scaler, ScaleView
from flashcore.model.declaration import Bounds
from flashcore.model.errors import InvalidOptions
from flashcore.model.parts import Fixed, QueueDelay, RequestCount
from flashcore.testing.scaler_kit import ScalerKit, scale_view


class TestFixed(ScalerKit):
    """The scaler `fixed`."""

    def scaler(self) -> Scaler:
        """As declared."""
        return FixedScaler(Fixed())


class TestQueueDelay(ScalerKit):
    """The scaler `queue_delay`."""

    def scaler(self) -> Scaler:
        """As declared without options."""
        return QueueDelayScaler(QueueDelay())


class TestRequestCount(ScalerKit):
    """The scaler `request_count`."""

    def scaler(self) -> Scaler:
        """As declared without options."""
        return RequestCountScaler(RequestCount())


def queue(
    goal: int, *, queued: int = 0, oldest: float = 0.0, at_work: int = 0, ready: int | None = None, places: int = 1
) -> ScaleView:
    """A queue whose oldest job has waited for some seconds."""
    return replace(
        scale_view(goal, queued, at_work),
        oldest_queued=oldest,
        max_concurrency=places,
        ready=goal if ready is None else ready,
    )


def test_fixed_is_the_least_number_whatever_the_load() -> None:
    """A policy edit moves it, load does not."""
    scaler = FixedScaler(Fixed())

    assert scaler.desired(replace(scale_view(5, queued=1000), bounds=Bounds(3, 9))) == 3


@pytest.mark.parametrize(
    ("view", "desired"),
    [
        (queue(0, queued=1), 1),
        (queue(2, queued=50, oldest=3.9), 2),
        (queue(2, queued=50, oldest=8.0), 4),
        (queue(2, queued=50, oldest=4.1), 3),
        (queue(2, queued=1, oldest=400.0, at_work=2), 3),
        (queue(2, queued=5, oldest=400.0, at_work=8, places=4), 4),
        (queue(6, queued=1, oldest=400.0), 6),
        (queue(6, queued=1, oldest=0.1, at_work=0), 6),
        (queue(6, at_work=3), 3),
        (queue(6, at_work=3, places=2), 2),
        (queue(1, at_work=9), 9),
    ],
)
def test_queue_delay_grows_by_how_late_the_oldest_job_is(view: ScaleView, desired: int) -> None:
    """Allowed are 4 s: at 8 s twice as many, never more than can all be at work, never fewer while jobs wait."""
    assert QueueDelayScaler(QueueDelay(4)).desired(view) == desired


def test_queue_delay_waits_for_replicas_that_are_being_started() -> None:
    """Their start takes longer than the delay: asking for more at every look would end at the upper bound."""
    late = queue(4, queued=500, oldest=60, ready=1)

    assert QueueDelayScaler(QueueDelay(4)).desired(late) == 4


@pytest.mark.parametrize("scaler", [QueueDelayScaler(QueueDelay()), RequestCountScaler(RequestCount())])
def test_the_last_replica_goes_after_the_idle_timeout_alone(scaler: Scaler) -> None:
    """And one that is not there is not started for nothing."""
    idle = replace(scale_view(5), idle_timeout=30.0)

    assert scaler.desired(replace(idle, idle_for=29.9)) == 1
    assert scaler.desired(replace(idle, idle_for=30.0)) == 0
    assert scaler.desired(replace(idle, goal=0, idle_for=1.0)) == 0


@pytest.mark.parametrize(
    ("queued", "in_flight", "desired"), [(0, 1, 1), (0, 4, 1), (0, 5, 2), (3, 6, 3), (1, 0, 1), (0, 4000, 1000)]
)
def test_request_count_shares_requests_out(queued: int, in_flight: int, desired: int) -> None:
    """Four each, those that wait included."""
    assert RequestCountScaler(RequestCount(4)).desired(scale_view(1, queued, in_flight)) == desired


@pytest.mark.parametrize("seconds", [0, -1.0, float("nan")])
def test_queue_delay_refuses_a_delay_of_nothing(seconds: float) -> None:
    """No number of replicas gives it."""
    with pytest.raises(InvalidOptions, match="greater than 0"):
        QueueDelayScaler(QueueDelay(seconds))


def test_request_count_refuses_no_requests() -> None:
    """Nothing divided by nothing."""
    with pytest.raises(InvalidOptions, match="at least 1"):
        RequestCountScaler(RequestCount(0))
