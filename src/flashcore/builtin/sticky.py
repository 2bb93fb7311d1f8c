"""sticky: a caller stays on its replica until it was idle for long enough, or the replica went."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from random import Random
from typing import NamedTuple

from flashcore.builtin.p2c import PowerOfTwoChoices
from flashcore.hookspecs.routing import BodyNeed, Candidate, RoutedRequest
from flashcore.model.errors import InvalidOptions
from flashcore.model.names import InstanceId, ReplicaId
from flashcore.model.parts import StickyRouting

MOST_CALLERS = 100_000
"""Callers that are remembered at a time; the one that has been idle for longest goes first."""


class _Stay(NamedTuple):
    """Where a caller is, and when it was last heard of."""

    replica: ReplicaId
    instance: InstanceId
    heard: float


class StickyPolicy:
    """Remembers callers by a header. Whoever comes without it, or for the first time, gets the lighter of two.

    Raises InvalidOptions for an idle timeout that is not greater than 0.
    """

    body_need = BodyNeed.NONE
    body_limit = 0

    def __init__(self, options: StickyRouting, random: Random | None = None, most: int = MOST_CALLERS) -> None:
        if not options.idle_timeout > 0:
            raise InvalidOptions(
                f"routing policy 'sticky', option idle_timeout: must be greater than 0, not {options.idle_timeout}",
                next_step="give the seconds after which a caller may go to another replica",
                path="idle_timeout",
            )
        self._header = options.header.lower()
        self._idle_timeout = options.idle_timeout
        self._most = most
        self._fresh = PowerOfTwoChoices(random)
        self._stays: OrderedDict[str, _Stay] = OrderedDict()  # the longest idle first
        self._present: frozenset[tuple[ReplicaId, InstanceId]] = frozenset()

    def choose(self, request: RoutedRequest, candidates: Sequence[Candidate]) -> Candidate:
        """The caller's replica; another one, for this request alone, when its own was tried in vain."""
        caller = request.headers.get(self._header)
        if not caller:
            return self._fresh.choose(request, candidates)
        self._forget_idle(request.now)
        stay = self._stays.get(caller)
        if stay is not None:
            for candidate in candidates:
                if candidate.replica == stay.replica and candidate.instance == stay.instance:
                    return self._remember(caller, candidate, request.now)
            if (stay.replica, stay.instance) in self._present:
                # It was left out of this try, and is where the caller's session is: the caller will be back.
                return self._fresh.choose(request, candidates)
        return self._remember(caller, self._fresh.choose(request, candidates), request.now)

    def changed(self, candidates: Sequence[Candidate]) -> None:
        """Another life of a replica is another replica: what the session was, it does not know."""
        self._present = frozenset((candidate.replica, candidate.instance) for candidate in candidates)

    def _remember(self, caller: str, candidate: Candidate, now: float) -> Candidate:
        self._stays[caller] = _Stay(candidate.replica, candidate.instance, now)
        self._stays.move_to_end(caller)
        if len(self._stays) > self._most:
            self._stays.popitem(last=False)
        return candidate

    def _forget_idle(self, now: float) -> None:
        while self._stays:
            caller, stay = next(iter(self._stays.items()))
            if now - stay.heard <= self._idle_timeout:
                return
            del self._stays[caller]
