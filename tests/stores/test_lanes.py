"""The choice among lanes, and what is kept in memory."""

import hypothesis.strategies as st
from hypothesis import given

from flashcore.builtin.sqlite.jobs.entry import Account
from flashcore.builtin.sqlite.jobs.lanes import AT_HAND, Lane, Queue, Use, choose
from flashcore.builtin.sqlite.jobs.resting import MOST_BYTES, MOST_JOBS, Resting
from flashcore.builtin.sqlite.recent import MOST_BYTES as MOST_RECENT_BYTES
from flashcore.builtin.sqlite.recent import RecentCommits
from flashcore.hookspecs.state import Batch, Change
from flashcore.model.names import EndpointName

USES = st.dictionaries(st.integers(1, 60), st.sampled_from([Use.LEAVE, Use.DROP]))


def new_queue() -> Queue:
    """An empty queue."""
    return Queue(Account(1, EndpointName("e")), None, 0)


@given(lanes=st.lists(st.integers(0, 5), max_size=60), count=st.integers(0, 70), uses=USES)
def test_the_oldest_jobs_are_chosen(lanes: list[int], count: int, uses: dict[int, Use]) -> None:
    """Over all lanes, without those that are left or dropped; the dropped ones that came up are gone."""
    queue = new_queue()
    for n, number in enumerate(lanes, 1):
        queue.lane(number).append(n, batch=1)

    choice = choose(list(queue.among(range(100))), count, lambda n: uses.get(n, Use.TAKE))

    takeable = [n for n in range(1, len(lanes) + 1) if n not in uses]
    assert [n for _, n in choice.picks] == takeable[:count]
    assert all(n in lane.waiting for lane, n in choice.picks)
    if len(takeable) < count:
        left = {n for lane in queue.lanes.values() for n in lane.waiting}
        assert not any(uses.get(n) is Use.DROP for n in left)


def test_an_empty_lane_with_more_on_disk_comes_first() -> None:
    """Its next job may be older than what the other lanes have at hand."""
    queue = new_queue()
    queue.lane(0).append(9, batch=1)
    queue.lane(1).more = True

    choice = choose(list(queue.among(range(2))), 1, lambda _: Use.TAKE)

    assert (choice.picks, [lane.number for lane in choice.starving]) == ((), [1])


def test_a_lane_that_ends_before_enough_were_found_is_filled() -> None:
    """What was found until then is chosen again afterwards."""
    queue = new_queue()
    lane = queue.lane(0)
    for n in range(1, AT_HAND + 3):
        lane.append(n, batch=1)

    assert len(lane.waiting) == AT_HAND
    assert choose([lane], AT_HAND, lambda _: Use.TAKE).starving == ()
    assert choose([lane], AT_HAND + 1, lambda _: Use.TAKE).starving == (lane,)


def test_a_job_that_comes_back_behind_the_tail_waits_for_those_before_it() -> None:
    """Older ones may be on disk alone."""
    lane = Lane(new_queue(), 0, more=True)
    lane.fill([1, 2], flushed=1, wanted=2)

    lane.insert(7)
    assert choose([lane], 3, lambda _: Use.TAKE).starving == (lane,)
    lane.fill([4, 5], flushed=1, wanted=2)
    assert choose([lane], 5, lambda _: Use.TAKE).starving == (lane,)
    lane.fill([7, 9], flushed=1, wanted=3)

    assert [n for _, n in choose([lane], 9, lambda _: Use.TAKE).picks] == [1, 2, 4, 5, 7, 9]


def test_what_was_left_on_disk_after_the_reading_is_not_forgotten() -> None:
    """A lane is complete only when nothing was added since."""
    lane = Lane(new_queue(), 0, more=True)
    lane.append(5, batch=3)

    lane.fill([1], flushed=2, wanted=9)
    assert lane.more
    lane.fill([5], flushed=3, wanted=9)
    assert not lane.more


def test_a_queue_is_empty_only_when_all_of_its_lanes_were_looked_at() -> None:
    """After a start, any lane may have jobs on disk."""
    queue = new_queue()
    queue.deep = True
    assert not queue.empty

    for lane in list(queue.among(range(99))):
        lane.fill([], flushed=0, wanted=1)
    assert not queue.empty
    queue.lane(99).fill([], flushed=0, wanted=1)
    assert queue.empty


def test_lanes_in_which_nothing_waits_are_let_go_of() -> None:
    """A claim looks only at those that are not empty."""
    queue = new_queue()
    for n in range(1, 4):
        queue.lane(n).append(n, batch=1)

    choose(list(queue.among(range(100))), 3, lambda n: Use.DROP if n == 2 else Use.TAKE)

    assert list(queue.lanes) == [1, 3]
    queue.lanes[1].drop(0)
    queue.lanes[3].drop(0)
    assert queue.empty


def test_what_rests_in_memory_is_bounded() -> None:
    """In number and in bytes; what was used last stays."""
    resting = Resting()
    for n in range(MOST_JOBS):
        resting.add(n, 1)
    assert resting.overdue() == []

    resting.add(0, 1)
    resting.add(MOST_JOBS, 1)
    assert resting.overdue() == [1]
    resting.discard(2)
    resting.add(-1, MOST_BYTES)
    assert resting.overdue() == [*range(3, MOST_JOBS), 0, MOST_JOBS]


def test_recent_commits_are_bounded_by_number_and_size() -> None:
    """What is not kept any more is said to be missing."""
    recent = RecentCommits(revision=10, history=5)
    for revision in range(11, 18):
        recent.append(Batch(revision, (Change("k", b""),)))

    assert recent.since(17) == []
    assert [batch.revision for batch in recent.since(12) or ()] == [13, 14, 15, 16, 17]
    assert recent.since(11) is None
    recent.append(Batch(18, (Change("k", b"x" * MOST_RECENT_BYTES),)))
    assert recent.since(17) is None
