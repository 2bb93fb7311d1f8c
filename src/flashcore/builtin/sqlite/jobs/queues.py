"""All queues of a job store, by endpoint, stand and priority."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from flashcore.builtin.sqlite.jobs.entry import Account, Entry
from flashcore.builtin.sqlite.jobs.lanes import Choice, Lane, Queue, Use, choose
from flashcore.builtin.sqlite.jobs.stands import Stand, is_apart, revisions_of, stand_of
from flashcore.hookspecs.jobs import ALL_LANES, Claim
from flashcore.model.names import RevisionId


class Queues:
    """Finds the lanes that a claim may take from, and those that a job belongs in."""

    def __init__(self) -> None:
        self._by_stand: dict[tuple[int, Stand], dict[int, Queue]] = {}
        self._apart: dict[int, dict[str, frozenset[RevisionId]]] = {}
        """Stands of an endpoint that are closed to some revisions, with these."""

    def queue(self, account: Account, stand: Stand, priority: int) -> Queue:
        """The queue of an endpoint, stand and priority, made when it is first used."""
        by_priority = self._by_stand.get((account.e, stand))
        if by_priority is None:
            by_priority = self._by_stand[account.e, stand] = {}
        queue = by_priority.get(priority)
        if queue is None:
            queue = by_priority[priority] = Queue(account, stand, priority)
            if stand is not None and is_apart(stand):
                self._apart.setdefault(account.e, {})[stand] = revisions_of(stand)
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
        known = self._by_stand.get((queue.account.e, queue.stand), {}).get(queue.priority) is queue
        return known and queue.lanes.get(lane.number) is lane

    def lanes(self, account: Account) -> list[Lane]:
        """All lanes of an endpoint that may have jobs."""
        return [lane for queue in self._of(account) for lane in queue.among(ALL_LANES)]

    def drop(self, account: Account) -> None:
        """Take all queues of an endpoint away: nothing is queued any more."""
        for key in [key for key in self._by_stand if key[0] == account.e]:
            del self._by_stand[key]
        self._apart.pop(account.e, None)

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
                self._by_stand[queue.account.e, queue.stand].pop(queue.priority, None)

    def _lane_of(self, entry: Entry) -> Lane:
        job = entry.job
        return self.queue(entry.account, stand_of(job), job.new.priority).lane(job.new.lane)

    def _of(self, account: Account) -> Iterator[Queue]:
        for (e, _), by_priority in self._by_stand.items():
            if e == account.e:
                yield from by_priority.values()

    def _by_priority(self, account: Account, claim: Claim) -> Iterator[list[Lane]]:
        open_stands = [(stand, ALL_LANES) for stand in self._whole_stands(account, claim)]
        if not claim.pinned_only:
            open_stands.append((None, claim.lanes))
        found = [(queues, lanes) for stand, lanes in open_stands if (queues := self._by_stand.get((account.e, stand)))]
        for priority in sorted({priority for queues, _ in found for priority in queues}, reverse=True):
            yield [lane for queues, lanes in found if priority in queues for lane in queues[priority].among(lanes)]

    def _whole_stands(self, account: Account, claim: Claim) -> Iterator[Stand]:
        """Where a claim takes jobs of all lanes from."""
        yield claim.revision
        for stand, closed_to in self._apart.get(account.e, {}).items():
            if claim.opens(closed_to):
                yield stand
