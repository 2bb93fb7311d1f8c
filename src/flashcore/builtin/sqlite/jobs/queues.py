"""All queues of a job store, by endpoint, pin and priority."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from flashcore.builtin.sqlite.jobs.entry import Account, Entry
from flashcore.builtin.sqlite.jobs.lanes import Choice, Lane, Queue, Use, choose
from flashcore.hookspecs.jobs import ALL_LANES, Claim
from flashcore.model.names import RevisionId


class Queues:
    """Finds the lanes that a claim may take from, and those that a job belongs in."""

    def __init__(self) -> None:
        self._by_pin: dict[tuple[int, RevisionId | None], dict[int, Queue]] = {}

    def queue(self, account: Account, pin: RevisionId | None, priority: int) -> Queue:
        """The queue of an endpoint, pin and priority, made when it is first used."""
        by_priority = self._by_pin.setdefault((account.e, pin), {})
        queue = by_priority.get(priority)
        if queue is None:
            queue = by_priority[priority] = Queue(account, pin, priority)
        return queue

    def append(self, entry: Entry, batch: int) -> None:
        """Put a new job at the end of its lane, at hand or left on disk by the batch of that number."""
        entry.at_hand = self._lane_of(entry).append(entry.n, batch)

    def insert(self, entry: Entry) -> None:
        """Put a job back into its lane, at its old place."""
        self._lane_of(entry).insert(entry.n)
        entry.at_hand = True

    def owns(self, lane: Lane) -> bool:
        """Whether a lane is still one of these: neither purged nor found empty."""
        queue = lane.queue
        known = self._by_pin.get((queue.account.e, queue.pin), {}).get(queue.priority) is queue
        return known and queue.lanes.get(lane.number) is lane

    def lanes(self, account: Account) -> list[Lane]:
        """All lanes of an endpoint that may have jobs."""
        return [lane for queue in self._of(account) for lane in queue.among(ALL_LANES)]

    def drop(self, account: Account) -> None:
        """Take all queues of an endpoint away: nothing is queued any more."""
        for key in [key for key in self._by_pin if key[0] == account.e]:
            del self._by_pin[key]

    def choose(self, account: Account, claim: Claim, judge: Callable[[int], Use]) -> Choice:
        """The jobs that a claim gets, or the lanes that must be filled before one can tell."""
        picks: list[tuple[Lane, int]] = []
        for lanes in self._by_priority(account, claim):
            chosen = choose(lanes, claim.count - len(picks), judge)
            if chosen.starving:
                return chosen
            picks += chosen.picks
            if len(picks) == claim.count:
                break
        return Choice(picks=tuple(picks))

    def take(self, choice: Choice) -> None:
        """Remove the picks from their lanes, and queues in which nothing is left."""
        for lane, n in choice.picks:
            lane.drop(lane.waiting.index(n))
        for queue in {id(lane.queue): lane.queue for lane, _ in choice.picks}.values():
            if queue.empty:
                self._by_pin[queue.account.e, queue.pin].pop(queue.priority, None)

    def _lane_of(self, entry: Entry) -> Lane:
        new = entry.job.new
        return self.queue(entry.account, new.pin, new.priority).lane(new.lane)

    def _of(self, account: Account) -> Iterator[Queue]:
        for (e, _), by_priority in self._by_pin.items():
            if e == account.e:
                yield from by_priority.values()

    def _by_priority(self, account: Account, claim: Claim) -> Iterator[list[Lane]]:
        pinned = self._by_pin.get((account.e, claim.revision), {})
        common = {} if claim.pinned_only else self._by_pin.get((account.e, None), {})
        for priority in sorted(pinned.keys() | common.keys(), reverse=True):
            mine = pinned.get(priority)
            lanes = list(mine.among(ALL_LANES)) if mine else []
            shared = common.get(priority)
            if shared:
                lanes += shared.among(claim.lanes)
            yield lanes
